"""Rows of one sorted partition that are read and not durable yet, by outlet: a tenant's table, or one of its jobs.

F1  Every row that was added for an outlet is in exactly one place: buffered, or in its one flight, until that landed.
F2  A flight takes all that its outlet has: every row below the flight's ``upto`` is in it or durable.
F3  ``held`` is the lowest sorted offset of all rows that are buffered or in flight (I5 rests on it).
F4  The flight of a cut is never put back: it is the frozen cut, and is tried again as it is (J1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa

from logflume.kafka.intents import Intent
from logflume.model.tenant import Outlet
from logflume.sink.budget import Budget
from logflume.sink.columns import alike
from logflume.sink.held import Segment, merge

_MERGE_SEGMENTS = 16
"""Fewer segments than this are cheap to put together as they are."""

_WORTH_SEGMENTS = 4
"""When a merge is made, pairs with as many segments take part."""

_MERGE_ROWS = 64
"""Segments of fewer rows than this on average cost more than a copy (about 10 µs a segment against 0.6 µs a row)."""

_LARGE_BYTES = 8 << 20
"""A flush of that costs three times the CPU of one of few rows (15 ms against 5); one of ten times as much, 80 ms."""

NEVER = 1 << 62
"""An offset that no log reaches."""


class Lane(Enum):
    """Flushes that don't wait for those of other lanes: whoever's destination hangs takes no table's turn."""

    TABLES = "tables"
    LARGE = "large"
    """Tables' with so many bytes that the small ones would wait long behind them."""
    OBJECTS = "objects"
    AGAIN = "again"
    """Objects whose last try failed."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One outlet's rows on their way to rest; ``upto`` is the sorted offset up to which they are complete.

    ``intent``: the cut that they are, for a job. ``again``: it was found stored, and may have been written before.
    ``since``, ``since_ms``: as its pair's were.
    """

    segments: Sequence[Segment]
    upto: int
    rows: int
    bytes: int
    since: float
    intent: Intent | None = None
    again: bool = False
    since_ms: int = 0

    def table(self) -> pa.Table:
        """The rows, with the columns that any of them has; may be called from any thread."""
        return pa.Table.from_batches(alike([segment.batch() for segment in self.segments]))

    def offsets(self) -> np.ndarray:
        """The sorted offset of each row, int64, ascending."""
        return np.concatenate([segment.offsets() for segment in self.segments])


@dataclass(slots=True, eq=False)
class Pair:
    """What one outlet has in one sorted partition.

    ``since``: monotonic time of the oldest buffered row; ``since_ms``: when Kafka took its message.
    """

    outlet: Outlet
    segments: list[Segment] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    since_ms: int = 0
    gathering: bool = False
    """The rows of a stored cut are read again: nothing is taken before its end (J2)."""
    flight: Flight | None = None
    flying: bool = False
    """The flight was handed to the pool."""
    waiting: bool = False
    """The flight must not begin: Kafka does not have its intent yet (J1)."""
    gone: bool = False
    """The configuration has its job no more: the flight that is under way ends, and nothing is tried again."""
    floor: int = 0
    """Rows below need not hold the commit back: a parked cursor stands for them (Q4 in ``parking``)."""
    failures: int = 0
    failing_since: float = 0.0
    """When the first of these failures was."""
    refused: bool = False
    """The last of them was no matter of the destination being away."""
    retry_at: float = 0.0
    trouble: str = ""
    """What the last flush failed with."""

    @property
    def tenant(self) -> str:
        """Whose rows they are."""
        return self.outlet.tenant

    @property
    def lane(self) -> Lane:
        """Among whom its next flush has its turn."""
        if self.outlet.job is None:
            return Lane.LARGE if (self.flight or self).bytes >= _LARGE_BYTES else Lane.TABLES
        return Lane.AGAIN if self.failures else Lane.OBJECTS

    @property
    def ripe(self) -> bool:
        """Whether a flight can be taken, or the one that was taken can begin."""
        if self.flight is not None:
            return not self.flying and not self.waiting
        return bool(self.segments) and not self.gathering

    @property
    def first(self) -> int:
        """The lowest sorted offset that is not durable."""
        return self.flight.segments[0].first if self.flight else self.segments[0].first

    @property
    def first_ms(self) -> int:
        """When Kafka took the message at ``first``."""
        return self.flight.since_ms if self.flight else self.since_ms

    @property
    def holds(self) -> int:
        """The sorted offset that the commit must not pass for it."""
        return max(self.first, self.floor)

    def small(self, segments: int) -> bool:
        """Whether there are that many segments, so small that a copy of them all comes cheaper."""
        return len(self.segments) >= segments and self.rows < _MERGE_ROWS * len(self.segments)


class Buffers:
    """The pairs of one sorted partition. Used by one thread; only a ``Flight`` is handed to others."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._pairs: dict[Outlet, Pair] = {}
        self._gathering: set[Outlet] = set()
        self._catching: set[Outlet] = set()
        self._failing: set[Pair] = set()
        self._landed_bytes = 0
        self._landed: set[Outlet] = set()  # since flushes fail

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def busy(self) -> bool:
        """Whether there is anything that can come to rest without reading on."""
        return any(not pair.gathering for pair in self._pairs.values())

    @property
    def held(self) -> int | None:
        """The lowest sorted offset whose rows are not all durable; None when nothing is held."""
        return min((pair.holds for pair in self._pairs.values()), default=None)

    def pair(self, outlet: Outlet) -> Pair | None:
        """Return what ``outlet`` has, if it has anything."""
        return self._pairs.get(outlet)

    def holders(self, offset: int) -> list[Pair]:
        """The pairs that hold the commit below ``offset``."""
        return [pair for pair in self._pairs.values() if pair.holds < offset]

    def add(self, segments: Iterable[tuple[Outlet, Segment]], now: float, timestamp_ms: int = 0) -> list[Pair]:
        """Buffer rows of one block, which Kafka took at ``timestamp_ms``; returns the pairs that have rows now."""
        touched = []
        for outlet, segment in segments:
            pair = self._pairs.get(outlet)
            if pair is None:
                floor = NEVER if outlet in self._catching else 0
                pair = self._pairs[outlet] = Pair(outlet, gathering=outlet in self._gathering, floor=floor)
            if pair.gone:
                pair.gone, pair.floor = False, 0
            pair.outlet = outlet  # a job's limits and definition may have changed
            if not pair.segments:
                pair.since, pair.since_ms = now, timestamp_ms
            pair.segments.append(segment)
            pair.rows += segment.rows
            pair.bytes += segment.bytes
            touched.append(pair)
        return touched

    def gather(self, outlet: Outlet) -> None:
        """Keep the rows of ``outlet`` together until they are ``gathered``."""
        self._gathering.add(outlet)

    def gathered(self, outlet: Outlet) -> Pair | None:
        """Note that all rows of a stored cut were added; returns its pair, None when it got no row."""
        self._gathering.discard(outlet)
        pair = self._pairs.get(outlet)
        if pair is not None:
            pair.gathering = False
        return pair

    def catch_up(self, outlet: Outlet) -> None:
        """Let the rows that ``outlet`` gets hold no commit: they come from behind the position, and are read again."""
        self._catching.add(outlet)

    def catch_up_no_more(self, outlet: Outlet) -> None:
        """Take that back, for what it has not got yet."""
        self._catching.discard(outlet)

    def hand_over(self, outlet: Outlet, offset: int) -> None:
        """Let the rows of ``outlet`` from ``offset`` on hold the commit."""
        self._catching.discard(outlet)
        if (pair := self._pairs.get(outlet)) is not None:
            pair.floor = offset

    def take(self, pair: Pair, upto: int, intent: Intent | None = None, *, again: bool = False) -> Flight:
        """Take all buffered rows of ``pair``; it must have some, and none in flight."""
        if pair.flight is not None or not pair.segments:
            raise ValueError(f"{pair.tenant} has a flight already, or nothing to send")
        if pair.small(_MERGE_SEGMENTS):
            self._merge()
        segments = tuple(pair.segments)
        pair.flight = Flight(segments, upto, pair.rows, pair.bytes, pair.since, intent, again, pair.since_ms)
        pair.flying = intent is None  # a table's goes at once; a cut has to be told to Kafka first
        pair.segments, pair.rows, pair.bytes = [], 0, 0
        return pair.flight

    def landed(self, pair: Pair) -> None:
        """Note that the flight of ``pair`` is durable."""
        if pair.flight is None:
            raise ValueError(f"{pair.tenant} has no flight")
        self._landed_bytes += pair.flight.bytes
        for segment in pair.flight.segments:
            segment.held.release()
        pair.flight, pair.flying, pair.failures, pair.retry_at = None, False, 0, 0.0
        self._failing.discard(pair)
        if self._failing:
            self._landed.add(pair.outlet)
        if not pair.segments:
            del self._pairs[pair.outlet]

    def failed(self, pair: Pair, retry_at: float, trouble: str, now: float = 0.0, *, refused: bool = False) -> None:
        """Put a table's rows back before those that came since; the next flight takes them all. A cut stays (F4)."""
        flight = pair.flight
        if flight is None:
            raise ValueError(f"{pair.tenant} has no flight")
        if flight.intent is None:
            pair.segments[:0] = flight.segments
            pair.rows += flight.rows
            pair.bytes += flight.bytes
            pair.since, pair.since_ms = flight.since, flight.since_ms
            pair.flight = None
        if not pair.failures:
            pair.failing_since = now
        if not self._failing:
            self._landed_bytes = 0
            self._landed.clear()
        pair.flying, pair.failures, pair.retry_at = False, pair.failures + 1, retry_at
        pair.trouble, pair.refused = trouble, refused
        self._failing.add(pair)

    def drop(self, pair: Pair) -> None:
        """Release what ``pair`` has, buffered and in a flight that is not under way: its rows are not stored here."""
        if pair.flying:
            raise ValueError(f"{pair.tenant} has a flight under way")
        _release(pair)
        self._failing.discard(pair)
        self._gathering.discard(pair.outlet)
        del self._pairs[pair.outlet]

    def forsake(self, pair: Pair) -> None:
        """Release the buffered rows of ``pair``, whose flight is under way and ends as it may."""
        for segment in pair.segments:
            segment.held.release()
        pair.segments, pair.rows, pair.bytes, pair.gone, pair.floor = [], 0, 0, True, NEVER

    def failing(self) -> Collection[Pair]:
        """The pairs whose last flush failed."""
        return self._failing

    @property
    def failing_bytes(self) -> int:
        """What the failing pairs hold."""
        return sum(pair.bytes + (pair.flight.bytes if pair.flight else 0) for pair in self._failing)

    @property
    def failing_share(self) -> float:
        """Which part of all that came since flushes fail belongs to those that fail: of the bytes or of the outlets,
        whichever is less. (A whale that fails alone has almost all bytes, and others wait for it.)
        """
        held = sum(pair.bytes + (pair.flight.bytes if pair.flight else 0) for pair in self._pairs.values())
        outlets = len(self._pairs) + sum(outlet not in self._pairs for outlet in self._landed)
        return min(self.failing_bytes / max(1, held + self._landed_bytes), len(self._failing) / max(1, outlets))

    def clear(self) -> None:
        """Forget everything. Rows in flight count no more either: how their flight ends is not heard."""
        for pair in self._pairs.values():
            _release(pair)
        self._pairs.clear()
        self._gathering.clear()
        self._catching.clear()
        self._failing.clear()

    def _merge(self) -> None:
        """Copy all small segments of the partition together, so that each outlet's rows lie in one piece."""
        small = [pair for pair in self._pairs.values() if pair.small(_WORTH_SEGMENTS)]
        merged = merge([(pair.outlet, segment) for pair in small for segment in pair.segments], self._budget)
        for pair, (_, segment) in zip(small, merged, strict=True):
            pair.segments = [segment]
            pair.bytes = segment.bytes


def _release(pair: Pair) -> None:
    for segment in (*pair.segments, *(pair.flight.segments if pair.flight else ())):
        segment.held.release()
    # Whoever still waits for the pair's age must not keep its rows in memory.
    pair.segments, pair.flight, pair.rows, pair.bytes = [], None, 0, 0
