"""The catch-up scan of one sorted partition: its second reader, one for all who are parked there."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from logflume.kafka.position import Position, raise_watermarks
from logflume.kafka.reader import SortedBlock, SortedPartition
from logflume.model.tenant import Outlet
from logflume.sink.parking.parked import Parked


class Scan:
    """A reader, and who takes rows from it: each from its own cursor on.

    It gives the rows that the main reader left out, and no others: what comes from a position is a pure function of the
    log (S2), and at each member's cursor its watermarks are at least the cursor's. (They would be lower only where
    retention took a range that the scan began in: without this a member would get rows again that came before.)
    """

    def __init__(self, topic: str, topic_id: str, partition: int, position: Position) -> None:
        self._of = (topic, topic_id, partition)
        self._reader = SortedPartition(*self._of, position)
        self._members: dict[str, dict[str, Parked]] = {}
        self._ahead: list[tuple[int, int, Position]] = []  # a heap
        self._numbers = itertools.count()
        self.timestamp_ms = 0
        """When Kafka took the last message that was read."""

    @property
    def position(self) -> Position:
        """After the last message."""
        return self._reader.position

    @property
    def members(self) -> list[Parked]:
        """Who takes rows from it."""
        return [entry for names in self._members.values() for entry in names.values()]

    def join(self, entry: Parked) -> None:
        """Have ``entry`` get its rows; the scan must not be past its cursor."""
        if entry.cursor.offset < self.position.offset:
            raise ValueError(f"the scan at {self.position.offset} is past the cursor {entry.cursor.offset}")
        self._members.setdefault(entry.outlet.tenant, {})[entry.outlet.name] = entry
        heapq.heappush(self._ahead, (entry.cursor.offset, next(self._numbers), entry.cursor))
        self._meet()

    def leave(self, entry: Parked) -> None:
        """Have ``entry`` get no more."""
        if (names := self._members.get(entry.outlet.tenant)) is not None:
            names.pop(entry.outlet.name, None)
            if not names:
                del self._members[entry.outlet.tenant]

    def skip(self, first: int) -> None:
        """Go on at ``first``: what lay before is gone from the log."""
        self._reader = SortedPartition(*self._of, self.position.lost_until(first))
        self._meet()

    def read(
        self, offset: int, timestamp_ms: int, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[SortedBlock | None, list[tuple[int, int, tuple[Outlet, ...]]]]:
        """Take the message at ``offset``; returns its block and, of the runs that members want: start, rows, outlets.

        Raises what ``SortedPartition.read`` does.
        """
        block = self._reader.read(offset, timestamp_ms, value, headers)
        self.timestamp_ms = timestamp_ms
        self._meet()
        wanted: list[tuple[int, int, tuple[Outlet, ...]]] = []
        if block is None:
            return None, wanted
        start = 0
        for tenant, rows in zip(block.runs.tenants, block.runs.rows, strict=True):
            if (names := self._members.get(tenant)) is not None:
                outlets = tuple(entry.outlet for entry in names.values() if entry.cursor.offset <= offset)
                if outlets:
                    wanted.append((start, rows, outlets))
            start += rows
        return block, wanted

    def _meet(self) -> None:
        """Where a member's cursor is met, its watermarks hold."""
        while self._ahead and self._ahead[0][0] <= self.position.offset:
            at = heapq.heappop(self._ahead)[-1]
            marks = dict(self.position.watermarks)
            raise_watermarks(marks, tuple(at.watermarks.items()))
            if marks != self.position.watermarks:
                raised = replace(self.position, watermarks=MappingProxyType(marks))
                self._reader = SortedPartition(*self._of, raised)
