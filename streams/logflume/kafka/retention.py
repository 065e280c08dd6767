"""How long Kafka keeps what stands in a topic: by time, as its configuration says now.

What ``retention.bytes`` deletes earlier can't be told from here: it depends on what will come.
"""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from logflume.clock import Clock
from logflume.kafka import client

_AGAIN_SECONDS = 300.0
"""How old an answer may be: who raises the retention while rows run out sees the effect within minutes."""

_log = structlog.get_logger(__name__)


class Retentions:
    """Asks in the background and never blocks. Used by one thread."""

    def __init__(self, admin: AdminClient, clock: Clock) -> None:
        self._admin = admin
        self._clock = clock
        self._found: dict[str, float] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._next: dict[str, float] = {}

    def seconds(self, topic: str) -> float | None:
        """Return the topic's retention by the last answer, ``inf`` for ever; None: there was no answer yet."""
        self._hear(topic)
        now = self._clock.monotonic()
        if topic not in self._asked and now >= self._next.get(topic, 0.0):
            self._next[topic] = now + _AGAIN_SECONDS
            resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
            [self._asked[topic]] = self._admin.describe_configs(
                [resource], request_timeout=client.REQUEST_SECONDS
            ).values()
        return self._found.get(topic)

    def _hear(self, topic: str) -> None:
        if topic not in self._asked or not self._asked[topic].done():
            return
        asked = self._asked.pop(topic)
        try:
            milliseconds = int(asked.result()["retention.ms"].value)
        except (KafkaException, KeyError, ValueError) as error:
            _log.warning("kafka.retention-unknown", topic=topic, error=str(error))
            return  # the last answer holds until there is another
        self._found[topic] = math.inf if milliseconds < 0 else milliseconds / 1000
