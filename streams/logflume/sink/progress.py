"""How far a partition may be committed.

P1  (I5) The committable position never passes the first offset whose rows are not durable yet.
P2  It is a position that the reader really had after a block, so that the same rows come again from it.
P3  It never goes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from logflume.kafka.position import Position


@dataclass(frozen=True, slots=True)
class _Read:
    """One message that was read and is not committed yet."""

    position: Position
    wire_bytes: int
    read_at: float


class Progress:
    """The messages read from one partition since its last commit, in order."""

    def __init__(self, committed: Position) -> None:
        self._committed = committed
        self._read: deque[_Read] = deque()
        self._behind_bytes = 0

    @property
    def committed(self) -> Position:
        """The position that a successor starts from."""
        return self._committed

    @property
    def behind_bytes(self) -> int:
        """Bytes on the wire between the commit and the reader: what a restart reads again."""
        return self._behind_bytes

    @property
    def oldest(self) -> float | None:
        """Monotonic time at which the first message that is not committed was read; None when all are."""
        return self._read[0].read_at if self._read else None

    @property
    def middle(self) -> int:
        """A sorted offset with about half of those bytes before it, and at least one message."""
        before = 0
        for read in self._read:
            before += read.wire_bytes
            if 2 * before >= self._behind_bytes:
                return read.position.offset
        return self._committed.offset

    def read(self, position: Position, wire_bytes: int, now: float) -> None:
        """Note that the reader went to ``position`` by a message of ``wire_bytes``."""
        self._read.append(_Read(position, wire_bytes, now))
        self._behind_bytes += wire_bytes

    def committable(self, held: int | None) -> Position:
        """Return the furthest position that may be committed.

        ``held`` is the lowest sorted offset that has rows not yet durable, None when there is none.
        """
        best = self._committed
        for read in self._read:
            if held is not None and read.position.offset > held:
                break
            best = read.position
        return best

    def commit(self, position: Position) -> None:
        """Note that ``position``, which ``committable`` gave, was committed."""
        if position.offset < self._committed.offset:
            raise ValueError(f"a commit at {position.offset} would go back from {self._committed.offset}")
        self._committed = position
        while self._read and self._read[0].position.offset <= position.offset:
            self._behind_bytes -= self._read.popleft().wire_bytes
