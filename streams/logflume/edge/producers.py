"""The producer that messages go to, and those before it: new certificates or passwords mean a new one.

PR1  After ``renew`` whatever is produced goes to the new one. The old one ends what it was given, and nobody else does.
PR2  An old one is let go once it has nothing left: no message, no report.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from logflume.kafka.deliveries import Producing


class Purging(Producing, Protocol):
    """What is used of ``confluent_kafka.Producer`` here."""

    def purge(self) -> None:
        """Give up all that is in the queue or in flight; the reports come as from ``poll``."""
        ...

    def __len__(self) -> int:
        """How many messages and reports it has."""
        ...


class Producers:
    """See PR1 and PR2. Safe for threads; reports come from ``poll`` and ``drop``, outside our lock."""

    def __init__(self, producer: Purging) -> None:
        """``producer`` is ours alone."""
        self._lock = threading.Lock()
        self._now = producer
        self._before: list[Purging] = []
        self.renewals = 0

    def renew(self, producer: Purging) -> None:
        """Produce by this one from now on."""
        with self._lock:
            self._before.append(self._now)
            self._now = producer
            self.renewals += 1

    def produce(self, topic: str, value: bytes, key: bytes | None, more: dict[str, Any]) -> None:
        """Enqueue one message; raises as the producer does."""
        with self._lock:  # or it could go to one that is let go at this moment
            self._now.produce(topic, value, key, **more)

    def poll(self, seconds: float) -> None:
        """Serve the reports of all; wait for the newest one's, so many seconds at most."""
        with self._lock:
            now, before = self._now, list(self._before)
        for each in before:
            each.poll(0)
        now.poll(seconds)
        if before:
            with self._lock:
                self._before = [each for each in self._before if len(each)]

    def drop(self) -> None:
        """Give up all that is in flight."""
        with self._lock:
            every = [*self._before, self._now]
        for each in every:
            each.purge()
            each.poll(0)  # the reports hold memory
