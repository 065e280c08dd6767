"""Which partition a message goes to, and from which offset on it must be looked for there.

RO1  ``look_from`` of a route is an offset that the partition's log had reached before the route was chosen: a message
     sent afterwards has this offset or a later one.
RO2  A partition that is blocked, or whose topic Kafka has not told us about, is never chosen.
RO3  ``choose`` and ``landed`` never wait; ``refresh`` asks Kafka.
"""

from __future__ import annotations

import random
import threading
import zlib
from collections.abc import Callable, Collection
from typing import NamedTuple

from logflume.clock import Clock
from logflume.edge.spool.lookup import Lookup, Topic
from logflume.errors import LogflumeError

REFRESH_SECONDS = 60.0
"""How old what is known of a topic may become: partitions are added, topics are made again."""

Partition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""


class Route(NamedTuple):
    """A place to send a message to."""

    topic: str
    topic_id: str
    partition: int
    look_from: int


class Routes:
    """See RO1 to RO3; any thread may call, ``refresh`` one at a time."""

    def __init__(self, lookup: Lookup, clock: Clock, pick: Callable[[int], int] = random.randrange) -> None:
        """``pick(n)`` gives a number below n."""
        self._lookup = lookup
        self._clock = clock
        self._pick = pick
        self._lock = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._reached: dict[Partition, int] = {}
        self._blocked: set[Partition] = set()
        self._asked: dict[str, float] = {}  # when each wanted topic was last asked for; -inf: at once
        self.wanted = threading.Event()
        """Set when a topic is wanted that nothing is known of."""

    @property
    def known(self) -> bool:
        """Whether anything can be sent anywhere."""
        return bool(self._topics)

    def choose(self, topic: str, key: bytes | None, avoid: Collection[Partition] = ()) -> Route | None:
        """A partition for a message: any, or with a key always the same; None when there is none now."""
        with self._lock:
            found = self._topics.get(topic)
            if found is None:
                self._want(topic)
                return None
            partitions = sorted(found.ends)
            if key is not None and partitions:
                partitions = [partitions[zlib.crc32(key) % len(partitions)]]
            free = [each for each in partitions if (topic, each) not in self._blocked and (topic, each) not in avoid]
            if not free:
                return None
            partition = free[self._pick(len(free))]
            return Route(topic, found.id, partition, self._reached[topic, partition])

    def landed(self, route: Route, offset: int) -> None:
        """Learn from a report where a message came to stand."""
        with self._lock:
            found = self._topics.get(route.topic)
            if found is not None and found.id == route.topic_id and route.partition in found.ends:
                where = (route.topic, route.partition)
                self._reached[where] = max(self._reached[where], offset + 1)

    def forget(self, topic: str) -> None:
        """Ask again for a topic that refused a message."""
        with self._lock:
            self._topics.pop(topic, None)
            self._want(topic)

    def block(self, partitions: Collection[Partition]) -> None:
        """Choose none of these until they are freed."""
        with self._lock:
            self._blocked.update(partitions)

    def free(self, partition: Partition) -> None:
        """Let a blocked partition be chosen again."""
        with self._lock:
            self._blocked.discard(partition)

    def refresh(self) -> str:
        """Ask for the topics that are wanted and not known, or known for long; returns the last trouble, or ""."""
        self.wanted.clear()
        trouble = ""
        now = self._clock.monotonic()
        with self._lock:
            due = [name for name, asked in self._asked.items() if now - asked > REFRESH_SECONDS]
        for name in due:
            try:
                found = self._lookup.topic(name)
            except LogflumeError as failure:
                trouble = str(failure)
                continue
            with self._lock:
                self._learn(name, found)
                self._asked[name] = now
        return trouble

    def _want(self, topic: str) -> None:
        self._asked[topic] = float("-inf")
        self.wanted.set()

    def _learn(self, name: str, found: Topic) -> None:
        known = self._topics.get(name)
        same = known is not None and known.id == found.id
        for partition, end in found.ends.items():
            where = (name, partition)
            # Of a topic made again the old offsets say nothing, and they may be higher.
            self._reached[where] = max(self._reached.get(where, 0), end) if same else end
        self._topics[name] = found
