"""Messages on their way to Kafka: produced, awaited, produced again while that can't store them twice.

Numbered promises:

P1  ``stored`` is called once for each ticket published, when Kafka holds its message on all in-sync replicas (or the
    spool does); never before.
P2  A message is produced again only after a report that says it was *not* stored (``NOT_STORED``). Everything that
    may pass by itself is librdkafka's to retry: with idempotence and without a time-out it does so for ever, and Kafka
    drops the repeats. So within one process no message is stored twice.
P3  Any other failed report may hide a stored message: ``failed`` is called and nothing is produced any more.
P4  ``publish`` keeps nothing back: what it was given is in flight, in the spool, or waiting to be produced again.
P9  As long as ``held`` gives a reason, nothing is produced: what ``publish`` is given goes to the spool, or waits.

With a spool:

P5  Every message has its partition and its tag before it is produced, so that the next process can find it there.
P6  No ticket waits for Kafka for longer than ``AWAY_SECONDS``, while the spool takes messages: what is in flight by
    then is written there, too, as sent and in doubt.
P7  After ``drop`` nothing is sent any more: what is in flight then is its next opener's, who looks for it in Kafka.
P8  The spool's messages go oldest first, ``_DRAINING`` at a time; new ones may overtake them, and so may any those
    that Kafka refuses or that have no way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from logflume import crash
from logflume.block.wire import SPOOL_HEADER
from logflume.clock import Clock
from logflume.edge.flights import Flight, Flights
from logflume.edge.producers import Producers, Purging
from logflume.edge.spool import Message, Sent
from logflume.edge.spooling import Landed, Spooling
from logflume.errors import Fatal, Unavailable
from logflume.kafka.client import typed

AGAIN_SECONDS = 1.0
"""Pause before a refused message is produced again: an operator has to repair something first."""

AWAY_SECONDS = 5.0
"""With a spool: Kafka counts as away when the oldest message in flight has waited this long, and none has landed."""

_POLL_SECONDS = 0.1
_DRAINING = 16
"""Messages in flight below which the spool is read: it must not fill the memory that it was there to save."""
_RESCUED_AT_ONCE = 16
"""Messages in flight that are written to the spool in one record: it must not double the memory that they take."""

NOT_STORED = frozenset(
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

_ELSEWHERE = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})
"""Refusals after which what is known of the topic is asked for again."""

_LOG = logging.getLogger("logflume.edge")


class Publisher:
    """See the promises P1 to P9. ``publish`` is one thread's, ``run`` another's, ``settle`` a third's, with a spool."""

    def __init__(
        self,
        *,
        stored: Callable[[int, Message], None],
        failed: Callable[[Fatal], None],
        troubled: Callable[[str], None] = lambda trouble: None,
        kept: Callable[[int, Message], None] = lambda ticket, message: None,
        released: Callable[[int], None] = lambda size: None,
        clock: Clock,
        spooling: Spooling | None = None,
        direct_bytes: int = 1 << 62,
        held: Callable[[], str] = str,
    ) -> None:
        """``stored(ticket, message)`` and ``failed(error)`` are called from any of the threads, outside our locks.

        ``troubled`` hears the last refusal or connection error, and "" once something is stored again.
        ``kept`` is called instead of ``stored`` when the spool took a message that was in flight, and
        ``released(size)`` once Kafka's client has let go of its bytes, too. With a spool no more than ``direct_bytes``
        are in flight past it. ``held`` is asked often: why nothing may be sent yet, or nothing.
        """
        self._troubled = troubled
        self._stored = stored
        self._failed = failed
        self._kept = kept
        self._released = released
        self._clock = clock
        self._spooling = spooling
        self._direct_bytes = direct_bytes
        self._held = held
        self._why_held = ""
        self._producers: Producers | None = None
        self._flights = Flights()
        self._lock = threading.Lock()
        self._again: list[int] = []
        self._again_at = 0.0
        self._parked: list[tuple[int, Message]] = []  # there is no way to Kafka now, nor does the spool take them
        self._parked_at = 0.0
        self._rescue_at = float("-inf")
        self._landed_at = float("-inf")
        self._probed_at = float("-inf")
        self._ended = threading.Event()
        self._dropped = False
        self._trouble = ""

    def start(self, producer: Purging) -> None:
        """Use ``producer``, which is this publisher's alone; its ``error_cb`` must be ``on_error``."""
        self._producers = Producers(producer)

    def renew(self, producer: Purging) -> None:
        """Go on by this one, as of ``start``: it has other certificates or passwords (PR1). From any thread."""
        assert self._producers is not None
        self._producers.renew(producer)

    def publish(self, ticket: int, message: Message) -> None:
        """Send ``message`` on its way; returns at once, but waits for the disk, or for room in the producer's queue."""
        if self._holds():
            if self._spooling is None or not self._spooled(ticket, message):
                self._park(ticket, message)
        elif self._spooling is None:
            self._launch(Flight(ticket, message, message.topic, len(message.value), self._clock.monotonic()))
        elif not (
            self._direct(ticket, message, willing=False)
            or self._spooled(ticket, message)
            or self._direct(ticket, message, willing=True)
        ):
            self._park(ticket, message)

    def run(self) -> None:
        """Serve delivery reports until ``end``."""
        assert self._producers is not None
        try:
            while not self._ended.is_set():
                self._producers.poll(_POLL_SECONDS)
                self._relaunch()
                self._unpark()
                if self._spooling is not None:
                    self._rescue()
                    self._drain(self._spooling)
                    self._spooling.measure()
        except Exception as failure:  # the outermost loop: P1 can't be kept, and callers must hear
            self._end_with(f"publishing failed: {type(failure).__name__}: {failure}")

    def settle(self) -> None:
        """Ask Kafka what the spool must know, until ``end``. May wait for Kafka all the time."""
        assert self._spooling is not None
        try:
            self._spooling.run(self._ended, self._barrier)
        except Exception as failure:  # the outermost loop: what is in doubt would wait for ever
            self._end_with(f"settling what is in doubt failed: {type(failure).__name__}: {failure}")

    def end(self) -> None:
        """Let ``run`` and ``settle`` return, and any ``publish`` that waits for room."""
        self._ended.set()
        if self._spooling is not None:
            self._spooling.routes.wanted.set()  # ``settle`` may wait there

    def drop(self) -> None:
        """Give up what is in flight, once ``run`` and ``settle`` have returned and before the spool is closed (P7).

        Without a spool Kafka's client goes on trying, as nobody else would send it.
        """
        self._dropped = True
        if self._producers is not None and self._spooling is not None:
            self._producers.drop()

    def on_error(self, error: KafkaError) -> None:
        """Kafka client's ``error_cb``: brokers come and go, only a fatal error counts (P3)."""
        self._note(f"{error.name()}: {error.str()}")
        if error.fatal():
            self._end_with(f"{error.name()}: {error.str()}")

    # --- to Kafka -----------------------------------------------------------------------------------------------------

    def _launch(self, flight: Flight) -> None:
        self._produce(self._flights.add(flight), flight)

    def _produce(self, number: int, flight: Flight) -> None:
        message = flight.message
        assert message is not None
        more: dict[str, Any] = {"headers": list(message.headers), "on_delivery": partial(self._report, number)}
        if flight.route is not None:  # P5
            more["headers"].append((SPOOL_HEADER, flight.tag.encode()))
            more["partition"] = flight.route.partition
        try:
            if self._enqueue(message.topic, message.value, message.key, more):
                crash.point("edge.produced")
        except KafkaException as refusal:
            self._report(number, refusal.args[0], None)

    def _enqueue(self, topic: str, value: bytes, key: bytes | None, more: dict[str, Any]) -> bool:
        assert self._producers is not None
        while not self._ended.is_set():
            try:
                self._producers.produce(topic, value, key, more)
            except BufferError:
                self._producers.poll(_POLL_SECONDS)
            else:
                return True
        return False

    def _report(self, number: int, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._landed(self._flights.pop(number), message)
            return
        if self._dropped:
            return  # the next opener of the spool finds out
        flight = self._flights.get(number)
        failure = typed(error, f"producing {flight.size} bytes to {flight.topic}")
        if error.code() not in NOT_STORED or error.fatal():
            self._end_with(f"{failure}; whether Kafka holds it is not known")
            return
        if self._trouble != str(failure):
            _LOG.warning("%s; it is kept and tried again", failure)
        self._note(str(failure))
        if self._spooling is not None and error.code() in _ELSEWHERE:
            self._spooling.routes.forget(flight.topic)
        with self._lock:
            self._again.append(number)
            self._again_at = self._clock.monotonic() + AGAIN_SECONDS

    def _landed(self, flight: Flight, message: Any) -> None:
        self._landed_at = self._clock.monotonic()
        self._note("")
        if flight.route is not None:
            assert self._spooling is not None
            self._spooling.routes.landed(flight.route, message.offset())
            if flight.number is not None:
                crash.point("spool.landed")
                self._spooling.spool.done(flight.number, message.offset())
        if flight.ticket is not None:
            assert flight.message is not None
            self._stored(flight.ticket, flight.message)
        if flight.held:
            self._released(flight.size)

    def _relaunch(self) -> None:
        with self._lock:
            if not self._again or self._clock.monotonic() < self._again_at:
                return
            due, self._again = self._again, []
        for number in due:
            if self._spooling is None:
                self._produce(number, self._flights.get(number))
                continue
            flight = self._flights.pop(number)  # surely not stored: it may as well go another way
            if flight.number is not None:
                self._spooling.refused(flight.number)
            elif flight.ticket is not None and flight.message is not None:
                self.publish(flight.ticket, flight.message)
            if flight.held:
                self._released(flight.size)

    def _holds(self) -> bool:
        """Whether nothing may be sent now (P9)."""
        why = self._held()
        if why != self._why_held:
            self._why_held = why
            self._note(why)
        return bool(why)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._troubled(trouble)

    def _end_with(self, failure: str) -> None:
        self.end()
        self._failed(Fatal(f"{failure}. What no flush has confirmed may or may not be stored; make a new client"))

    # --- with a spool -------------------------------------------------------------------------------------------------

    def _away(self) -> bool:
        oldest, late = self._flights.oldest_since(), self._clock.monotonic() - AWAY_SECONDS
        return oldest is not None and oldest < late and self._landed_at < late

    def _direct(self, ticket: int, message: Message, *, willing: bool) -> bool:
        """Send a message past the spool; False when there is no way. Else also when it would rather be spooled."""
        assert self._spooling is not None
        size, now = len(message.value), self._clock.monotonic()
        if not willing and (self._away() or self._flights.waiting_bytes + size > self._direct_bytes):
            return False
        route = self._spooling.routes.choose(message.topic, message.key, self._flights.stuck(now - AWAY_SECONDS))
        if route is None:
            return False
        tag = self._spooling.spool.direct_tag()
        self._launch(Flight(ticket, message, message.topic, size, now, route, tag))
        return True

    def _spooled(self, ticket: int, message: Message) -> bool:
        assert self._spooling is not None
        try:
            self._spooling.spool.put([message])
        except Unavailable as full:
            self._note(str(full))
            return False
        self._stored(ticket, message)
        return True

    def _rescue(self) -> None:
        """Write to the spool what is in flight for too long (P6)."""
        assert self._spooling is not None
        now = self._clock.monotonic()
        if now < self._rescue_at:
            return
        late = self._flights.older(now if self._away() else now - AWAY_SECONDS)
        for at in range(0, len(late), _RESCUED_AT_ONCE):
            part = [(number, flight, flight.message) for number, flight in late[at : at + _RESCUED_AT_ONCE]]
            kept = [(number, flight, message) for number, flight, message in part if message is not None]
            sent = [Sent(0, *flight.route, flight.tag) for _, flight, _ in kept if flight.route is not None]
            try:
                spooled = self._spooling.spool.put_sent([message for _, _, message in kept], sent)
            except Unavailable as full:
                self._note(str(full))
                self._rescue_at = now + AGAIN_SECONDS
                return
            for (number, _, _), there in zip(kept, spooled, strict=True):
                before = self._flights.told(number, there)
                if before is None:
                    self._spooling.spool.done(there, -1)  # it landed while it was being written
                elif before.ticket is not None and before.message is not None:
                    self._kept(before.ticket, before.message)

    def _park(self, ticket: int, message: Message) -> None:
        with self._lock:
            self._parked.append((ticket, message))

    def _unpark(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if not self._parked or now < self._parked_at:
                return
            self._parked_at = now + AGAIN_SECONDS
            parked, self._parked = self._parked, []
        for ticket, message in parked:
            self.publish(ticket, message)

    def _drain(self, spooling: Spooling) -> None:
        """Send the oldest of the spool (P8); while Kafka is away one at a time, to see whether it is back."""
        if self._holds():
            return
        now = self._clock.monotonic()
        stuck = self._flights.stuck(now - AWAY_SECONDS)
        room = _DRAINING - self._flights.spooled
        if self._away():
            fresh = self._flights.stuck(now) - stuck
            if fresh or now - self._probed_at < AGAIN_SECONDS:
                return
            self._probed_at = now
            room = min(room, 1)
        if room <= 0:
            return
        for number, route, tag, message in spooling.next(room, stuck, room - _DRAINING // 2):
            self._launch(Flight(None, message, message.topic, len(message.value), now, route, tag, number))

    def _barrier(self, topic: str, partition: int, headers: Any, landed: Landed) -> None:
        """Put a message without a value into a partition; ``landed`` hears of its offset."""

        def report(error: KafkaError | None, message: Any) -> None:
            if not self._dropped and error is not None and (error.code() not in NOT_STORED or error.fatal()):
                self._end_with(f"a barrier in {topic}[{partition}]: {error.str()}")
            landed(error, -1 if error is not None else message.offset())

        try:
            self._enqueue(topic, b"", None, {"headers": headers, "partition": partition, "on_delivery": report})
        except KafkaException as refusal:
            landed(refusal.args[0], -1)
