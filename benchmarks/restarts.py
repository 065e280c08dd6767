"""How long records wait while sorters and sinks restart, without names in their groups and with (KIP-345).

``python -m benchmarks.restarts``: two sorters, two sinks, every setting at its default, a light and steady load. First
all four are restarted, one by one: asked to end, started again, ready, the next. Then the sorter that has done most is
killed, later such a sink, and each is started again at once, as whoever keeps it running would. A record waits from its
arrival at the edge until its file is in the table; all rows that came in a window are looked at.

As ``python -m benchmarks.restarts feed`` it is the sender, until SIGTERM.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console

from benchmarks import records
from benchmarks.measure import ROOT
from benchmarks.services import Services, environment, services, wait_at_rest
from benchmarks.shown import show
from logflume.demo.judge import active_files
from logflume.drill import gauges, timeline
from logflume.edge import Client
from logflume.errors import Fatal, Retryable
from logflume.local.process import Process, free_ports
from logflume.settings import PREFIX, Settings
from logflume.table.store import Store

BUILD: Final = ROOT / "build" / "restarts"
RESULT: Final = ROOT / "build" / "restarts.json"
TENANTS: Final = [f"t{number:02}" for number in range(20)]
STAGES: Final = ("sort", "sink")
EACH: Final = 2
_EVERY_SECONDS: Final = 0.1
_CALM_SECONDS: Final = 15.0
_KILLED_SECONDS: Final = 80.0
"""Longer than any session time-out: 60 s a sorter's, 45 s a sink's."""
_READY_SECONDS: Final = 180.0
_END_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Waited:
    """How long rows waited that came in a window, in seconds; ``seconds``: how long that was."""

    seconds: float
    rows: int
    p50: float
    p95: float
    worst: float


class Pipeline:
    """Workers that are known by their place, and may have a name in their group as well."""

    def __init__(self, running: Services, *, named: bool) -> None:
        self._folder = running.folder
        self._named = named
        self.settings = running.settings("named" if named else "unnamed", TENANTS)
        self._workers: dict[str, tuple[Process, int]] = {}

    @property
    def places(self) -> list[str]:
        """Every worker's."""
        return [f"{stage}-{number}" for stage in STAGES for number in range(EACH)]

    @property
    def processes(self) -> list[Process]:
        """Those of now."""
        return [process for process, _ in self._workers.values()]

    def start(self, place: str) -> None:
        """Start the worker of a place."""
        [port] = free_ports(1)
        own = {"HTTP_PORT": str(port), "GROUP_INSTANCE_ID": place if self._named else ""}
        variables = environment(self.settings) | {PREFIX + name: value for name, value in own.items()}
        command = [sys.executable, "-m", "logflume", place.partition("-")[0]]
        log = self._folder / self.settings.topic_prefix.strip(".") / f"{place}.log"
        self._workers[place] = (Process.start(command, log, variables), port)

    def wait_ready(self, place: str) -> None:
        """Wait until its ``/ready`` says yes."""
        process, port = self._workers[place]
        deadline = time.monotonic() + _READY_SECONDS
        while (reason := gauges.trouble(f"http://127.0.0.1:{port}")) is not None:
            if not process.alive() or time.monotonic() > deadline:
                raise Retryable(f"{place} is not ready: {reason}\n{process.tail(30)}")
            time.sleep(0.1)

    def busiest(self, stage: str) -> str:
        """The worker of a stage that has done most rows: the other one may have partitions in which nothing comes."""
        places = [place for place in self.places if place.startswith(stage)]
        metric = f"logflume_{stage}_rows_total"
        return max(places, key=lambda at: gauges.read(f"http://127.0.0.1:{self._workers[at][1]}").get(metric, 0.0))

    def restart(self, place: str) -> None:
        """As an update does."""
        self._workers[place][0].stop(_END_SECONDS)
        self.start(place)
        self.wait_ready(place)

    def kill(self, place: str) -> None:
        """``kill -9``; another is started at once."""
        self._workers[place][0].kill()
        self.start(place)


def main() -> None:
    """Measure, print the table, write build/restarts.json."""
    console, found = Console(), {}
    shutil.rmtree(BUILD, ignore_errors=True)
    with services(BUILD) as running:
        for name, named in (("without names", False), ("with names", True)):
            console.print(f"{name} …")
            found[name] = measure(running, console, named=named)
    plain = {name: {window: asdict(each) for window, each in windows.items()} for name, windows in found.items()}
    RESULT.write_text(json.dumps(plain, indent=2) + "\n")
    show(console, [table(found)])


def table(found: dict[str, dict[str, Waited]]) -> tuple[str, Sequence[str], list[tuple[str, ...]]]:
    """Title, columns and rows of what was measured."""
    columns = ("", *(f"{name}, {figure}" for name in found for figure in ("p50 s", "p95 s", "worst s")))
    windows = next(iter(found.values()))
    rows = [
        (
            window,
            *(f"{value:.1f}" for of in found.values() for value in (of[window].p50, of[window].p95, of[window].worst)),
        )
        for window in windows
    ]
    return "How long records waited", columns, rows


def measure(running: Services, console: Console, *, named: bool) -> dict[str, Waited]:
    """Return what was seen in each window."""
    pipeline = Pipeline(running, named=named)
    for place in pipeline.places:
        pipeline.start(place)
    for place in pipeline.places:
        pipeline.wait_ready(place)
    began = time.time()
    feed = Process.start(
        [sys.executable, "-m", "benchmarks.restarts", "feed"],
        running.folder / "feed.log",
        environment(pipeline.settings),
        ROOT,
    )
    windows: dict[str, tuple[float, float]] = {}

    def window(name: str, since: float) -> None:
        windows[name] = (since, time.time() - began)
        console.print(f"  {name}: {windows[name][1] - since:.0f} s")

    try:
        time.sleep(2 * _CALM_SECONDS)
        window("nothing is restarted", _CALM_SECONDS)
        since = time.time() - began
        for place in pipeline.places:
            pipeline.restart(place)
        window("all restarted, one by one", since)
        for stage in STAGES:
            time.sleep(2 * _CALM_SECONDS)
            since, victim = time.time() - began, pipeline.busiest(stage)
            pipeline.kill(victim)
            time.sleep(_KILLED_SECONDS)
            window(f"a {'sorter' if stage == 'sort' else stage} killed", since)
            pipeline.wait_ready(victim)
    finally:
        feed.stop(_END_SECONDS)
    try:
        wait_at_rest(pipeline.settings, pipeline.processes)
        sent = int(feed.tail(1))
        return _waited(pipeline.settings, began, windows, sent)
    finally:
        for process in pipeline.processes:
            process.stop(_END_SECONDS)


def _waited(settings: Settings, began: float, windows: dict[str, tuple[float, float]], sent: int) -> dict[str, Waited]:
    store = Store.from_settings(settings)
    files = active_files(store.filesystem, store.root, store.url, store.delta_options)
    if (stored := sum(each.rows for each in files)) != sent:
        raise Fatal(f"{sent} rows were sent and {stored} are at rest in {store.url}")
    seconds = int(time.time() - began) + 1
    rows = timeline.read(store.filesystem, files, dict.fromkeys(TENANTS, ""), began, seconds)[""]
    found = {}
    for name, (since, until) in windows.items():
        p50, p95, worst = (rows.waited(since, until, share) or 0.0 for share in (0.5, 0.95, 1.0))
        found[name] = Waited(until - since, int(rows.rate(since, until) * int(until - since)), p50, p95, worst)
    return found


def feed() -> None:
    """Log a record of each tenant a tenth of a second, until SIGTERM; prints how many there were."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    sent = 0
    with Client(Settings()) as client:
        while not ended.wait(_EVERY_SECONDS):
            for tenant in TENANTS:
                client.log(tenant, records.DATASET, {"RayID": f"{sent:016x}", "EdgeStartTimestamp": time.time_ns()})
                sent += 1
        client.flush(_END_SECONDS)
    print(sent)


if __name__ == "__main__":
    feed() if sys.argv[1:] == ["feed"] else main()
