"""Looking at Kafka: the groups' offsets, and the topic ``status``. Exporter, pressure and commands look through this.

LO1 A look is whole, or raises: what Kafka did not answer is not filled with what was before.
LO2 ``look`` again and again costs what has changed: clients stay, and of the status topic only what is new is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, Final

from logflume.clock import Clock
from logflume.errors import Retryable
from logflume.kafka.groups import Lags
from logflume.kafka.renewal import Renewal
from logflume.kafka.status import Reader, View, merged
from logflume.settings import Settings
from logflume.watch.course import Course
from logflume.watch.lateness import ALL, Lateness
from logflume.watch.letters import Letters
from logflume.watch.look import Late, Look

_POLL_SECONDS: Final = 1.0
_READ_SECONDS: Final = 30.0
"""The status topic, compacted, is read within; it has a record a worker."""


class Looking:
    """See LO1 and LO2. One thread's."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        late: Callable[[float], list[Late]],
        reader: Callable[[], Any],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """``late`` says how late each group is, by how far our clock is behind Kafka's (seconds).

        ``reader`` makes one of the status topic, from its start.
        """
        self._settings = settings
        self._clock = clock
        self._late = late
        self._make_reader = reader
        self._close = close
        self._reader: Any = None
        self._view = View(settings, clock)
        self._course = Course(settings.stall_seconds)
        self._letters = Letters()

    def look(self) -> Look:
        """Look once. Raises what Kafka's clients do, ``Retryable`` above all."""
        began = self._clock.monotonic()
        self._read()
        late = self._late(self._view.behind_seconds)
        workers = self._view.workers()
        now = self._clock.monotonic()
        wait = max((seen.status.condition.wait_seconds for seen in workers if not seen.stale), default=0.0)
        told = (share for seen in workers if not seen.stale for share in seen.status.condition.tenants)
        self._letters.follow(workers)
        paces, findings = self._course.follow(late, wait, now)
        return Look(
            at_ms=self._clock.now_ns() // 1_000_000,
            took_seconds=now - began,
            late=tuple(late),
            paces=tuple(paces),
            findings=tuple(findings),
            workers=tuple(workers),
            tenants=merged(told, self._settings.status_tenants),
            pressure=self._view.pressure(),
        )

    def forget(self) -> None:
        """Read the status topic from its start at the next look: what was between may be lost."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Let go of Kafka."""
        self.forget()
        self._close()

    def _read(self) -> None:
        """Take in what came on the status topic; all that lies there, the first time."""
        if self._reader is None:
            self._view = View(self._settings, self._clock)
            self._reader = self._make_reader()
        began = self._clock.monotonic()
        while True:
            count = 0
            for entry in self._reader.poll(0.0 if self._reader.caught_up else _POLL_SECONDS):
                self._view.take(entry)
                count += 1
            if self._reader.caught_up and not count:
                return
            if not self._reader.caught_up and self._clock.monotonic() - began > _READ_SECONDS:
                raise Retryable("the status topic can't be read to its end")


def build(settings: Settings, clock: Clock, *, searches: int = ALL) -> Looking:
    """Return what looks at the Kafka of ``settings``; ``searches``: see LA2 of ``lateness``."""
    lags = Lags(settings, others=True)
    late = lateness(settings, lags, clock, searches=searches)
    return Looking(settings, clock, late=late.look, reader=lambda: Reader(settings, from_start=True), close=lags.close)


class Renewed:
    """Looks as ``Looking`` for who goes on for hours, and begins anew with renewed certificates or passwords.

    What it knew of the past is gone then: paces are known again after two looks.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._build = partial(build, settings, clock)
        self._changed = threading.Event()
        self._renewal = Renewal(settings, self._changed.set, spread=0).start()
        self._looking = self._build()

    def look(self) -> Look:
        """See ``Looking.look``."""
        if self._changed.is_set():
            self._changed.clear()
            self._looking.close()
            self._looking = self._build()
        return self._looking.look()

    def close(self) -> None:
        """Let go of Kafka."""
        self._renewal.close()
        self._looking.close()


def late_now(settings: Settings, clock: Clock) -> list[Late]:
    """Return how late each group is in each partition: what of a look concerns lag, and needs no status topic."""
    with closing(Lags(settings, others=True)) as lags:
        return lateness(settings, lags, clock).look()


def lateness(settings: Settings, lags: Lags, clock: Clock, *, searches: int = ALL) -> Lateness:
    """Return what measures the groups of ``settings``."""
    stages = {settings.sort_group: "sort", settings.sink_group: "sink"}
    return Lateness(lags, stages, clock, searches=searches, appended=lags.appended)
