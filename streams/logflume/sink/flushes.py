"""Flushes: threads that bring flights to rest.

L1  At most one flush of a pair runs at a time (the buffers allow one flight).
L3  Every flush that was submitted and not cancelled gives exactly one ``Landing``, whatever happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from logflume import metrics
from logflume.sink.buffers import Flight, Pair
from logflume.sink.partition import Partition


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
        else:
            metrics.JOB_ROWS.labels(dataset).inc(rested.rows)
            metrics.JOB_BYTES.labels(dataset).inc(rested.bytes)
            metrics.JOB_OBJECTS.labels(dataset).inc(rested.files)


class FlushPool:
    """A fixed number of threads. ``submit``, ``landings`` and the rest are called by one thread."""

    def __init__(self, threads: int, bring: Callable[[Flush], Rested]) -> None:
        self._bring = bring
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="flush")
        self._running: dict[Flush, Future[Landing]] = {}

    @property
    def room(self) -> int:
        """How many more flushes are worth submitting: a few wait, so that no thread idles while the worker reads."""
        return max(0, 4 * self._threads - len(self._running))

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._running)

    def submit(self, flush: Flush) -> None:
        """Have a flush done; never blocks."""
        self._running[flush] = self._pool.submit(self._run, flush)

    def landings(self) -> list[Landing]:
        """Return what has ended since the last call."""
        ended = [(flush, future) for flush, future in self._running.items() if future.done()]
        for flush, _ in ended:
            del self._running[flush]
        return [future.result() for _, future in ended]

    def settle(self, partitions: Collection[Partition] | None, seconds: float) -> bool:
        """Take back the flushes of ``partitions`` (None: all) that have not begun, and wait for those that run.

        Returns False when some still ran after ``seconds``. Their landings come as ever; a cancelled one has none.
        """
        theirs = {
            flush: future
            for flush, future in self._running.items()
            if partitions is None or flush.partition in partitions
        }
        for flush, future in theirs.items():
            if future.cancel():
                del self._running[flush]
        return not wait([future for future in theirs.values() if not future.cancelled()], timeout=seconds).not_done

    def close(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, flush: Flush) -> Landing:
        began = time.monotonic()
        try:
            rested, error = self._bring(flush), None
        except Exception as failure:  # outermost of its thread: the worker counts, logs and decides
            rested, error = None, failure
        return Landing(flush, rested, error, time.monotonic() - began)
