"""What a sorted partition does for its parked outlets: leaves their rows out, reads them again, hands them over.

The invariants Q1 to Q5 of ``parked`` are kept here, where the readers, the buffers and the cuts meet.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from logflume.kafka.position import Position
from logflume.kafka.reader import SortedBlock
from logflume.model.tenant import Outlet
from logflume.sink.buffers import Buffers, Pair
from logflume.sink.cuts import Cuts, Key
from logflume.sink.parking.parked import NEW, Parked, ParkedChange, Parking, Phase
from logflume.sink.parking.scan import Scan
from logflume.sink.placing import Start
from logflume.sink.progress import Progress


class Lost(NamedTuple):
    """Offsets that retention took before ``outlet`` had its rows of them; ``end`` is not one of them."""

    outlet: Outlet
    first: int
    end: int


class Behind:
    """The parked outlets of one partition, and the scan that catches them up. Used by the worker's thread alone."""

    def __init__(
        self, topic: str, topic_id: str, partition: int, buffers: Buffers, cuts: Cuts, progress: Progress
    ) -> None:
        self._of = (topic, topic_id, partition)
        self._buffers = buffers
        self._cuts = cuts
        self._progress = progress
        self.parking = Parking(*self._of)
        self.scan: Scan | None = None

    def restore(self, start: Start, jobs: Collection[Key]) -> list[Lost]:
        """Take over what Kafka has; returns what retention took of it."""
        self.parking.restore(start.parked, lambda tenant, job: not job or (tenant, job) in jobs)
        return self._put_further(start.first)

    def left_out(self, tenant: str) -> dict[str, Parked] | None:
        """Return those of the tenant, by job, whose rows the main reader leaves out (Q1)."""
        return self.parking.left_out(tenant)

    def park(self, pair: Pair, reason: str) -> Parked:
        """Park who has rows in memory: at the last place before them, or at its cursor when it is parked still (Q2)."""
        outlet, entry = pair.outlet, self.parking.get(pair.outlet)
        cursor = self._progress.committable(pair.first)
        frozen = self._cuts.frozen(outlet)
        size = 0 if frozen is None else pair.flight.bytes if pair.flight else pair.bytes
        since_ms = pair.first_ms
        self._cuts.ungather(outlet)
        self._buffers.drop(pair)  # Q4
        if entry is None:
            entry = self.parking.park(outlet, cursor, reason, since_ms, size)
        else:
            self._leave(entry)
            self.parking.again(entry, reason, max(size, entry.gather_bytes) if frozen else 0, since_ms)
        entry.trouble = pair.trouble
        return entry

    def park_new(self, outlet: Outlet, cursor: Position, since_ms: int) -> Parked:
        """Park who has no row yet, before its first one."""
        return self.parking.park(outlet, cursor, NEW, since_ms)

    def drop(self, outlet: Outlet) -> None:
        """Forget who is wanted no more."""
        if (entry := self.parking.drop(outlet)) is not None:
            self._leave(entry)

    def begin(self, entries: Collection[Parked]) -> Scan:
        """Begin a scan at the lowest cursor of ``entries``, all of whom join it."""
        if self.scan is not None:
            raise ValueError("there is a scan already")
        lowest = min((entry.cursor for entry in entries), key=lambda cursor: cursor.offset)
        self.scan = Scan(*self._of, lowest)
        for entry in entries:
            self.join(entry)
        return self.scan

    def join(self, entry: Parked) -> None:
        """Have the scan, which is not past its cursor, read for ``entry``."""
        assert self.scan is not None
        assert entry.phase is Phase.WAITING
        assert entry.outlet.job is not None or not entry.outlet.name
        self.scan.join(entry)
        entry.phase = Phase.CATCHING
        self._buffers.catch_up(entry.outlet)
        if self._cuts.gather(entry.outlet):  # Q5
            self._buffers.gather(entry.outlet)

    def read(
        self, offset: int, timestamp_ms: int, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[SortedBlock | None, list[tuple[int, int, tuple[Outlet, ...]]]]:
        """Take the scan's message at ``offset``; returns its block and of the runs to take in: start, rows, outlets."""
        assert self.scan is not None
        block, wanted = self.scan.read(offset, timestamp_ms, value, headers)
        return block, [(at, rows, go) for at, rows, outlets in wanted if (go := self._cuts.taking(outlets, offset))]

    def upto(self, pair: Pair, main: Position) -> Position:
        """Return how far the rows of ``pair`` are complete, of which all are taken now; ``main``: the main reader's."""
        entry = self.parking.get(pair.outlet)
        if entry is None:
            return main
        if entry.phase is Phase.CATCHING:
            assert self.scan is not None
            entry.flown, entry.flown_ms = self.scan.position, self.scan.timestamp_ms
        else:
            entry.flown, entry.flown_ms = main, entry.since_ms
        return entry.flown

    def landed(self, outlet: Outlet) -> None:
        """Note that the outlet's flight is durable."""
        if (entry := self.parking.get(outlet)) is not None:
            self.parking.landed(entry)

    def hand_over(self, main: Position) -> list[Parked]:
        """When the scan is where the main reader is, have the latter read for all members; returns them."""
        if self.scan is None or self.scan.position.offset != main.offset:
            return []
        members = self.scan.members
        for entry in members:
            self.parking.hand_over(entry, main.offset)
            self._buffers.hand_over(entry.outlet, main.offset)
        self._cuts.hand_over()
        self.scan = None
        return members

    def lose(self, first: int) -> list[Lost]:
        """Go on where the log begins now; returns what was lost of it."""
        lost = self._put_further(first)
        if self.scan is not None and (at := self.scan.position.offset) < first:
            lost += [
                Lost(entry.outlet, max(at, entry.cursor.offset), first)
                for entry in self.scan.members
                if entry.cursor.offset < first
            ]
            self.scan.skip(first)
        return lost

    def changes(self) -> list[ParkedChange]:
        """Return what the next commit stores of parked outlets (Q3)."""
        return self.parking.changes(self._first)

    def stored_upto(self, key: Key, offset: int) -> int:
        """Return the offset below which, after a commit at ``offset``, the job's rows are known to be durable."""
        return self.parking.upto(Outlet(*key), offset, self._first)

    def _first(self, outlet: Outlet) -> int | None:
        pair = self._buffers.pair(outlet)
        return None if pair is None else pair.first

    def _leave(self, entry: Parked) -> None:
        self._buffers.catch_up_no_more(entry.outlet)
        if self.scan is not None:
            self.scan.leave(entry)
            if not self.scan.members:
                self.scan = None

    def _put_further(self, first: int) -> list[Lost]:
        """Put cursors below the log's start there."""
        lost = []
        for entry in self.parking:
            if entry.phase is Phase.WAITING and entry.cursor.offset < first:
                lost.append(Lost(entry.outlet, entry.cursor.offset, first))
                self.parking.moved(entry, entry.cursor.lost_until(first))
                self._cuts.lapse(entry.outlet, first)
        return lost
