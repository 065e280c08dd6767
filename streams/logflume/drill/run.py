"""Running a drill from its first record to its verdict.

load → *before* → harm → repair → recovery → *after* → stop → at rest → count. Every wait has an end; a pipeline that
does not recover is judged all the same, by what came to rest.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from logflume.demo import judge as counting
from logflume.demo import witness
from logflume.demo.judge import Check, Files, Sent, active_files
from logflume.demo.run import wait_at_rest
from logflume.demo.traffic import text_ids
from logflume.drill import book, gauges, timeline, verdict
from logflume.drill.drill import Drill, Scale, Size
from logflume.drill.ground import Ground, Say, budget, kind
from logflume.drill.report import LIMIT, Chart, Points, Report
from logflume.drill.sampler import Sampler
from logflume.drill.scene import Scene
from logflume.drill.tenant import DATASET, DrillTenant, make
from logflume.drill.verdict import Facts, Promise, Rates
from logflume.errors import Retryable
from logflume.table.store import Store

STEADY, MORE = "those before", "the harm's"
_FIRST_SECONDS = 60.0
_REST_SECONDS = 240.0
_STEADY_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Cast:
    """The tenants of one drill: made before the stack is up, so that it knows them."""

    steady: tuple[DrillTenant, ...]
    more: tuple[DrillTenant, ...]

    @classmethod
    def of(cls, drill: Drill, size: Size) -> Cast:
        """Make them up."""
        return cls(make(drill.name, 0, size.tenants), make(drill.name, size.tenants, size.more_tenants))

    @property
    def everybody(self) -> tuple[DrillTenant, ...]:
        """All of them; a tenant's number is its place here."""
        return (*self.steady, *self.more)


def run(
    drill: Drill, ground: Ground, size: Size, scale: Scale, cast: Cast, folder: Path, say: Say, command: str
) -> Report:
    """Run ``drill`` on a stack that is up and knows its cast; ``folder`` takes books and logs of the senders."""
    restarted = {part.name: part.restarts for part in ground.workers()}
    since = witness.marks(ground.settings, [DATASET])
    with Sampler(ground) as sampler, Scene(ground, size, cast.steady, cast.more, folder, say) as scene:
        steady = scene.send("steady", cast.steady, size.rows_a_second)
        scene.until(lambda: steady.acknowledged_at() > 0, _FIRST_SECONDS, "a first record is acknowledged")
        scene.hold(2 * float(ground.settings.sink_flush_age_seconds))  # first flushes make tables
        before = scene.did(f"{size.rows_a_second:,.0f} rows/s of {size.tenants} tenants: the measure")
        scene.hold(size.before_seconds)
        drill.play(scene)
        assert scene.harmed_at is not None
        assert scene.repaired_at is not None
        recovered = _recovery(scene, sampler, size.promise, (scene.started + before, scene.started + scene.harmed_at))
        if recovered is not None:
            scene.hold(size.after_seconds)
        ended = scene.did("the senders stop")
        for sending in scene.sendings:
            scene.stop(sending)
        rested = _at_rest(ground, sampler)
        finished = scene.did("everything is at rest, by what Kafka says" if rested is None else rested)
        series = sampler.series()
        most = sampler.most()
        restarts = {part.name: part.restarts - restarted.get(part.name, 0) for part in ground.workers()}
    say("counting …")
    sums, files, examples, counts = _count(ground, scene, cast, since)
    groups = {tenant.name: STEADY for tenant in cast.steady} | {tenant.name: MORE for tenant in cast.more}
    store = Store.from_settings(ground.settings)
    seconds = int(finished) + 1
    times = timeline.read(store.filesystem, files, groups, scene.started, seconds)
    own, within = times[STEADY], size.promise.within_seconds
    flush_age = float(ground.settings.sink_flush_age_seconds)
    back = recovered if recovered is not None else ended
    facts = Facts(
        sums=sums,
        rates=Rates(
            before=min(own.rate(before, scene.harmed_at), size.rows_a_second),  # whole bodies come: some may be early
            during=own.rate(scene.harmed_at, scene.repaired_at, within),
            after=own.rate(back, ended, within),
        ),
        memory={
            name: (bytes_, limit)
            for name, bytes_ in most.items()
            if (limit := budget(ground.settings, name)) is not None
        },
        recovered_seconds=None if recovered is None else recovered - scene.repaired_at,
        waiting=(
            own.waited(before, max(before + 1, scene.harmed_at - 2 * flush_age), 0.95),
            own.waited(scene.harmed_at, scene.repaired_at, 0.95),
        ),
        own=tuple(scene.findings),
    )
    return Report(
        drill=drill.name,
        what=drill.what,
        scale=scale,
        command=command,
        started=datetime.fromtimestamp(scene.started, UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        seconds=finished,
        harmed=scene.harmed_at,
        repaired=scene.repaired_at,
        recovered=recovered,
        events=tuple(scene.events),
        charts=_charts(scene, times, series, finished),
        verdict=verdict.judge(size.promise, facts),
        counts=counts | {f"restarts of {name}": count for name, count in restarts.items() if count},
        examples=examples,
    )


def _memory(ground: Ground, most: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The most memory of each process of Logflume, and its budget."""
    limits = {name: budget(ground.settings, name) for name in most}
    return {name: (most[name], limit) for name, limit in limits.items() if limit is not None}


# --- waiting ----------------------------------------------------------------------------------------------------------


def _recovery(scene: Scene, sampler: Sampler, promise: Promise, before: tuple[float, float]) -> float | None:
    """Wait until all flows as it did before: when that was, after the start; None: it did not in time.

    It flows when every worker is ready, no spool holds anything, nothing is parked, every sender gets its answers, and
    both groups are as late as they were before or nearly, twice in a row.
    """
    limit = max(2 * max(sampler.late(*before), default=0.0), promise.within_seconds / 2)
    since = scene.started + (scene.repaired_at or 0.0)
    good = 0

    def flows() -> bool:
        nonlocal good
        late = sampler.late(since)
        calm = len(late) >= _STEADY_SAMPLES and late[-1] <= limit
        good = good + 1 if calm and not troubles(scene.ground) and _answered(scene) else 0
        return good >= _STEADY_SAMPLES

    try:
        at = scene.until(flows, promise.recover_seconds, "all flows as before")
    except Retryable:
        late = "".join(f"{seconds:.0f} s" for seconds in sampler.late(since)[-1:]) or "nobody knows how much"
        scene.did("; ".join([f"not recovered: late by {late}, {limit:.0f} s are allowed", *troubles(scene.ground)]))
        return None
    scene.did("recovered: all flows as before")
    return at


def troubles(ground: Ground) -> list[str]:
    """What keeps a stack from being well; empty: nothing."""
    found = []
    for part in ground.workers():
        if (reason := gauges.trouble(part.health)) is not None:
            found.append(f"{part.name}: {reason}")
            continue
        values = gauges.read(part.health)
        if kind(part.name) == "edge" and values.get("logflume_edge_spool_age_seconds", 0.0):
            found.append(f"{part.name}: its spool is not empty")
        if kind(part.name) == "sink" and values.get("logflume_sink_parked_pairs", 0.0):
            found.append(f"{part.name}: {values['logflume_sink_parked_pairs']:.0f} pairs are parked")
    return found


def _answered(scene: Scene) -> bool:
    """Whether every sender that still sends had an acknowledgement lately."""
    return all(
        time.time() - sending.acknowledged_at() < 2.0 + scene.size.promise.within_seconds / 5
        for sending in scene.sendings
        if scene.sends(sending)
    )


def _at_rest(ground: Ground, sampler: Sampler) -> str | None:
    """Wait until nothing of the drill's is on its way any more; what still is, when that does not come in time."""
    deadline = time.monotonic() + _REST_SECONDS
    while found := troubles(ground):
        if time.monotonic() > deadline:
            return "; ".join(found)
        time.sleep(0.3)
    try:
        if ground.ours:
            wait_at_rest(ground.settings, lambda _: None, max(30.0, deadline - time.monotonic()))
        else:
            _all_done(sampler, deadline)
    except Retryable as error:
        return str(error)
    return None


def _all_done(sampler: Sampler, deadline: float) -> None:
    """On a stack where others go on sending: until what came before is sorted, and then what was sorted is stored."""
    for what in ("to sort", "to store"):
        since = time.time()
        while sampler.done_until(what) < since:
            if time.monotonic() > deadline:
                raise Retryable(f"after {_REST_SECONDS:.0f} s there is still something {what}")
            time.sleep(0.3)


# --- counting ---------------------------------------------------------------------------------------------------------


def _count(
    ground: Ground, scene: Scene, cast: Cast, since: witness.Marks
) -> tuple[tuple[Check, ...], list[Files], str, dict[str, int]]:
    """Compare the senders' books, Kafka and the tables' files."""
    names = [tenant.name for tenant in cast.everybody]
    sent = booked([sending.book for sending in scene.sendings], names, scene.run)
    totals: Counter[str] = Counter()
    for sending in scene.sendings:
        for sums in book.sums(book.read(sending.book), names).values():
            totals.update({"acknowledged": sums.acknowledged, "doubtful": sums.doubtful, "broken": sums.bad})
            totals.update({"refused answers": sums.refused, "wrong answers": sums.wrong})
    doubtful_bad = sum(
        entry.bad
        for sending in scene.sendings
        for entry in book.read(sending.book)
        if entry.outcome in (book.DOUBTFUL, book.WRONG)
    )
    account = witness.account(ground.settings, since)
    store = Store.from_settings(ground.settings)
    files = active_files(store.filesystem, store.root, store.url, store.delta_options, frozenset(names))
    id_fields = {name: dataset.id_field for name, dataset in ground.datasets.items()}
    # On a stack of others their messages stand among ours: then only ids can be compared.
    log, dead = (account.log, account.dead) if ground.ours else (None, None)
    found = counting.judge(sent, files, store.filesystem, id_fields, log=log, dead=dead, since=since.since)
    letters = sum(account.letters.values())
    of_all = (
        Check("dead letters, against broken records sent", totals["broken"], letters, doubtful_bad),
        Check("messages in Kafka, against how far its offsets moved", account.offsets, account.log.num_rows),
    )
    checks = (
        *found.checks,
        *(of_all if ground.ours else ()),
        Check("answers that do not fit what was sent", 0, totals["wrong answers"]),
        Check(f"tenants who sent, of {len(names)} whose rows are at rest", *_owners(sent, files)),
    )
    counts = {**totals, "stored": found.stored_rows, "dead letters": letters, "tables": len(files)}
    return checks, files, found.explain(), {name: int(value) for name, value in counts.items()}


def _owners(sent: Sent, files: Sequence[Files]) -> tuple[int, int]:
    table = sent.table()
    senders = set(table.filter(np.logical_not(table["doubtful"].to_numpy()))["tenant"].unique().to_pylist())
    return len(senders), len(senders & {each.tenant for each in files if each.rows})


def booked(books: Sequence[Path], names: Sequence[str], run: int) -> Sent:
    """Make of the ranges in books the records that the judge knows."""
    ranges: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    for path in books:
        for entry in book.read(path):
            if entry.rows:
                doubtful = entry.outcome != book.ACKNOWLEDGED
                ranges.setdefault((entry.tenant, doubtful), []).append((entry.first, entry.rows))
    sent = Sent()
    for (tenant, doubtful), found in ranges.items():
        start = book.first_id(run, tenant)
        numbers = np.concatenate([np.arange(start + f, start + f + n, dtype=np.uint64) for f, n in found])
        sent.add_ids(names[tenant], DATASET, text_ids(numbers), doubtful=doubtful)
    return sent


# --- charts -----------------------------------------------------------------------------------------------------------


def _charts(
    scene: Scene, times: Mapping[str, timeline.Group], series: Mapping[str, Mapping[str, Points]], ended: float
) -> tuple[Chart, ...]:
    end = int(ended)
    rates: dict[str, Points] = {}
    waits: dict[str, Points] = {}
    for name, group in times.items():
        if not group.came.any():
            continue
        rates[f"{name}: came"] = [(t, float(group.came[t])) for t in range(min(end, group.seconds))]
        rates[f"{name}: at rest"] = [(t, float(group.rested[t])) for t in range(min(end, group.seconds))]
        waited = ((t, group.waited(t, t + 1, 0.95)) for t in range(min(end, group.seconds)))
        waits[name] = [(t, value) for t, value in waited if value is not None]

    def since_start(lines: Mapping[str, Points]) -> dict[str, Points]:
        return {name: [(at - scene.started, value) for at, value in points] for name, points in lines.items()}

    memory = {name: [(at, value / 1e6) for at, value in points] for name, points in series["memory"].items()}
    return (
        Chart("Rows by the second of their arrival, and of their rest", "rows/s", rates),
        Chart("How long 95 % of the rows that came in a second waited until at rest", "s", waits),
        Chart("Lag", "messages", since_start(series["lag"])),
        Chart("Age of the oldest that a stage has not done", "s", since_start(series["late"])),
        Chart("Pressure: parts of a limit", LIMIT, since_start(series["pressure"])),
        Chart("Memory", "MB", since_start(memory)),
    )


def _machine() -> str:
    memory = psutil.virtual_memory().total / 1e9
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {system}"


def shortened(size: Size, seconds: float | None) -> Size:
    """Return ``size`` with its harm lasting ``seconds``, when that is given."""
    return size if seconds is None else replace(size, harm_seconds=seconds)
