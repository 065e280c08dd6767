"""Flushes: threads that bring flights to rest in their tables.

L1  At most one flush of a pair runs at a time (the buffers allow one flight).
L2  Rows are stored only after the topic was found to be, *after they were read*, the one that the partition was opened
    with: of a topic deleted and made again nothing is stored under the old one's id.
L3  Every flush that was submitted and not cancelled gives exactly one ``Landing``, whatever happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from logflume import crash
from logflume.clock import Clock
from logflume.kafka.identity import SameTopics
from logflume.sink.buffers import Flight, Pair
from logflume.sink.partition import Partition
from logflume.table.store import Store
from logflume.table.table import Appended, Table


@dataclass(frozen=True, slots=True, eq=False)
class Flush:
    """One tenant's flight, and where it goes. ``taken_at``: monotonic, after all of its rows were read."""

    partition: Partition
    pair: Pair
    flight: Flight
    cause: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of a flush: ``appended`` or ``error``."""

    flush: Flush
    appended: Appended | None
    error: Exception | None
    seconds: float


class Tables:
    """Stores a flight in its tenant's table. Called from the pool's threads."""

    def __init__(self, store: Store, same: SameTopics, clock: Clock) -> None:
        self._store = store
        self._same = same
        self._clock = clock

    def append(self, flush: Flush) -> Appended:
        """Return when the flight is durable in the table, together with how far the table now holds the partition."""
        partition = flush.partition
        self._same.check(partition.topic, partition.topic_id, flush.taken_at)  # L2
        table = Table(self._store, partition.dataset, flush.pair.tenant, clock=self._clock)
        flight = flush.flight
        appended = table.append(partition.app_id, flight.upto, flight.offsets(), flight.table())
        crash.point("sink.delta-committed")
        return appended


class FlushPool:
    """A fixed number of threads. ``submit``, ``landings`` and the rest are called by one thread."""

    def __init__(self, threads: int, append: Callable[[Flush], Appended]) -> None:
        self._append = append
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
            appended, error = self._append(flush), None
        except Exception as failure:  # outermost of its thread: the worker counts, logs and decides
            appended, error = None, failure
        return Landing(flush, appended, error, time.monotonic() - began)
