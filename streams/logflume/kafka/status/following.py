"""A thread that follows the pressure: cheap, from the topic's end, and never in anybody's way.

F1  ``pressure`` is the last one written, within a poll of its arrival, and none once it is stale; never an exception.
F2  ``changed`` is called, from the thread, when it is another than before; what it raises is logged.
F3  Kafka away, the topic missing or emptied: there is no pressure then, and it is looked for again and again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from confluent_kafka import Consumer

from logflume import metrics
from logflume.clock import Clock
from logflume.kafka.status.reading import MakeConsumer, Reader, View
from logflume.kafka.status.record import NO_PRESSURE, PRESSURE_KEY, Pressure
from logflume.settings import Settings

_POLL_SECONDS = 0.2
_AGAIN_SECONDS = 5.0
_END_SECONDS = 5.0
_LOG = logging.getLogger("logflume.status")


class Follower:
    """See F1 to F3. ``start`` and ``close`` once each; with ``status_seconds`` 0 there is never any pressure."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        changed: Callable[[Pressure], None],
        *,
        make_consumer: MakeConsumer = Consumer,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._make_consumer = make_consumer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-pressure", daemon=True)
        self._trouble = ""
        self.pressure = NO_PRESSURE
        """What is asked now."""

    def start(self) -> Follower:
        """Begin; returns itself."""
        if self._settings.status_seconds > 0:
            self._thread.start()
        return self

    def close(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except Exception as failure:  # the outermost loop (F3)
                metrics.STATUS_ERRORS.labels("follow").inc()
                if str(failure) != self._trouble:
                    _LOG.warning("pressure is not followed for now: %s: %s", type(failure).__name__, failure)
                self._trouble = str(failure)
                self._tell(NO_PRESSURE)
                self._ended.wait(_AGAIN_SECONDS)

    def _follow(self) -> None:
        view = View(self._settings, self._clock)
        reader = Reader(self._settings, from_start=False, make_consumer=self._make_consumer)
        try:
            while not self._ended.is_set():
                for entry in reader.poll(_POLL_SECONDS):
                    if entry.key == PRESSURE_KEY:
                        view.take(entry)
                self._tell(view.pressure())
        finally:
            reader.close()

    def _tell(self, pressure: Pressure) -> None:
        before, self.pressure = self.pressure, pressure
        if replace(before, time_ms=0) == replace(pressure, time_ms=0):
            return
        try:
            self._changed(pressure)
        except Exception:
            _LOG.exception("a change of pressure was not heard")
