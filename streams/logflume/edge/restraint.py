"""What pressure asks of an edge, and what its own spool does: take all, take less, or nothing new.

RE1 Without pressure nobody waits.
RE2 At ``slow`` an edge takes a second ``factor`` of what it took before, or ``edge_slow_bytes`` if that is more. A
    piece may be larger than what is left of a second: those behind it wait until that is made up for.
RE3 At ``stop`` nothing new is taken. What was taken before is sent as ever: pressure drops nothing.
RE4 The spool counts as full from ``edge_spool_full`` on, until it is down to ``edge_spool_resume``.
"""

from __future__ import annotations

import math
import threading
from typing import Final

from logflume import metrics
from logflume.clock import Clock
from logflume.kafka.status import NO_PRESSURE, Level, Pressure
from logflume.settings import Settings

_WINDOW_SECONDS: Final = 5.0
"""Over so long the pace is measured."""
_LEAST_DELAY: Final = 0.001


class Restraint:
    """See RE1 to RE4. Any thread may call."""

    def __init__(
        self, clock: Clock, *, slow_bytes: float = 64_000, spool_full: float = 0.9, spool_resume: float = 0.7
    ) -> None:
        self._least = slow_bytes
        self._full, self._resume = spool_full, spool_resume
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = 0.0
        self._window = (clock.monotonic(), 0)  # since when, bytes
        self._base = 0.0  # the pace before there was pressure
        self._credit = 0.0
        self._credited = 0.0
        self._spool_full = False
        self.pressure = NO_PRESSURE
        """What is asked now."""
        self.active = False
        """Whether anything is asked: only then ``delay`` is worth a call."""

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Restraint:
        """As the settings have it."""
        full, resume = settings.edge_spool_full, settings.edge_spool_resume
        return cls(clock, slow_bytes=settings.edge_slow_bytes, spool_full=full, spool_resume=resume)

    def follow(self, pressure: Pressure) -> None:
        """Heed ``pressure`` from now on."""
        with self._lock:
            if not self.active:
                self._roll(self._clock.monotonic(), 1.0)
                self._base, self._credit, self._credited = self._pace, 0.0, self._clock.monotonic()
            self.pressure = pressure
            self.active = pressure.level is not Level.NONE
            if not self.active:
                self._window = (self._clock.monotonic(), 0)  # the time under pressure says nothing of the pace
        for level in Level:
            metrics.PRESSURE_LEVEL.labels(str(level)).set(level is pressure.level)

    def took(self, size: int) -> None:
        """Count ``size`` bytes that were taken."""
        with self._lock:
            if self.active:
                self._credit -= size
                return
            since, before = self._window
            self._window = (since, before + size)
            self._roll(self._clock.monotonic(), _WINDOW_SECONDS)

    def delay(self) -> float:
        """In how many seconds something may be taken: 0 is now, infinity is not before the pressure has changed."""
        with self._lock:
            if self.pressure.level is Level.NONE:
                return 0.0
            if self.pressure.level is Level.STOP:
                return math.inf
            rate, now = max(self._least, self._base * self.pressure.factor), self._clock.monotonic()
            self._credit = min(rate, self._credit + rate * (now - self._credited))
            self._credited = now
            return 0.0 if self._credit > 0 else max(_LEAST_DELAY, -self._credit / rate)

    def spool_full(self, share: float) -> bool:
        """Whether a spool of that ``share`` counts as full now (RE4)."""
        with self._lock:
            self._spool_full = share >= self._full or (self._spool_full and share > self._resume)
            return self._spool_full

    def _roll(self, now: float, least_seconds: float) -> None:
        """Begin a new window when this one is long enough. A pace is forgotten by half a window."""
        since, size = self._window
        if now - since >= least_seconds:
            self._pace = max(size / (now - since), self._pace / 2)
            self._window = (now, 0)
