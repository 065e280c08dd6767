"""A thread that publishes what a worker says of itself.

RP1 Nothing that happens here blocks or ends the worker: Kafka away, a ``measure`` that raises, a full queue.
RP2 A word every period, and one at once (within ``_LOOK_SECONDS``) when the generation in force has changed.
RP3 An orderly end leaves a tombstone, if Kafka takes it within ``_LAST_SECONDS``; ``close`` takes no longer than that
    and one ``measure``.
RP4 A worker that starts again writes under the same key: the topic grows with workers, not with restarts.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import confluent_kafka

import logflume
from logflume import metrics
from logflume.clock import Clock, SystemClock
from logflume.kafka.status.outbox import MakeProducer, Outbox
from logflume.kafka.status.record import Codec, Condition, Identity, Status
from logflume.settings import Settings

Measure = Callable[[], Condition]
"""Says how the worker is; cheap, and called from another thread."""

_LOOK_SECONDS = 0.5
_LAST_SECONDS = 1.0
_LOG = logging.getLogger("logflume.status")


def identity(settings: Settings, kind: str, clock: Clock) -> Identity:
    """Return who this process is among the workers of its ``kind``.

    ``worker_id``, else host and ``http_port`` (which differ between workers of a host, and last), else host and pid.
    """
    host = socket.gethostname()
    own = settings.worker_id or f"{host}:{settings.http_port or f'pid-{os.getpid()}'}"
    return Identity(kind, own, host, os.getpid(), logflume.__version__, clock.now_ns() // 1_000_000)


class Reporter:
    """See RP1 to RP4. ``start`` and ``close`` once each; with ``status_seconds`` 0 it does nothing."""

    def __init__(
        self,
        settings: Settings,
        kind: str,
        measure: Measure,
        *,
        clock: Clock | None = None,
        worker: Identity | None = None,
        make_producer: MakeProducer = confluent_kafka.Producer,
    ) -> None:
        self._settings = settings
        self._measure = measure
        self._clock = clock or SystemClock()
        self._worker = worker or identity(settings, kind, self._clock)
        self._make_producer = make_producer
        self._period = settings.status_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-status", daemon=True)
        self._last: Status | None = None
        self._last_at = float("-inf")
        self._broken = ""

    def start(self) -> Reporter:
        """Begin; returns itself."""
        if self._period > 0:
            self._thread.start()
        return self

    def close(self) -> None:
        """End, with a tombstone (RP3)."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_LAST_SECONDS + 2 * _LOOK_SECONDS)

    def __enter__(self) -> Reporter:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            codec = Codec(self._settings)
            outbox = Outbox(self._settings, self._period, self._make_producer)
            look = min(_LOOK_SECONDS, self._period)
            while not self._ended.wait(look if self._last else 0):
                try:
                    self._turn(codec, outbox)
                except Exception as failure:  # a word that can't be written; the next one may do
                    self._failed("turn", failure, "a status was not told")
                    self._ended.wait(look)
            outbox.settle(_LAST_SECONDS / 2)
            outbox.put(self._worker.key, None)
            outbox.settle(_LAST_SECONDS / 2)
        except Exception as failure:  # the outermost loop of a thread that is nobody's concern (RP1)
            self._failed("thread", failure, "no status is told any more")

    def _failed(self, where: str, failure: Exception, text: str) -> None:
        metrics.STATUS_ERRORS.labels(where).inc()
        told = f"{text}: {type(failure).__name__}: {failure}"
        if told != self._broken:
            _LOG.warning("%s", told)
        self._broken = told

    def _turn(self, codec: Codec, outbox: Outbox) -> None:
        try:
            condition = self._measure()
        except Exception as failure:  # its own code, in a state that nobody foresaw
            condition = Condition(troubles=(f"it can't say how it is: {type(failure).__name__}: {failure}",))
            metrics.STATUS_ERRORS.labels("measure").inc()
        now, last = self._clock.monotonic(), self._last
        same = last is not None and last.condition.in_force.generation == condition.in_force.generation
        if same and now - self._last_at < self._period:
            return
        pace = 0.0
        if last is not None and now > self._last_at:
            pace = max(0, condition.rows - last.condition.rows) / (now - self._last_at)
        time_ms = self._clock.now_ns() // 1_000_000
        condition = replace(condition, resident_bytes=resident_bytes())
        self._last, self._last_at = Status(self._worker, condition, time_ms, self._period, pace), now
        outbox.put(self._worker.key, codec.status(self._last), codec.status_schema)


def resident_bytes() -> int:
    """Return this process's memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
