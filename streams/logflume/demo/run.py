"""The main job on this machine, step by step: start, send, wait until all is at rest, count, ask.

The stack stays up afterwards, so that what is suggested at the end can be tried; ``logflume local down`` ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from logflume import contract, model
from logflume.demo import feed, job, page, show, walk, witness
from logflume.demo.feed import Fed
from logflume.demo.job import Objects
from logflume.demo.judge import Check, Files, Verdict, active_files, judge
from logflume.demo.show import Cost, Outcome, status
from logflume.demo.traffic import Traffic
from logflume.demo.witness import Marks
from logflume.errors import Misconfigured, Retryable
from logflume.explore import query
from logflume.kafka import client, groups
from logflume.local.stack import Stack
from logflume.local.tenants import SAMPLES, folder_of
from logflume.model import Datasets
from logflume.settings import GivenSettings, Settings
from logflume.table.store import Store

OWN_TENANT = "my-site"
"""Whose requests the lines of a given access log become."""

DATASETS = ("firewall_events", "http_requests")
REST_SECONDS = 180.0
_EVENTS_SHARE = 1.05  # firewall events come on top of the requests


def run(given: GivenSettings, console: Console, *, records: int, seed: int, file: Path | None = None) -> bool:
    """Run the demo, telling ``console``; returns whether every sum is right. ``file``: an access log to send."""
    traffic = Traffic(int(records / _EVENTS_SHARE), seed=seed, end_ns=time.time_ns())
    stack = Stack(given)
    datasets = model.load(contract.find(given.topics_dir))
    asking = traffic.attacked if file is None else OWN_TENANT
    settings = _up(stack, given, [*traffic.tenants, OWN_TENANT], asking, datasets, console)
    objects = Objects.of(_objects(stack), asking)
    outcome = _job(settings, datasets, stack, traffic, objects, file, console)
    show.job(console, outcome)
    show.verdict(console, outcome.verdict)
    if not outcome.verdict.ok:
        return False
    console.print(f"\n[bold]Asking the tables of {asking}[/bold]")
    with query.opened(settings, Store.from_settings(settings), datasets) as explorer:
        steps = walk.attack(explorer, datasets, traffic) if file is None else walk.access_log(explorer, asking)
        for number, step in enumerate(steps, start=1):
            show.step(console, number, step)
    show.what_next(console, asking, _objects(stack) / asking, page.opened(stack, settings, asking))
    return True


# --- the steps --------------------------------------------------------------------------------------------------------


def _up(
    stack: Stack, given: GivenSettings, tenants: list[str], asking: str, datasets: Datasets, console: Console
) -> Settings:
    """Start the stack, with the demo's tenants among those that it knows; ``asking`` has a file job."""
    if given.tenants_dir:
        raise Misconfigured("The demo brings tenants of its own: run it without LOGFLUME_TENANTS_DIR.")
    folder = folder_of(stack.folder)
    new = _write_tenants(folder, [*tenants, *SAMPLES], datasets)
    _objects(stack).mkdir(exist_ok=True)  # a job never makes its folder: it may be a mount that is missing
    new = _add_job(folder / f"{asking}.yaml", job.section(_objects(stack))) or new
    with status(console, "Looking …") as say:
        if new and stack.status():
            # Running sinks would take these rows for nobody's until they have the generation.
            say("Restarting the stack: it does not know the demo's tenants.")
            stack.down()
        settings = stack.up(say, declare=True)
    console.print(f"The stack is up: Kafka at {settings.kafka_bootstrap}, objects in {settings.store_url}.")
    return settings


def _write_tenants(folder: Path, tenants: list[str], datasets: Iterable[str]) -> bool:
    """Add a file for each tenant that has none; whether there was one to add."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in tenants if not (folder / f"{name}.yaml").exists()]
    wanted = "".join(f"  {dataset}:\n" for dataset in datasets)
    for name in missing:
        (folder / f"{name}.yaml").write_text(f"name: {name}\ndatasets:\n{wanted}")
    return bool(missing)


def _add_job(path: Path, section: str) -> bool:
    """Add the file job to a tenant's file that has none; whether it had none."""
    text = path.read_text()
    missing = "\njobs:" not in text
    if missing:
        path.write_text(text.rstrip("\n") + "\n" + section)
    return missing


def _objects(stack: Stack) -> Path:
    return stack.folder / "objects"


def _job(
    settings: Settings,
    datasets: Datasets,
    stack: Stack,
    traffic: Traffic,
    objects: Objects,
    file: Path | None,
    console: Console,
) -> Outcome:
    """Send, wait, count."""
    since = witness.marks(settings, DATASETS)
    before = _cpu(stack)
    started = time.perf_counter()
    fed = _send(settings, traffic, file, console)
    with status(console, "Waiting until everything is at rest …") as say:
        wait_at_rest(settings, say)
    seconds = time.perf_counter() - started
    after = _cpu(stack)
    sent = fed.by_client + fed.by_plain
    costs = [Cost("client", sent, fed.cpu_seconds)]
    costs += [Cost(name, sent, after[name] - before.get(name, 0.0)) for name in after]
    with status(console, "Counting in the generator, in Kafka, in the tables' files and in the job's objects …"):
        verdict, files = count(settings, datasets, fed, since)
        now = Objects.of(_objects(stack), objects.tenant)
        checks = now.checks(objects, fed.sent, datasets[job.DATASET].id_field or "")
        verdict = replace(verdict, checks=(*verdict.checks, *checks))
    return Outcome(fed, seconds, tuple(costs), tuple(files), verdict)


def count(settings: Settings, datasets: Datasets, fed: Fed, since: Marks) -> tuple[Verdict, list[Files]]:
    """Compare the generator, Kafka and the tables' files; also returns the files, of this run and all before."""
    account = witness.account(settings, since)
    store = Store.from_settings(settings)
    found = active_files(store.filesystem, store.root, store.url, store.delta_options)
    files = [each for each in found if each.dataset in DATASETS]  # not what asking writes: audit_logs
    fields = {name: dataset.id_field for name, dataset in datasets.items()}
    verdict = judge(fed.sent, files, store.filesystem, fields, log=account.log, dead=account.dead, since=since.since)
    letters = sum(account.letters.values())
    more = (
        Check("dead letters, against broken records sent", fed.broken, letters),
        Check("messages in Kafka, against how far its offsets moved", account.offsets, account.log.num_rows),
    )
    return Verdict((*verdict.checks, *more), verdict.stored_rows, letters, verdict.examples), files


def wait_at_rest(settings: Settings, say: Callable[[str], None], seconds: float = REST_SECONDS) -> None:
    """Until both groups have committed the ends of their topics: then all rows are at rest, or dead letters."""
    deadline = time.monotonic() + seconds
    admin = client.admin(settings)
    while True:
        lag = groups.lag(settings, admin)
        to_sort = sum(place.lag for place in lag if place.group == settings.sort_group)
        to_store = sum(place.lag for place in lag if place.group == settings.sink_group)
        if not to_sort and not to_store:
            return
        if time.monotonic() > deadline:
            raise Retryable(
                f"After {seconds:.0f} s {to_sort} messages are not sorted and {to_store} blocks not stored. "
                "See `logflume local status` for the workers and `logflume lag` for where it stands."
            )
        say(f"Waiting until everything is at rest: {to_sort} messages to sort, {to_store} blocks to store …")
        time.sleep(0.3)


def _send(settings: Settings, traffic: Traffic, file: Path | None, console: Console) -> Fed:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        if file is not None:
            task = progress.add_task(f"Sending {file.name}", total=feed.unpacked(file))
            return feed.access_log(settings, file, OWN_TENANT, lambda done: progress.advance(task, done))
        total = int(traffic.requests * _EVENTS_SHARE)
        task = progress.add_task(f"Sending {total:,} records of {len(traffic.tenants)} tenants", total=total)
        return feed.traffic(settings, traffic, lambda done: progress.advance(task, done))


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds so far of each part of the stack, by name."""
    found = {}
    for part in stack.status():
        if part.pid:
            times = psutil.Process(part.pid).cpu_times()
            found[part.name] = times.user + times.system
    return found
