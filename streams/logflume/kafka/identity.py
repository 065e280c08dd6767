"""Whether a topic is still the one that it was: a topic deleted and made again has another id and other offsets."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from logflume.clock import Clock
from logflume.errors import Refused
from logflume.kafka import client, topics

_LOOK_SECONDS = 5.0


class TopicChanged(Refused):
    """The topic is gone, or another one has its name: nothing of it may be stored or committed any more."""

    def __init__(self, topic: str, message: str) -> None:
        super().__init__(message)
        self.topic = topic


class SameTopics:
    """Asks Kafka whether topics still are who they were; safe for threads; one answer serves all who wait."""

    def __init__(self, admin: AdminClient, clock: Clock) -> None:
        self._admin = admin
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._ids: dict[str, str | None] = {}

    def check(self, topic: str, topic_id: str, since: float) -> None:
        """Return when ``topic`` had the id at some time after ``since`` (monotonic): what was read by then is its.

        Raises ``TopicChanged``, or ``Retryable`` when Kafka does not answer.
        """
        with self._lock:
            if self._asked.get(topic, -1.0) < since:
                now = self._clock.monotonic()
                found = topics.present(self._admin, [topic]).get(topic)
                self._asked[topic], self._ids[topic] = now, found.id if found else None
            present = self._ids[topic]
        if present != topic_id:
            raise _changed(topic, topic_id, present)


class Lookout:
    """Looks every few seconds whether topics still are who they were, and never waits for Kafka. For one thread.

    Whoever reads a topic notices that it was made again only where the new one ends before or behind where he stands:
    at an idle partition that ends just there, nothing ever comes.
    """

    def __init__(self, admin: AdminClient, clock: Clock) -> None:
        self._admin = admin
        self._clock = clock
        self._wanted: dict[str, str] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._next = 0.0

    def changed(self, ids: Mapping[str, str]) -> list[TopicChanged]:
        """Return which of the topics (name to id) have another id by a look that has ended; begin the next in time."""
        found = []
        if self._asked and all(answer.done() for answer in self._asked.values()):
            for name, answer in self._asked.items():
                present, wanted = _id(answer), self._wanted[name]
                # Gone is not changed: a broker may not know yet; and who is opened since the look was not asked for.
                if present and present != wanted and ids.get(name) == wanted:
                    found.append(_changed(name, wanted, present))
            self._asked = {}
        now = self._clock.monotonic()
        if ids and not self._asked and now >= self._next:
            self._next = now + _LOOK_SECONDS
            self._wanted = dict(ids)
            who = TopicCollection(list(ids))
            self._asked = self._admin.describe_topics(who, request_timeout=client.REQUEST_SECONDS)
        return found


def _id(answer: Future[Any]) -> str:
    return "" if answer.exception() else topics.id_of(answer.result())


def _changed(topic: str, before: str, now: str | None) -> TopicChanged:
    return TopicChanged(
        topic,
        f"the topic {topic} had the id {before} and now has {now or 'none: it is gone'}; "
        "nothing of it is stored or committed any more",
    )
