"""Which tenants' rows are flushed next.

W1  Rows past their age go first, the oldest before all: otherwise the smallest tenants never flush, and a restart
    reads hours again.
W2  Then the pairs with rows or bytes enough for a good file; when memory presses, the largest ones, whatever they have.
W3  A pair whose flush failed comes again when its time to retry has come, and keeps its place by age.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from logflume.sink.buffers import Pair
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
    """The order of flushes over all partitions. Used by one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ages: list[_Waiting] = []  # a heap: jobs have ages of their own
        self._numbers = itertools.count()
        self._ripe: dict[Pair, Due] = {}

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

    def landed(self, partition: Partition, pair: Pair, now: float) -> None:
        """Note that the flight of ``pair`` is at rest; what came meanwhile may be due already."""
        limits = self._limits_of(pair)
        if pair.segments and pair.since + limits.age_seconds <= now:
            self.ripen(partition, pair, "age")
        elif pair.rows >= limits.rows or pair.bytes >= limits.bytes:
            self.ripen(partition, pair, "rows" if pair.rows >= limits.rows else "bytes")

    def ripen(self, partition: Partition, pair: Pair, cause: str) -> None:
        """Have ``pair`` flushed as soon as it can be."""
        if pair not in self._ripe:
            self._ripe[pair] = Due(partition, pair, cause)

    def due(self, now: float) -> Iterator[Due]:
        """Give the pairs that may be flushed now, in order; each is forgotten here as it is given."""
        self._ripen_aged(now)
        ready = [due for due in self._ripe.values() if _free(due, now) or not _alive(due)]
        for due in sorted(ready, key=_order):
            del self._ripe[due.pair]
            if _alive(due):
                yield due

    def _ripen_aged(self, now: float) -> None:
        """Pairs stand by the time at which they are old enough, so only the front is looked at."""
        while self._ages and self._ages[0].until <= now:
            waiting = heapq.heappop(self._ages)
            pair = waiting.pair
            if pair.segments and pair.since == waiting.since:
                self._ripe.pop(pair, None)
                self.ripen(waiting.partition, pair, "age")

    def _limits_of(self, pair: Pair) -> Limits:
        job = pair.outlet.job
        return self._limits if job is None else Limits(job.max_age_seconds, job.max_rows, job.max_bytes)


def largest(partitions: Iterable[Partition], now: float) -> list[Due]:
    """Return all pairs that could be flushed, the largest first: what to do when memory presses."""
    found = [Due(partition, pair, "memory") for partition in partitions for pair in partition.buffers]
    return sorted((due for due in found if _free(due, now) and _alive(due)), key=lambda due: -due.pair.bytes)


def _order(due: Due) -> tuple[bool, float]:
    return due.cause != "age", due.pair.since


def _free(due: Due, now: float) -> bool:
    return due.pair.ripe and due.pair.retry_at <= now


def _alive(due: Due) -> bool:
    return bool(due.pair.segments or due.pair.flight) and not due.partition.closed
