"""Looking at a stack once a second while a drill goes on: memory, lag, pressure, spool. Bounded: a number a second.

It only reads; what it can't read at a moment (a killed worker) has no point in that second. Nothing that decides
whether rows are right comes from here: that is the judge's, from books and files.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from types import TracebackType

import psutil

from logflume.drill import gauges
from logflume.drill.ground import Ground, kind
from logflume.errors import LogflumeError
from logflume.kafka import client, groups

Series = dict[str, list[tuple[float, float]]]
"""Name to points: unix seconds, value."""

Place = tuple[str, int]
_EVERY_SECONDS = 1.0
_REMEMBERED = 1200
"""Looks at the ends that are remembered: whoever is later than twenty minutes is told to be so late."""

GAUGES = {
    ("edge", "logflume_edge_spool_ratio"): "spool",
    ("edge", "logflume_edge_buffered_bytes"): "edge memory",
    ("sort", "logflume_sort_buffered_bytes"): "sort memory",
    ("sink", "logflume_sink_buffered_bytes"): "sink memory",
    ("watch", "logflume_pressure_ratio"): "pressure",
}
"""Which metric of which worker is which line of the pressure chart; bytes as a part of the worker's budget."""


class Sampler:
    """A thread that samples while the ``with`` block runs."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stop = threading.Event()
        # One each: a Kafka that is down holds whoever asks it for half a minute, a worker for two seconds.
        self._threads = [
            threading.Thread(target=self._run, args=(look,), name="drill-sampler", daemon=True)
            for look in (self._look_at_processes, self._look_at_gauges, self._look_at_kafka)
        ]
        self._lock = threading.Lock()
        self._memory: Series = defaultdict(list)
        self._lag: Series = defaultdict(list)
        self._pressure: Series = defaultdict(list)
        self._late: Series = defaultdict(list)
        self._to_sort, self._to_store = Lateness(), Lateness()
        self._settings = ground.quiet
        self._admin = client.lasting_admin(self._settings)
        self._budgets = {
            "sink memory": ground.settings.sink_memory_bytes,
            "sort memory": ground.settings.sort_memory_bytes,
            "edge memory": ground.settings.edge_memory_bytes,
        }

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def series(self) -> Mapping[str, Series]:
        """Everything so far, by chart: lag (messages; seconds), pressure (parts of a limit), memory (bytes)."""
        charts = {"lag": self._lag, "late": self._late, "pressure": self._pressure, "memory": self._memory}
        with self._lock:
            return {chart: {name: list(points) for name, points in series.items()} for chart, series in charts.items()}

    def most(self) -> dict[str, int]:
        """The most memory that each process had, in bytes."""
        with self._lock:
            return {name: int(max(v for _, v in points)) for name, points in self._memory.items()}

    def late(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """For how many seconds the later of the two groups was behind, in each second looked at."""
        with self._lock:
            found: dict[float, float] = defaultdict(float)
            for points in self._late.values():
                for at, value in points:
                    if since <= at <= until:
                        found[at] = max(found[at], value)
        return [found[at] for at in sorted(found)]

    def done_until(self, what: str) -> float:
        """Up to when everything that had come then is done: ``to sort`` or ``to store``; unix seconds."""
        with self._lock:
            points = self._late.get(what) or [(0.0, 0.0)]
        at, late = points[-1]
        return at - late

    def _run(self, look: Callable[[float], None]) -> None:
        while not self._stop.is_set():
            began = time.time()
            # What is down just now is what the drill is about: there is no point in this second, and that is all.
            with contextlib.suppress(LogflumeError, OSError, psutil.Error):
                look(began)
            self._stop.wait(max(0.0, began + _EVERY_SECONDS - time.time()))

    def _look_at_processes(self, at: float) -> None:
        for part in self._ground.parts():
            if not part.pid:
                continue
            try:
                memory = psutil.Process(part.pid).memory_info().rss
            except psutil.Error:
                continue
            with self._lock:
                self._memory[part.name].append((at, memory))

    def _look_at_gauges(self, at: float) -> None:
        for part in self._ground.workers():
            found = gauges.read(part.health)
            with self._lock:
                for (of, metric), line in GAUGES.items():
                    if of == kind(part.name) and metric in found:  # every process exports every metric
                        self._pressure[line].append((at, found[metric] / self._budgets.get(line, 1)))

    def _look_at_kafka(self, at: float) -> None:
        settings = self._settings
        rows = groups.lag(settings, self._admin)
        with self._lock:
            for group, what, late in (
                (settings.sort_group, "messages to sort", self._to_sort),
                (settings.sink_group, "blocks to store", self._to_store),
            ):
                of = [row for row in rows if row.group == group]
                self._lag[what].append((at, sum(row.lag for row in of)))
                ends = {(row.topic, row.partition): row.end for row in of}
                done = {(row.topic, row.partition): row.end - row.lag for row in of}
                self._late[what.partition(" ")[2]].append((at, late.seconds(at, ends, done)))


class Lateness:
    """How old the oldest thing is that a group has not done: since when its committed offsets are behind the ends."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, Mapping[Place, int]]] = deque(maxlen=_REMEMBERED)

    def seconds(self, at: float, ends: Mapping[Place, int], done: Mapping[Place, int]) -> float:
        """Take in where partitions end now, and how far the group has come; return how late it is."""
        self._ends.append((at, ends))
        for then, reached in reversed(self._ends):
            if all(done.get(place, 0) >= end for place, end in reached.items()):
                return at - then
        return at - self._ends[0][0]
