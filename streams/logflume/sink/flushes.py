"""Flushes: threads that bring flights to rest, some for tables and others for objects.

L1  At most one flush of a pair runs at a time (the buffers allow one flight).
L2  A destination that hangs or fails takes no thread from tables, and after its first failure at most half of those of
    other objects.
L3  Every flush that was submitted and not cancelled gives exactly one ``Landing``, whatever happened.
L4  One thread is never given to a large flush: a tenant of whatever size, over however many partitions, does not keep
    the small ones waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

from logflume import metrics
from logflume.sink.buffers import Flight, Lane, Pair
from logflume.sink.freshness import Freshness
from logflume.sink.partition import Partition

_OBJECT_SECONDS = 2.0  # most objects are written within; one that is not was told to Kafka, and comes again
_OF_TABLES = frozenset({Lane.TABLES, Lane.LARGE})


@dataclass(frozen=True, slots=True, eq=False)
class Flush:
    """One outlet's flight. ``taken_at``: monotonic, after all of its rows were read."""

    partition: Partition
    pair: Pair
    flight: Flight
    cause: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class Rested:
    """What is durable now: ``rows`` in ``files`` of ``bytes``; ``skipped`` rows were at rest already."""

    rows: int
    files: int
    bytes: int
    skipped: int
    freshness: Freshness | None = None
    """Of a table's rows."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of a flush: ``rested`` or ``error``."""

    flush: Flush
    rested: Rested | None
    error: Exception | None
    seconds: float

    def count(self) -> None:
        """Tell the metrics of what came to rest."""
        rested, dataset = self.rested, self.flush.partition.dataset.name
        assert rested is not None  # a landing has one of the two
        metrics.SINK_FLUSHES.labels(dataset, self.flush.cause).inc()
        metrics.SINK_FLUSH_SECONDS.observe(self.seconds)
        if self.flush.flight.intent is None:
            metrics.SINK_ROWS.labels(dataset).inc(rested.rows)
            metrics.SINK_BYTES.labels(dataset).inc(rested.bytes)
            metrics.TABLE_FILES.labels(dataset).inc(rested.files)
            metrics.TABLE_SKIPPED.labels(dataset).inc(rested.skipped)
            if (fresh := rested.freshness) is not None:
                metrics.SINK_SEARCHABLE.add((dataset,), fresh.counts, fresh.total_seconds)
        else:
            metrics.JOB_ROWS.labels(dataset).inc(rested.rows)
            metrics.JOB_BYTES.labels(dataset).inc(rested.bytes)
            metrics.JOB_OBJECTS.labels(dataset).inc(rested.files)


class _Running(NamedTuple):
    future: Future[Landing]
    lane: Lane


class FlushPool:
    """A fixed number of threads. ``submit``, ``landings`` and the rest are called by one thread."""

    def __init__(self, threads: int, bring: Callable[[Flush], Rested], object_threads: int = 2) -> None:
        """``threads`` are for tables, and one more for small flushes alone (L4)."""
        self._bring = bring
        # A few flushes wait, so that no thread idles while the worker reads; of those that failed none.
        self._room = {
            Lane.TABLES: 4 * threads,
            Lane.LARGE: threads,
            Lane.OBJECTS: 4 * object_threads,
            Lane.AGAIN: max(1, object_threads // 2),
        }
        self._tables = ThreadPoolExecutor(threads + 1, thread_name_prefix="flush")
        self._objects = ThreadPoolExecutor(object_threads, thread_name_prefix="object")
        self._running: dict[Flush, _Running] = {}

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._running)

    def longest(self, now: float) -> str:
        """Say which flush has been under way, or waiting for a thread, for the longest time; empty: none is."""
        oldest = min(self._running, key=lambda flush: flush.taken_at, default=None)
        if oldest is None:
            return ""
        job = f" (job {oldest.pair.outlet.name})" if oldest.pair.outlet.name else ""
        where = f"{oldest.pair.tenant}/{oldest.partition.dataset.name}{job}"
        return f"a flush of {where} is under way since {now - oldest.taken_at:.0f} s: does its destination answer?"

    def room(self, lane: Lane) -> bool:
        """Whether one more flush of ``lane`` is worth submitting."""
        return sum(running.lane is lane for running in self._running.values()) < self._room[lane]

    def submit(self, flush: Flush) -> None:
        """Have a flush done; never blocks."""
        lane = flush.pair.lane
        pool = self._tables if lane in _OF_TABLES else self._objects
        self._running[flush] = _Running(pool.submit(self._run, flush), lane)

    def landings(self) -> list[Landing]:
        """Return what has ended since the last call."""
        ended = [(flush, running.future) for flush, running in self._running.items() if running.future.done()]
        for flush, _ in ended:
            del self._running[flush]
        return [future.result() for _, future in ended]

    def settle(self, partitions: Collection[Partition] | None, seconds: float) -> bool:
        """Take back the flushes of ``partitions`` (None: all) that have not begun, and wait for those that run.

        Returns False when one still ran after ``seconds``. An object's of a partition that others have next is waited
        for a little only, and does not count: whoever ends it, or begins it again, writes the same. Landings come as
        ever; a cancelled flush has none.
        """
        tables: list[Future[Landing]] = []
        objects: list[Future[Landing]] = []
        for flush, (future, lane) in list(self._running.items()):
            if partitions is not None and flush.partition not in partitions:
                continue
            if future.cancel():
                del self._running[flush]
            else:
                (tables if lane in _OF_TABLES or partitions is None else objects).append(future)
        late = wait(tables, timeout=seconds).not_done
        wait(objects, timeout=min(seconds, _OBJECT_SECONDS))
        return not late

    def close(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        self._tables.shutdown(wait=False, cancel_futures=True)
        self._objects.shutdown(wait=False, cancel_futures=True)

    def _run(self, flush: Flush) -> Landing:
        began = time.monotonic()
        try:
            rested, error = self._bring(flush), None
        except Exception as failure:  # outermost of its thread: the worker counts, logs and decides
            rested, error = None, failure
        return Landing(flush, rested, error, time.monotonic() - began)
