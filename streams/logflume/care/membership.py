"""Which tables this worker looks after: Kafka shares a topic's partitions among the group, and each table has one.

Nothing is read: the topic (``cursors``) is there for its partitions. Two that look after the same table for a moment,
as while partitions move, do work twice and harm nothing (``change.py``, C1).
"""

from __future__ import annotations

import threading
import zlib
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from logflume.errors import LogflumeError
from logflume.kafka import client, topics
from logflume.settings import Settings

_POLL_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


class Everything:
    """Alone: every table is ours."""

    failure: LogflumeError | None = None

    def mine(self, tenant: str, dataset: str) -> bool:
        """Whether this worker looks after the table."""
        return True

    def close(self) -> None:
        """Leave."""


class Membership:
    """A member of the carers' group, kept by a thread of its own; ``close`` leaves. ``mine`` never blocks."""

    def __init__(self, settings: Settings) -> None:
        self._topic = topics.cursors_topic(settings)
        self._count = next(t.partitions for t in topics.declared(settings) if t.name == self._topic)
        self._mine: frozenset[int] = frozenset()
        self._ended = threading.Event()
        self.failure: LogflumeError | None = None
        """Why this worker is no member any more."""
        self._consumer = Consumer(
            client.consumer_config(
                settings,
                settings.care_group,
                client_id="logflume-care",
                partition_assignment_strategy="cooperative-sticky",
                session_timeout_ms=settings.care_session_timeout_ms,
                heartbeat_interval_ms=min(3000, settings.care_session_timeout_ms // 3),
            )
        )
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        self._thread = threading.Thread(target=self._run, name="care-member", daemon=True)
        self._thread.start()

    @property
    def partitions(self) -> frozenset[int]:
        """What Kafka gave this worker."""
        return self._mine

    def mine(self, tenant: str, dataset: str) -> bool:
        """Whether this worker looks after the table now."""
        return zlib.crc32(f"{tenant}/{dataset}".encode()) % self._count in self._mine

    def close(self) -> None:
        """Leave the group: others take over at once."""
        self._ended.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                message = self._consumer.poll(_POLL_SECONDS)
                error = message.error() if message is not None else None
                if error is not None and error.code() == KafkaError._FATAL:
                    raise client.typed(error, f"group of carers, topic {self._topic}")
                if error is not None:
                    _log.debug("care.kafka", error=str(error))
        except (LogflumeError, KafkaException) as error:
            self._mine = frozenset()
            self.failure = error if isinstance(error, LogflumeError) else client.typed(error, "group of carers")
        finally:
            self._consumer.close()

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        places = [TopicPartition(self._topic, each.partition, OFFSET_END) for each in assigned]
        consumer.incremental_assign(places)
        consumer.pause(places)
        self._mine |= {each.partition for each in assigned}
        _log.info("care.partitions", mine=sorted(self._mine))

    def _on_revoke(self, consumer: Any, gone: list[TopicPartition]) -> None:
        consumer.incremental_unassign(gone)
        self._mine -= {each.partition for each in gone}
        _log.info("care.partitions", mine=sorted(self._mine))
