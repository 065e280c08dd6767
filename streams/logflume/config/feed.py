"""The topic ``config`` as it goes on: every message from its beginning, and when nothing more is there.

FE1 Only committed messages are given, in the log's order, and the end is told only once all are given that were there.
FE2 A topic that was emptied, deleted or made again is never taken for the one before: ``poll`` raises ``Anew``, and who
    follows begins again with a new feed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from logflume.config.log import PARTITION
from logflume.errors import Misconfigured, Retryable
from logflume.kafka import client, topics
from logflume.settings import Settings

Take = Callable[[bytes, bytes | None], None]
"""Hears of a message: key, and value (None: the key is gone)."""

_CHECK_SECONDS: Final = 2.0
_AT_ONCE_SECONDS: Final = 0.5
_UNKNOWN_SECONDS: Final = 0.05
_QUEUED_KILOBYTES: Final = 8 << 10
_FETCH_BYTES: Final = 5 << 20  # more than the topic's largest message


class Anew(Retryable):
    """The log is another one than before: what was read of it counts no more."""


class Feed(Protocol):
    """One reading of the log. One thread's."""

    def poll(self, seconds: float, take: Take) -> bool:
        """Wait for messages, ``seconds`` at most, and give them to ``take``; True: all is given that is there.

        Raises ``Anew``, other ``Retryable`` and ``Misconfigured``; close it then.
        """
        ...

    @property
    def current(self) -> bool:
        """Whether Kafka has said of late that the log is still the same one."""
        ...

    def close(self) -> None:
        """Let go of Kafka."""
        ...


class KafkaFeed:
    """``Feed``, by a consumer that belongs to no group. Nothing here waits for Kafka for longer than it was told."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        """Ask for the topic's id, and begin to read; the answers are awaited in ``poll``."""
        self._admin = admin
        self._topic = topics.config_topic(settings)
        self._id = ""  # as long as Kafka has not said
        self._asked: Future[Any] | None = self._ask()
        self._answered_at = float("-inf")
        self._at_end = False
        config = client.consumer_config(
            settings,
            client.reader_group(settings, "config"),
            client_id="logflume-config",
            enable_partition_eof=True,
            queued_max_messages_kbytes=_QUEUED_KILOBYTES,
            fetch_message_max_bytes=_FETCH_BYTES,
        )
        self._consumer: Any = Consumer(config | {"log_level": 0})  # what matters is told by ``poll``
        self._consumer.assign([TopicPartition(self._topic, PARTITION, OFFSET_BEGINNING)])

    @property
    def current(self) -> bool:
        """See ``Feed``."""
        return time.monotonic() - self._answered_at < 2 * _CHECK_SECONDS

    def poll(self, seconds: float, take: Take) -> bool:
        """See ``Feed``."""
        self._check()
        until = time.monotonic() + _AT_ONCE_SECONDS
        message = self._consumer.poll(seconds if self._id else min(seconds, _UNKNOWN_SECONDS))
        while message is not None:
            error = message.error()
            if error is None:
                self._at_end = False
                if message.key() is not None:
                    take(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end = True
            else:
                self._refuse(error)
            if self._at_end or time.monotonic() > until:
                break
            message = self._consumer.poll(0)
        if not (self._at_end and self._id):
            return False
        self._at_end = False
        return True

    def close(self) -> None:
        """See ``Feed``."""
        self._consumer.close()

    def _refuse(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Anew(f"{self._topic} was emptied or made again: {error.str()}")
        failure = client.typed(error, f"reading {self._topic}")
        if isinstance(failure, Misconfigured):
            raise Anew(str(failure))
        if not isinstance(failure, Retryable):
            raise failure

    def _ask(self) -> Future[Any]:
        asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=client.REQUEST_SECONDS)
        return asked[self._topic]

    def _check(self) -> None:
        """Ask now and then who the topic is: a new one may have just as many messages."""
        if self._asked is None:
            if time.monotonic() - self._answered_at >= _CHECK_SECONDS:
                self._asked = self._ask()
            return
        if not self._asked.done():
            return
        answer, self._asked = self._asked, None
        try:
            id = str(answer.result().topic_id)
        except KafkaException as error:
            failure = client.typed(error, self._topic)
            if isinstance(failure, Retryable):
                return  # Kafka is away; what was read of the log stays read
            raise failure from error
        if self._id and id != self._id:
            raise Anew(f"{self._topic} had the id {self._id} and now has {id}")
        self._id = id
        self._answered_at = time.monotonic()
