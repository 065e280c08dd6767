"""What a sink knows of single tenants: who waits, whose bytes it stores, how fresh their tables are.

TE1 What is told is bounded: the ``most`` tables of each order (longest wait, most bytes, least fresh), and all others
    as one.
TE2 Stored bytes and rows are those of the last whole minute; freshness is the worst of that minute and of this one.
TE3 Who waits is known of rows that this sink has read, or that are parked; not of what still lies in the log.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from logflume.clock import Clock
from logflume.kafka.status import Share, bounded
from logflume.sink.flushes import Landing
from logflume.sink.partition import Partition

_MINUTE: Final = 60.0
_LOOK_SECONDS: Final = 2.0  # a walk over 20,000 pairs takes 10 ms

_Table = tuple[str, str]
"""Tenant and dataset."""


@dataclass(slots=True)
class _Stored:
    rows: int = 0
    bytes: int = 0
    longest_seconds: float = 0.0


class Tenants:
    """See TE1 to TE3. ``landed`` and ``look`` are the worker's thread's, ``told`` anybody's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now: dict[_Table, _Stored] = {}
        self._last: dict[_Table, _Stored] = {}
        self._until = clock.monotonic() + _MINUTE
        self._waiting: dict[_Table, tuple[int, int]] = {}
        self._look_at = 0.0

    def landed(self, landing: Landing) -> None:
        """Count what came to rest in a table."""
        rested, flush = landing.rested, landing.flush
        if rested is None or flush.flight.intent is not None:
            return
        with self._lock:
            self._turn()
            stored = self._now.setdefault((flush.pair.tenant, flush.partition.dataset.name), _Stored())
            stored.rows += rested.rows
            stored.bytes += rested.bytes
            if rested.freshness is not None:
                stored.longest_seconds = max(stored.longest_seconds, rested.freshness.longest_seconds)

    def look(self, partitions: Iterable[Partition], now: float) -> None:
        """See who waits, now and then: rows of tables and jobs that are not at rest, and since when Kafka has them."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        waiting: dict[_Table, tuple[int, int]] = {}

        def add(tenant: str, dataset: str, rows: int, since_ms: int) -> None:
            before = waiting.get((tenant, dataset))
            if before is not None:
                rows, since_ms = rows + before[0], min(since_ms, before[1])
            waiting[tenant, dataset] = rows, since_ms

        for partition in partitions:
            dataset = partition.dataset.name
            for pair in partition.buffers:
                if pair.first_ms:
                    add(pair.tenant, dataset, pair.rows + (pair.flight.rows if pair.flight else 0), pair.first_ms)
            for entry in partition.behind.parking:
                if entry.away and entry.since_ms:
                    add(entry.outlet.tenant, dataset, 0, entry.since_ms)
        self._waiting = waiting  # replaced as a whole: read by another thread

    def told(self, most: int) -> tuple[Share, ...]:
        """Return what is told of tenants (TE1), the others last; empty when there is nothing to tell."""
        waiting, now_ms = self._waiting, self._clock.now_ns() / 1e6
        with self._lock:
            self._turn()
            stored = {table: replace(of) for table, of in self._last.items()}
            fresh = {table: of.longest_seconds for table, of in self._now.items()}
        shares = []
        for table in waiting.keys() | stored.keys() | fresh.keys():
            of = stored.get(table, _Stored())
            rows, since_ms = waiting.get(table, (0, now_ms))
            worst = max(of.longest_seconds, fresh.get(table, 0.0))
            shares.append(Share(*table, rows, max(0.0, (now_ms - since_ms) / 1e3), of.rows, of.bytes, worst))
        return bounded(shares, most)

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._until:
            self._last = self._now if now < self._until + _MINUTE else {}
            self._now, self._until = {}, now + _MINUTE
