"""The memory budget of a sink worker: what is held, and when reading must stop.

B1  ``used`` is the sum of what was charged and not given back; it never falls below zero.
B2  ``full`` holds from the moment that ``used`` reaches the limit until it is below the lower mark, so that partitions
    are not paused and resumed at every block (a paused partition's prefetched blocks are fetched again).
B3  ``pressed`` holds likewise, earlier: so that room is left for all when one takes more than the sink can store.
"""

from __future__ import annotations

PRESSED_MARK, RELIEVED_MARK = 0.75, 0.6
"""Parts of the limit between which only who holds most is not read."""

LOWER_MARK = 0.8
"""Part of the limit below which reading goes on (DESIGN §7)."""


class Budget:
    """Bytes held by one worker. Used by one thread."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used = 0
        self._full = False
        self._pressed = False

    @property
    def used(self) -> int:
        """Bytes charged and not yet given back."""
        return self._used

    @property
    def full(self) -> bool:
        """Whether nothing more should be read for now."""
        return self._full

    @property
    def pressed(self) -> bool:
        """Whether those that hold most should not be read for now (B3)."""
        return self._pressed

    def charge(self, size: int) -> None:
        """Take ``size`` bytes; never refuses, as what was read must be held."""
        self._used += size
        self._full = self._full or self._used >= self.limit_bytes
        self._pressed = self._pressed or self._used >= self.limit_bytes * PRESSED_MARK

    def free(self, size: int) -> None:
        """Give ``size`` bytes back."""
        if size > self._used:
            raise ValueError(f"{size} bytes given back, only {self._used} were charged")
        self._used -= size
        self._full = self._full and self._used >= self.limit_bytes * LOWER_MARK
        self._pressed = self._pressed and self._used >= self.limit_bytes * RELIEVED_MARK
