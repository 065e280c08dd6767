"""Time, passed in: wall time for what is written down, monotonic time for how long something took."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a stage gets its time from, so that tests can hold it in their hands."""

    def now_ns(self) -> int:
        """Wall time in nanoseconds since 1970-01-01 UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. For durations and deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall time in nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()


class ManualClock:
    """A clock for tests: it moves only when told to."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic = 0.0

    def now_ns(self) -> int:
        """Wall time in nanoseconds since 1970-01-01 UTC."""
        return self._now_ns

    def monotonic(self) -> float:
        """Seconds that this clock was advanced since it was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, for both times."""
        self._monotonic += seconds
        self._now_ns += round(seconds * 1e9)
