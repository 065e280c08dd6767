"""Which tenants' rows are flushed next.

W1  Rows past their age go first, the oldest before all: otherwise the smallest tenants never flush, and a restart
    reads hours again.
W2  Then the pairs with rows or bytes enough for a good file; when memory presses, the largest ones, whatever they have.
W3  A pair whose flush failed comes again when its time to retry has come, and keeps its place by age.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from logflume.sink.buffers import Lane, Pair
from logflume.sink.partition import Partition


@dataclass(frozen=True, slots=True)
class Limits:
    """When a pair is flushed."""

    age_seconds: float
    rows: int
    bytes: int


class Due(NamedTuple):
    """A pair to be flushed now, and why: ``age``, ``rows``, ``bytes``, ``memory``, ``behind`` or ``drain``."""

    partition: Partition
    pair: Pair
    cause: str


class _Waiting(NamedTuple):
    until: float
    number: int
    """Tells two of one moment apart, in the order of their coming."""
    since: float
    partition: Partition
    pair: Pair


class Schedule:
    """The order of flushes over all partitions. Used by one thread.

    A tick costs what may go now, not what there is: who flies, or waits for Kafka or for rows, is looked at again when
    that may have changed; who failed, when it may be tried again.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ages: list[_Waiting] = []  # a heap: jobs have ages of their own
        self._numbers = itertools.count()
        self._ripe: dict[Pair, Due] = {}
        self._queues: dict[Lane, list[tuple[bool, float, int, Due]]] = {lane: [] for lane in Lane}  # heaps
        self._blocked: dict[Pair, Due] = {}
        self._failed: dict[Pair, Due] = {}
        self._retries: list[tuple[float, int, Due]] = []  # a heap

    def added(self, partition: Partition, pairs: Iterable[Pair]) -> None:
        """Note that ``pairs`` have got rows of one more block, or the flight of a cut that was found stored."""
        for pair in pairs:
            if pair.flight is not None and pair.flight.again:
                self.ripen(partition, pair, "age")
            limits = self._limits_of(pair)
            if len(pair.segments) == 1:
                until = pair.since + limits.age_seconds
                heapq.heappush(self._ages, _Waiting(until, next(self._numbers), pair.since, partition, pair))
            if pair.rows >= limits.rows:
                self.ripen(partition, pair, "rows")
            elif pair.bytes >= limits.bytes:
                self.ripen(partition, pair, "bytes")

    def changed(self, partition: Partition, pairs: Iterable[Pair]) -> None:
        """Note that the limits of ``pairs`` may be others now."""
        for pair in pairs:
            if pair.segments:
                until = pair.since + self._limits_of(pair).age_seconds
                heapq.heappush(self._ages, _Waiting(until, next(self._numbers), pair.since, partition, pair))

    def landed(self, partition: Partition, pair: Pair, now: float) -> None:
        """Note that the flight of ``pair`` is at rest; what came meanwhile may be due already."""
        limits = self._limits_of(pair)
        if (due := self._blocked.pop(pair, None)) is not None:
            self._queue(due)
        if pair.segments and pair.since + limits.age_seconds <= now:
            self.ripen(partition, pair, "age")
        elif pair.rows >= limits.rows or pair.bytes >= limits.bytes:
            self.ripen(partition, pair, "rows" if pair.rows >= limits.rows else "bytes")

    def ripen(self, partition: Partition, pair: Pair, cause: str) -> None:
        """Have ``pair`` flushed as soon as it can be."""
        if pair not in self._ripe and pair not in self._failed:
            due = self._blocked.pop(pair, None)
            self._queue(Due(partition, pair, cause) if due is None else due)

    def wake(self) -> None:
        """Look again at all who wait for something else than their time: after a commit, cuts may begin."""
        for due in list(self._blocked.values()):
            del self._blocked[due.pair]
            self._queue(due)

    def due(self, now: float, room: Callable[[Lane], bool] = lambda _: True) -> Iterator[Due]:
        """Give the pairs that may be flushed now, in order, while their lane has ``room``; each is forgotten as it is
        given.
        """
        self._ripen_aged(now)
        while self._retries and self._retries[0][0] <= now:
            due = heapq.heappop(self._retries)[-1]
            del self._failed[due.pair]
            self._queue(due)
        for lane, queue in self._queues.items():
            while queue and room(lane):
                due = heapq.heappop(queue)[-1]
                if self._ripe.get(due.pair) is not due:
                    continue  # it was queued again, for another cause
                del self._ripe[due.pair]
                if not _alive(due):
                    continue
                if due.pair.lane is not lane:
                    self._queue(due)
                elif due.pair.retry_at > now:
                    self._failed[due.pair] = due
                    heapq.heappush(self._retries, (due.pair.retry_at, next(self._numbers), due))
                elif not due.pair.ripe:
                    self._blocked[due.pair] = due
                else:
                    yield due

    def _queue(self, due: Due) -> None:
        self._ripe[due.pair] = due
        heapq.heappush(self._queues[due.pair.lane], (*_order(due), next(self._numbers), due))

    def _ripen_aged(self, now: float) -> None:
        """Pairs stand by the time at which they are old enough, so only the front is looked at."""
        while self._ages and self._ages[0].until <= now:
            waiting = heapq.heappop(self._ages)
            pair = waiting.pair
            if pair.segments and pair.since == waiting.since and pair not in self._failed:
                self._blocked.pop(pair, None)
                self._queue(Due(waiting.partition, pair, "age"))

    def _limits_of(self, pair: Pair) -> Limits:
        job = pair.outlet.job
        return self._limits if job is None else Limits(job.max_age_seconds, job.max_rows, job.max_bytes)


def largest(partitions: Iterable[Partition], now: float, enough: float) -> list[Due]:
    """Return pairs whose rows could be sent on their way, the largest first, until these and what is on its way make
    ``enough`` bytes: what to do when memory presses. More would cut all jobs' objects small.
    """
    found = [Due(partition, pair, "memory") for partition in partitions for pair in partition.buffers]
    enough -= sum(due.pair.flight.bytes for due in found if due.pair.flight is not None and not due.pair.failures)
    chosen = []
    for due in sorted((due for due in found if _free(due, now)), key=lambda due: -due.pair.bytes):
        if enough <= 0:
            break
        if due.pair.flight is None:
            chosen.append(due)
            enough -= due.pair.bytes
    return chosen


def _order(due: Due) -> tuple[bool, float]:
    return due.cause != "age", due.pair.since


def _free(due: Due, now: float) -> bool:
    return due.pair.ripe and due.pair.retry_at <= now and _alive(due)


def _alive(due: Due) -> bool:
    return bool(due.pair.segments or due.pair.flight) and not due.partition.closed
