"""Whether a topic is still the one that it was: a topic deleted and made again has another id and other offsets."""

from __future__ import annotations

import threading

from confluent_kafka.admin import AdminClient

from logflume.clock import Clock
from logflume.errors import Refused
from logflume.kafka import topics


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

    def renew(self, admin: AdminClient) -> None:
        """Ask by another client from now on: this one has not come back."""
        self._admin = admin

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
            raise TopicChanged(
                topic,
                f"the topic {topic} had the id {topic_id} and now has {present or 'none: it is gone'}; "
                "nothing of it is stored or committed any more",
            )
