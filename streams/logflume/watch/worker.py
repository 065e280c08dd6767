"""``logflume watch``: measures, judges, and publishes the pressure.

W1  It publishes only what it has just measured. When Kafka does not answer it publishes nothing, and its last word goes
    stale: an edge that hears nothing obeys its own limits alone.
W2  Of several watches the one whose id is the smallest writes. The others take over its level, and write when it has
    been silent for three periods; so does one that starts: a restart forgets no level.
W3  The word of a worker that has been silent for a day is taken away.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import LogflumeError
from logflume.kafka.status import PRESSURE_KEY, Codec, Condition, Identity, Level, Outbox, Pressure, Seen
from logflume.settings import Settings
from logflume.watch import exporter, looking
from logflume.watch.causes import Cause, Limits, causes
from logflume.watch.level import Marks, State, factor, step
from logflume.watch.look import Look
from logflume.watch.looking import Looking

FORGOTTEN_SECONDS: Final = 86_400.0
_TOLD: Final = 0.5
"""Part of a limit from which on a cause is told."""
_SILENT_SECONDS: Final = 120.0
"""Kafka may take so long to answer; a loop that is silent for longer hangs."""
_AGAIN_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Judgement:
    """The level over time, from what is near its limit. Pure but for its state."""

    def __init__(self, marks: Marks, limits: Limits) -> None:
        self._marks = marks
        self._limits = limits
        self._state = State()
        self._since_ms = 0

    def adopt(self, pressure: Pressure, now: float) -> None:
        """Go on from the level that another has published (W2)."""
        if pressure.level is not self._state.level:
            self._state = State(pressure.level, now)
            self._since_ms = pressure.since_ms

    def judge(self, found: Sequence[Cause], now: float, now_ms: int) -> Pressure:
        """Return the pressure after a look at ``now``; ``found`` as from ``causes``, the nearest first."""
        share = found[0].share if found else 0.0
        before, self._state = self._state, step(self._state, share, now, self._marks)
        if self._state.level is not before.level or not self._since_ms:
            self._since_ms = now_ms
        level = self._state.level
        told = tuple(cause.text for cause in found if cause.share >= _TOLD) if level is not Level.NONE else ()
        return Pressure(level, factor(level, share, self._marks), share, told, self._since_ms, now_ms)


class Watch:
    """One worker. ``turn`` is its loop's; the checks may be called by any thread."""

    def __init__(self, settings: Settings, worker: Identity, clock: Clock, *, look: Looking, outbox: Outbox) -> None:
        """``look`` looks at Kafka."""
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self._looking = look
        self._outbox = outbox
        self._codec = Codec(settings)
        self._limits = Limits.of(settings)
        self._judgement = Judgement(Marks.of(settings), self._limits)
        self._turned = clock.monotonic()
        self._why_not = "it has not measured yet"
        self.pressure = Pressure()
        """What this watch found last, whether it wrote it or not."""
        self.look = Look()
        """What it saw last."""

    @property
    def seen(self) -> Sequence[Seen]:
        """The workers that it saw last."""
        return self.look.workers

    def live(self) -> str | None:
        """Why the process should be restarted, or None."""
        silent = self._clock.monotonic() - self._turned
        most = self._settings.watch_seconds + _SILENT_SECONDS
        return f"the loop has not turned for {silent:.0f} s" if silent > most else None

    def ready(self) -> str | None:
        """Why nothing is measured, or None."""
        return self.live() or self._why_not or None

    def condition(self) -> Condition:
        """What it says of itself."""
        found = tuple(finding.text for finding in self.look.findings)
        return Condition(troubles=(self._why_not,) if self._why_not else found)

    def run(self, stop: threading.Event) -> None:
        """Measure every ``watch_seconds`` until ``stop``; nothing of Kafka's ends it."""
        while not stop.is_set():
            began = self._clock.monotonic()
            pause = self._settings.watch_seconds
            try:
                self.turn()
                self._why_not = ""
            except LogflumeError as error:
                metrics.STATUS_ERRORS.labels("watch").inc()
                if str(error) != self._why_not:
                    _log.warning("watch.not-measured", error=str(error))
                self._why_not = str(error)
                self._looking.forget()
                exporter.show_nothing()  # what is not known any more is not shown as if it were (W1)
                pause = max(pause, _AGAIN_SECONDS)
            self._turned = self._clock.monotonic()
            stop.wait(max(0.0, began + pause - self._turned))
        self._looking.forget()

    def close(self) -> None:
        """Let go of Kafka."""
        self._looking.close()

    def turn(self) -> None:
        """Look once, and publish what was found. Raises what Kafka's clients do; nothing is published then (W1)."""
        self.look = look = self._looking.look()
        self._turned = self._clock.monotonic()
        found = causes(look.late, look.workers, self._limits)
        now, now_ms = self._clock.monotonic(), self._clock.now_ns() // 1_000_000
        published = look.pressure
        writes = not published.by or published.by >= self._worker.id
        if published.by and (not writes or not self.pressure.by):
            self._judgement.adopt(published, now)
        before, judged = self.pressure.level, self._judgement.judge(found, now, now_ms)
        self.pressure = Pressure(
            judged.level,
            judged.factor,
            judged.share,
            judged.causes,
            judged.since_ms,
            now_ms,
            self._settings.watch_seconds,
            self._worker.id,
        )
        if writes:
            self._outbox.put(PRESSURE_KEY, self._codec.pressure(self.pressure), self._codec.pressure_schema)
            self._bury(look)
        if judged.level is not before:
            _log.warning("watch.pressure", level=str(judged.level), before=str(before), causes=judged.causes)
        exporter.show(look)
        exporter.show_pressure(self.pressure, look, found)

    def _bury(self, look: Look) -> None:
        """W3: one a turn, so that the outbox never fills."""
        dead = next((seen for seen in look.workers if seen.age_seconds > FORGOTTEN_SECONDS), None)
        if dead is not None:
            self._outbox.put(dead.status.worker.key, None)


def build(settings: Settings, worker: Identity, clock: Clock) -> Watch:
    """Return a watch over the Kafka of ``settings``."""
    look = looking.build(settings, clock, searches=settings.watch_searches)
    return Watch(settings, worker, clock, look=look, outbox=Outbox(settings, settings.watch_seconds))
