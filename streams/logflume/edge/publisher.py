"""Messages on their way to Kafka: produced, awaited, produced again while that can't store them twice.

Numbered promises:

P1  ``stored`` is called once for each ticket published, when Kafka holds its message on all in-sync replicas (or the
    spool does); never before.
P2  A message is produced again only after a report that says it was *not* stored (``_NOT_STORED``). Everything that
    may pass by itself is librdkafka's to retry: with idempotence and without a time-out it does so for ever, and Kafka
    drops the repeats. So within one process no message is stored twice.
P3  Any other failed report may hide a stored message: ``failed`` is called and nothing is produced any more.
P4  ``publish`` keeps nothing back: what it was given is in flight, in the spool, or waiting to be produced again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from logflume import crash
from logflume.clock import Clock
from logflume.edge.spool import Message, Spool
from logflume.errors import Fatal, Unavailable
from logflume.kafka.client import typed
from logflume.kafka.deliveries import Producing

AGAIN_SECONDS = 1.0
"""Pause before a refused message is produced again: an operator has to repair something first."""

AWAY_SECONDS = 5.0
"""With a spool: Kafka counts as away when the oldest message in flight has waited this long."""

_POLL_SECONDS = 0.1
_DRAINING = 16
"""Messages in flight below which the spool is read: it must not fill the memory that it was there to save."""

_NOT_STORED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._QUEUE_FULL,
    }
)
"""Refusals: the message is in no log. Each is an operator's to repair (topic, rights, limits), so it is tried again.

One gap is known: an answer lost on its way, then a refusal of librdkafka's own retry (rights taken away in between).
"""

_LOG = logging.getLogger("logflume.edge")


class Publisher:
    """See the promises P1 to P4. ``publish`` is one thread's, ``run`` another's."""

    def __init__(
        self,
        *,
        stored: Callable[[int, Message], None],
        failed: Callable[[Fatal], None],
        troubled: Callable[[str], None] = lambda trouble: None,
        clock: Clock,
        spool: Spool | None = None,
    ) -> None:
        """``stored(ticket, message)`` and ``failed(error)`` are called from either thread, outside any lock of ours.

        ``troubled`` hears the last refusal or connection error, and "" once something is stored again.
        """
        self._troubled = troubled
        self._stored = stored
        self._failed = failed
        self._clock = clock
        self._spool = spool
        self._producer: Producing | None = None
        self._lock = threading.Lock()
        self._spooling = threading.Lock()
        self._next = 0
        self._flying: dict[int, _Flight] = {}
        self._again: list[int] = []
        self._again_at = 0.0
        self._ended = threading.Event()
        self._trouble = ""

    def start(self, producer: Producing) -> None:
        """Use ``producer``, which is this publisher's alone; its ``error_cb`` must be ``on_error``."""
        self._producer = producer

    def publish(self, ticket: int, message: Message) -> None:
        """Send ``message`` on its way; returns at once, but waits for room while the producer's queue is full."""
        if self._spool is not None and self._away():
            try:
                with self._spooling:
                    self._spool.put([message])
            except Unavailable as full:
                self._note(str(full))
            else:
                self._stored(ticket, message)
                return
        self._launch(_Flight(ticket, message, self._clock.monotonic()))

    def run(self) -> None:
        """Serve delivery reports until ``end``."""
        while not self._ended.is_set():
            assert self._producer is not None
            self._producer.poll(_POLL_SECONDS)
            self._relaunch()
            self._drain_spool()

    def end(self) -> None:
        """Let ``run`` return, and any ``publish`` that waits for room."""
        self._ended.set()

    def on_error(self, error: KafkaError) -> None:
        """Kafka client's ``error_cb``: brokers come and go, only a fatal error counts (P3)."""
        self._note(f"{error.name()}: {error.str()}")
        if error.fatal():
            self._end_with(f"{error.name()}: {error.str()}")

    def _launch(self, flight: _Flight) -> None:
        with self._lock:
            self._next += 1
            number = self._next
            self._flying[number] = flight
        self._produce(number, flight.message)

    def _produce(self, number: int, message: Message) -> None:
        assert self._producer is not None
        report = partial(self._report, number)
        while not self._ended.is_set():
            try:
                self._producer.produce(
                    message.topic, message.value, message.key, headers=list(message.headers), on_delivery=report
                )
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
                continue
            except KafkaException as refusal:
                self._report(number, refusal.args[0], None)
                return
            crash.point("edge.produced")
            return

    def _report(self, number: int, error: KafkaError | None, _message: Any) -> None:
        with self._lock:
            flight = self._flying[number]
        if error is None:
            with self._lock:
                del self._flying[number]
            self._note("")
            if flight.ticket is None:
                assert self._spool is not None
                with self._spooling:
                    self._spool.done(flight.message)
            else:
                self._stored(flight.ticket, flight.message)
            return
        failure = typed(error, f"producing {len(flight.message.value)} bytes to {flight.message.topic}")
        if error.code() in _NOT_STORED and not error.fatal():
            if self._trouble != str(failure):
                _LOG.warning("%s; it is kept and tried again", failure)
            self._note(str(failure))
            with self._lock:
                self._again.append(number)
                self._again_at = self._clock.monotonic() + AGAIN_SECONDS
            return
        self._end_with(f"{failure}; whether Kafka holds it is not known")

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._troubled(trouble)

    def _end_with(self, failure: str) -> None:
        self.end()
        self._failed(Fatal(f"{failure}. What no flush has confirmed may or may not be stored; make a new client"))

    def _relaunch(self) -> None:
        with self._lock:
            if not self._again or self._clock.monotonic() < self._again_at:
                return
            due, self._again = self._again, []
            messages = [(number, self._flying[number].message) for number in due]
        for number, message in messages:
            self._produce(number, message)

    def _away(self) -> bool:
        with self._lock:
            oldest = next(iter(self._flying.values()), None)
        return oldest is not None and self._clock.monotonic() - oldest.since > AWAY_SECONDS

    def _drain_spool(self) -> None:
        if self._spool is None or len(self._flying) >= _DRAINING or self._away():
            return
        with self._spooling:
            message = self._spool.take()
        if message is not None:
            self._launch(_Flight(None, message, self._clock.monotonic()))


class _Flight:
    """A message in flight; ``ticket`` None: it came out of the spool."""

    __slots__ = ("message", "since", "ticket")

    def __init__(self, ticket: int | None, message: Message, since: float) -> None:
        self.ticket = ticket
        self.message = message
        self.since = since
