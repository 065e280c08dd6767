"""``logflume watch``: measures, judges, and publishes the pressure.

W1  It publishes only what it has just measured. When Kafka does not answer it publishes nothing, and its last word goes
    stale: an edge that hears nothing obeys its own limits alone.
W2  Of several watches the one whose id is the smallest writes. The others take over its level, and write when it has
    been silent for three periods; so does one that starts: a restart forgets no level.
W3  The word of a worker that has been silent for a day is taken away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import LogflumeError, Retryable
from logflume.kafka.groups import Lags
from logflume.kafka.status import (
    PRESSURE_KEY,
    Codec,
    Condition,
    Identity,
    Level,
    Outbox,
    Pressure,
    Reader,
    Seen,
    View,
)
from logflume.settings import Settings
from logflume.watch.causes import STAGES, Cause, Late, Limits, causes
from logflume.watch.lateness import Lateness
from logflume.watch.level import Marks, State, factor, step

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

    def __init__(
        self,
        settings: Settings,
        worker: Identity,
        clock: Clock,
        *,
        look: Callable[[], list[Late]],
        reader: Callable[[], Any],
        outbox: Outbox,
    ) -> None:
        """``look`` says how late each stage is; ``reader`` makes one of the status topic, from its start."""
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self._look = look
        self._make_reader = reader
        self._reader: Any = None
        self._outbox = outbox
        self._codec = Codec(settings)
        self._view = View(settings, clock)
        self._limits = Limits.of(settings)
        self._judgement = Judgement(Marks.of(settings), self._limits)
        self._turned = clock.monotonic()
        self._why_not = "it has not measured yet"
        self.pressure = Pressure()
        """What this watch found last, whether it wrote it or not."""
        self.seen: list[Seen] = []

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
        return Condition(troubles=(self._why_not,) if self._why_not else ())

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
                self._drop_reader()
                pause = max(pause, _AGAIN_SECONDS)
            self._turned = self._clock.monotonic()
            stop.wait(max(0.0, began + pause - self._turned))
        self._drop_reader()

    def turn(self) -> None:
        """Look once, and publish what was found. Raises what Kafka's clients do; nothing is published then (W1)."""
        self._read()
        late = self._look()
        self._turned = self._clock.monotonic()
        self.seen = self._view.workers()
        found = causes(late, self.seen, self._limits)
        now, now_ms = self._clock.monotonic(), self._clock.now_ns() // 1_000_000
        published = self._view.pressure()
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
            self._outbox.put(PRESSURE_KEY, self._codec.pressure(self.pressure))
            self._bury()
        if judged.level is not before:
            _log.warning("watch.pressure", level=str(judged.level), before=str(before), causes=judged.causes)
        self._tell(late, found)

    def _read(self) -> None:
        """Take in what came on the status topic; all that lies there, the first time."""
        if self._reader is None:
            self._view = View(self._settings, self._clock)
            self._reader = self._make_reader()
        began = self._clock.monotonic()
        while True:
            count = 0
            for entry in self._reader.poll(0.0 if self._reader.caught_up else _AGAIN_SECONDS):
                self._view.take(entry)
                count += 1
            if self._reader.caught_up and not count:
                return
            if not self._reader.caught_up and self._clock.monotonic() - began > _SILENT_SECONDS / 4:
                raise Retryable("the status topic can't be read to its end")

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _bury(self) -> None:
        """W3: one a turn, so that the outbox never fills."""
        dead = next((seen for seen in self.seen if seen.age_seconds > FORGOTTEN_SECONDS), None)
        if dead is not None:
            self._outbox.put(dead.status.worker.key, None)

    def _tell(self, late: Sequence[Late], found: Sequence[Cause]) -> None:
        for stage in STAGES:
            shares = [cause.share for cause in found if cause.stage == stage]
            metrics.PRESSURE_SHARE.labels(stage).set(max(shares, default=0.0))
            ages = [each.seconds for each in late if each.stage == stage]
            metrics.PRESSURE_LAG.labels(stage).set(max(ages, default=0.0))
        fill = [
            max(c.spool_share or 0.0, c.queue_share) for c in (s.status.condition for s in self.seen if not s.stale)
        ]
        metrics.PRESSURE_SHARE.labels("edge").set(max(fill, default=0.0))
        for level in Level:
            metrics.PRESSURE_LEVEL.labels(str(level)).set(level is self.pressure.level)
        metrics.STATUS_WORKERS.clear()
        for seen in self.seen:
            metrics.STATUS_WORKERS.labels(seen.status.worker.kind, "stale" if seen.stale else "fresh").inc()


def build(settings: Settings, worker: Identity, clock: Clock) -> Watch:
    """Return a watch over the Kafka of ``settings``."""
    return Watch(
        settings,
        worker,
        clock,
        look=lateness(settings, clock).look,
        reader=lambda: Reader(settings, from_start=True),
        outbox=Outbox(settings, settings.watch_seconds),
    )


def lateness(settings: Settings, clock: Clock) -> Lateness:
    """Return what measures sorters and sinks."""
    return Lateness(Lags(settings), {settings.sort_group: "sort", settings.sink_group: "sink"}, clock)
