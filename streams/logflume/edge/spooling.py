"""A spool at work: what of it goes where next, and what Kafka must be asked for that."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import KafkaError

from logflume import crash, metrics
from logflume.block.wire import BARRIER_HEADER
from logflume.clock import Clock
from logflume.edge.spool import Message, Sent, Spool
from logflume.edge.spool.doubts import Doubts
from logflume.edge.spool.lookup import Lookup
from logflume.edge.spool.routes import Partition, Route, Routes
from logflume.errors import Refused, Retryable, Unavailable

SETTLE_SECONDS = 1.0
"""Pause after opening before barriers are put: what a process sent just before it was killed is still on its way."""

_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.1
_BARRIER_SECONDS = 30.0

_LOG = logging.getLogger("logflume.edge")

Landed = Callable[[KafkaError | None, int], None]
"""Hears of the report about a message: an error, or the offset."""

Put = Callable[[str, int, Any, Landed], None]
"""``put(topic, partition, headers, landed)`` produces a message without a value."""


class Spooling:
    """A spool with the routes of its messages. ``next`` is one thread's, ``run`` another's."""

    def __init__(self, spool: Spool, lookup: Lookup, clock: Clock) -> None:
        self.spool = spool
        self.routes = Routes(lookup, clock)
        self._clock = clock
        self._doubts = Doubts(spool, self.routes, lookup)
        # Taken and not sent: by topic and key, as there is no way for them; and what Kafka refused.
        self._wayless: dict[tuple[str, bytes | None], list[int]] = defaultdict(list)
        self._refused: deque[int] = deque()
        self._trouble = ""

    def refused(self, number: int) -> None:
        """Take back a message that Kafka refused: it is sent again, but must not hold up those behind it."""
        self._refused.append(number)

    def next(self, most: int, avoid: Collection[Partition], refused: int) -> list[tuple[int, Route, str, Message]]:
        """Messages to be sent now, the oldest first, with number, route and tag; the spool has noted it already.

        Those for which there is no route now are passed over; ``refused`` of them at most were refused before. Never
        waits for Kafka.
        """
        for where in [each for each in self._wayless if self.routes.choose(*each, avoid) is not None]:
            self.spool.again(self._wayless.pop(where))
        while self._refused and refused > 0:
            self.spool.again((self._refused.popleft(),))
            refused -= 1
        ready: list[tuple[int, Route, str, Message]] = []
        for number, message in self.spool.take(most):
            route = self.routes.choose(message.topic, message.key, avoid)
            if route is None:
                self._wayless[message.topic, message.key].append(number)
            else:
                ready.append((number, route, self.spool.tag(number), message))
        if not ready:
            return []
        try:
            self.spool.sent([Sent(number, *route, tag) for number, route, tag, _ in ready])
        except (Unavailable, Refused) as failure:
            self._say(str(failure))
            self.spool.again([number for number, _, _, _ in ready])
            return []
        crash.point("spool.sent")
        return ready

    def measure(self) -> None:
        """Bring the metrics up to date that change with time alone."""
        metrics.EDGE_SPOOL_AGE.set(self.spool.oldest_seconds)

    def run(self, ended: threading.Event, put: Put) -> None:
        """Keep the routes fresh, and clear up what is in doubt, until ``ended``."""
        if self._doubts:
            ended.wait(SETTLE_SECONDS)

        def barrier(topic: str, partition: int, tag: str) -> int:
            return self._barrier(ended, put, topic, partition, tag)

        while not ended.is_set():
            trouble = self.routes.refresh()
            if self._doubts and not ended.is_set():
                trouble = self._doubts.settle(barrier) or trouble
            self._say(trouble)
            if trouble:
                ended.wait(_PAUSE_SECONDS)
            else:
                self.routes.wanted.wait(_PAUSE_SECONDS)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _LOG.warning("what is in the spool waits: %s", trouble)
        self._trouble = trouble

    def _barrier(self, ended: threading.Event, put: Put, topic: str, partition: int, tag: str) -> int:
        told = threading.Event()
        found: list[tuple[KafkaError | None, int]] = []

        def landed(error: KafkaError | None, offset: int) -> None:
            found.append((error, offset))
            told.set()

        put(topic, partition, [(BARRIER_HEADER, tag.encode())], landed)
        deadline = self._clock.monotonic() + _BARRIER_SECONDS
        while not told.wait(_POLL_SECONDS):
            if ended.is_set() or self._clock.monotonic() > deadline:  # should it land later: it does no harm
                raise Retryable(f"a barrier in {topic}[{partition}] is not acknowledged")
        error, offset = found[0]
        if error is not None:
            raise Retryable(f"a barrier in {topic}[{partition}]: {error.name()}: {error.str()}")
        return offset
