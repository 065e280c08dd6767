"""The parked outlets of one sorted partition: where each one's rows are read again from, and by whom.

An outlet is parked when it can't store its rows, or must not begin yet. It waits; the catch-up scan, a second reader of
the partition, gives it its rows again from its cursor on; where scan and main reader meet, it is handed over.

Q1  Each row of an outlet comes to it from one reader: what lies before its cursor is durable; from there to the
    handover the scan reads for it and the main reader leaves it out, from the handover on the main reader does.
Q2  A cursor is a place that a reader really had, with every row of the outlet before it durable. It never goes back.
Q3  The record of it is in Kafka with the first position that passes a row which the outlet lacks (one transaction), and
    goes in a transaction whose position is not past any row that the outlet lacks. So a crash at any time leaves each
    row to be read again by somebody.
Q4  Rows that the record stands for hold no commit back, and a parked outlet has nothing in memory.
Q5  A cut that was frozen before the parking is written as it says, before anything else of its job (J2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from logflume.kafka.parked import ParkedCursor
from logflume.kafka.position import Position
from logflume.model.tenant import Outlet

FAILING, NEW = "failing", "new"
"""Why an outlet is parked."""


class Phase(Enum):
    """Who reads for a parked outlet."""

    WAITING = "waiting"
    """Nobody yet."""
    CATCHING = "catching up"
    """The scan."""
    LIVE = "live"
    """The main reader again; but rows from before the handover are not all durable, or the record is still there."""


@dataclass(slots=True, eq=False)
class Parked:
    """One outlet. ``flown`` is how far the flight goes that was taken last; ``handed`` the offset of the handover.

    ``since_ms``, ``flown_ms``: when Kafka took the message there, or one before it: no row that it lacks is older.
    """

    outlet: Outlet
    cursor: Position
    reason: str
    since_ms: int
    gather_bytes: int = 0
    phase: Phase = Phase.WAITING
    flown: Position | None = None
    flown_ms: int = 0
    handed: int = 0
    again_at: float = 0.0
    """Not before this monotonic time it is caught up."""
    trouble: str = ""
    refused: bool = False
    """It failed for a reason of its own, not as its destination was away."""
    tries: int = 0
    """How often it was caught up since this worker has it."""
    stored: ParkedCursor | None = None
    """What Kafka has."""

    @property
    def away(self) -> bool:
        """Whether the main reader leaves out its rows."""
        return self.phase is not Phase.LIVE


@dataclass(frozen=True, slots=True)
class ParkedChange:
    """What the next commit stores of one outlet: ``cursor``, or (None) that its record goes; ``before`` is there."""

    cursor: ParkedCursor | None
    before: ParkedCursor | None

    @property
    def about(self) -> ParkedCursor:
        """A record with the names that make the key."""
        about = self.cursor or self.before
        assert about is not None  # a change has one of the two
        return about

    @property
    def outlet(self) -> Outlet:
        """Whose record it is."""
        return Outlet(self.about.tenant, self.about.job)


class Parking:
    """The state between assignment and revocation. Used by the worker's thread alone.

    A commit costs what has changed: ``_moved`` has who may have another record now, ``_live`` whose may go.
    """

    def __init__(self, topic: str, topic_id: str, partition: int) -> None:
        self._topic = topic
        self._topic_id = topic_id
        self._partition = partition
        self._parked: dict[Outlet, Parked] = {}
        self._away: dict[str, dict[str, Parked]] = {}  # by tenant, then job
        self._live: dict[Outlet, Parked] = {}
        self._moved: dict[Outlet, None] = {}
        self._gone: dict[Outlet, ParkedCursor] = {}  # records of who is parked no more

    def __iter__(self) -> Iterator[Parked]:
        return iter(self._parked.values())

    def __len__(self) -> int:
        return len(self._parked)

    def get(self, outlet: Outlet) -> Parked | None:
        """Return the outlet's entry; None: it is not parked."""
        return self._parked.get(outlet) if self._parked else None

    def left_out(self, tenant: str) -> dict[str, Parked] | None:
        """Return those of the tenant, by job, whose rows the main reader leaves out (Q1)."""
        return self._away.get(tenant) if self._away else None

    def restore(self, records: Iterable[ParkedCursor], wanted: Callable[[str, str], bool]) -> None:
        """Take over what Kafka has. Records of a topic that is not this one, or of jobs not ``wanted``, are deleted."""
        positions: dict[int, Position] = {}
        for record in records:
            outlet = Outlet(record.tenant, record.job)
            if record.topic_id != self._topic_id or not wanted(record.tenant, record.job):
                self._gone[outlet] = record
                continue
            # Thousands are parked at one place; its watermarks are the same for all of them.
            cursor = positions.setdefault(record.position.offset, record.position)
            entry = Parked(outlet, cursor, record.reason, record.since_ms, record.gather_bytes, stored=record)
            self._parked[outlet] = entry
            self._enter(entry)

    def park(self, outlet: Outlet, cursor: Position, reason: str, since_ms: int, gather_bytes: int = 0) -> Parked:
        """Park an outlet that is not; all of its rows before ``cursor`` are durable (Q2)."""
        if outlet in self._parked:
            raise ValueError(f"{outlet.name} of {outlet.tenant} is parked already")
        entry = self._parked[outlet] = Parked(outlet, cursor, reason, since_ms, gather_bytes)
        entry.stored = self._gone.pop(outlet, None)
        self._moved[outlet] = None
        self._enter(entry)
        return entry

    def again(self, entry: Parked, reason: str, gather_bytes: int, since_ms: int) -> None:
        """Park once more who was catching up, or live and not through yet: at its cursor."""
        self._live.pop(entry.outlet, None)
        entry.phase, entry.reason, entry.gather_bytes, entry.flown = Phase.WAITING, reason, gather_bytes, None
        entry.since_ms = since_ms
        self._moved[entry.outlet] = None
        self._enter(entry)

    def landed(self, entry: Parked) -> None:
        """Note that the flight of ``entry`` is durable: its cursor moves (Q2)."""
        if entry.flown is not None and entry.flown.offset > entry.cursor.offset:
            entry.cursor, entry.since_ms, entry.gather_bytes = entry.flown, entry.flown_ms, 0
            self._moved[entry.outlet] = None

    def moved(self, entry: Parked, cursor: Position) -> None:
        """Put the cursor further, as rows are gone that lay there."""
        entry.cursor = cursor
        self._moved[entry.outlet] = None

    def hand_over(self, entry: Parked, offset: int) -> None:
        """From ``offset`` on the main reader reads for ``entry``."""
        entry.phase, entry.handed = Phase.LIVE, offset
        self._leave(entry)
        self._live[entry.outlet] = entry

    def drop(self, outlet: Outlet) -> Parked | None:
        """Forget an outlet that the configuration has no more; returns its entry, if it was parked."""
        entry = self._parked.pop(outlet, None)
        if entry is not None:
            self._leave(entry)
            self._live.pop(outlet, None)
            self._moved.pop(outlet, None)
            if entry.stored is not None:
                self._gone[outlet] = entry.stored
        return entry

    def upto(self, outlet: Outlet, offset: int, first: Callable[[Outlet], int | None]) -> int:
        """Return the offset below which Kafka says, after a commit at ``offset``, that all rows are durable."""
        entry = self.get(outlet)
        return offset if entry is None or self._through(entry, first) else entry.cursor.offset

    def changes(self, first: Callable[[Outlet], int | None]) -> list[ParkedChange]:
        """Return what a commit stores (Q3); ``first`` gives the lowest offset that an outlet lacks, None: none."""
        found = [ParkedChange(None, record) for record in self._gone.values()]
        for entry in [entry for entry in self._live.values() if self._through(entry, first)]:
            if entry.stored is None:
                self._end(entry)  # no commit was between parking and this: Kafka knows nothing of it
            else:
                found.append(ParkedChange(None, entry.stored))
                self._moved.pop(entry.outlet, None)
        for outlet in list(self._moved):
            entry = self._parked[outlet]
            if (cursor := self._record(entry)) == entry.stored:
                del self._moved[outlet]
            else:
                found.append(ParkedChange(cursor, entry.stored))
        return found

    def commit(self, changes: Iterable[ParkedChange]) -> None:
        """Note that ``changes`` are stored."""
        for change in changes:
            outlet = change.outlet
            if change.cursor is not None:
                self._parked[outlet].stored = change.cursor
            elif outlet in self._gone:
                del self._gone[outlet]
            else:
                self._end(self._parked[outlet])

    def _end(self, entry: Parked) -> None:
        for of in (self._parked, self._live, self._moved):
            of.pop(entry.outlet, None)

    @staticmethod
    def _through(entry: Parked, first: Callable[[Outlet], int | None]) -> bool:
        """Whether nothing is left that only the record stands for."""
        if entry.phase is not Phase.LIVE:
            return False
        lacks = first(entry.outlet)
        return lacks is None or lacks >= entry.handed

    def _record(self, entry: Parked) -> ParkedCursor:
        where, whose = (self._topic, self._topic_id, self._partition), (entry.outlet.tenant, entry.outlet.name)
        return ParkedCursor(*where, *whose, entry.reason, entry.since_ms, entry.gather_bytes, entry.cursor)

    def _enter(self, entry: Parked) -> None:
        self._away.setdefault(entry.outlet.tenant, {})[entry.outlet.name] = entry

    def _leave(self, entry: Parked) -> None:
        if (names := self._away.get(entry.outlet.tenant)) is not None:
            names.pop(entry.outlet.name, None)
            if not names:
                del self._away[entry.outlet.tenant]
