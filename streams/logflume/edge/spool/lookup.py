"""What a spool must ask Kafka beside producing: which partitions a topic has, and what of ours stands in one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec

from logflume.block.wire import SPOOL_HEADER
from logflume.errors import Retryable
from logflume.kafka import client
from logflume.settings import Settings

_SECONDS = 10.0
"""How long Kafka may take for an answer before it is asked again later."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. ``ends``: of each partition, an offset that its log had reached when Kafka answered;
    ``silent`` are the partitions that gave no answer, as they have no leader now.
    """

    id: str
    ends: Mapping[int, int]
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What of ours stands in a range of a partition: ``tags`` and their offsets. ``start``: where the log begins."""

    start: int
    tags: Mapping[str, int]


class Lookup(Protocol):
    """Questions to Kafka; every one may wait, and raises ``Retryable`` or ``Misconfigured`` without an answer."""

    def renew(self) -> None:
        """Ask by the certificates and passwords that there are now. From any thread."""
        ...

    def topic(self, name: str) -> Topic:
        """The topic, its id and its partitions."""
        ...

    def seen(self, topic: str, partition: int, start: int, barrier: int, prefix: str) -> Seen:
        """The tags with ``prefix`` in the messages from ``start`` to the one at ``barrier``, which is there."""
        ...


class KafkaLookup:
    """Asks Kafka, with clients that join no group and commit nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = client.lasting_admin(settings)

    def renew(self) -> None:
        """Have another administrator's client; consumers are made for each question."""
        client.renew_admin(self._admin, self._settings)

    def topic(self, name: str) -> Topic:
        """Describe the topic, then ask for the ends of its partitions."""
        try:
            described = self._admin.describe_topics(TopicCollection([name]), request_timeout=_SECONDS)[name].result()
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            wanted = {TopicPartition(name, part.id): latest for part in described.partitions}
            answers = self._admin.list_offsets(wanted, request_timeout=_SECONDS)
        except KafkaException as failure:
            raise client.typed(failure, f"looking for the topic {name}") from failure
        ends = {}
        silent = set()
        for part, answer in answers.items():
            try:
                ends[part.partition] = answer.result().offset
            except KafkaException:
                silent.add(part.partition)  # without a leader now: nothing can be sent there either
        return Topic(str(described.topic_id), ends, frozenset(silent))

    def seen(self, topic: str, partition: int, start: int, barrier: int, prefix: str) -> Seen:
        """Read the range with a consumer that sees what is committed only."""
        about = f"looking into {topic}[{partition}]"
        options = client.consumer_config(self._settings, client.reader_group(self._settings, "spool"))
        with closing(Consumer(options)) as consumer:
            try:
                ends = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
                if ends is None:
                    raise Retryable(f"{about}: no answer in {_SECONDS:g} s")
                low = ends[0]
                consumer.assign([TopicPartition(topic, partition, max(low, start if start <= barrier else low))])
                return Seen(low, _tags(consumer, about, barrier, prefix))
            except KafkaException as failure:
                raise client.typed(failure, about) from failure


def _tags(consumer: Consumer, about: str, barrier: int, prefix: str) -> dict[str, int]:
    tags: dict[str, int] = {}
    while True:
        message = consumer.poll(_SECONDS)
        if message is None:
            raise Retryable(f"{about}: nothing came for {_SECONDS:g} s")
        error = message.error()
        if error is not None:
            if error.code() == KafkaError.OFFSET_OUT_OF_RANGE:  # retention went on meanwhile
                raise Retryable(f"{about}: {error.str()}")
            raise client.typed(error, about)
        offset = message.offset()
        assert offset is not None
        headers = message.headers() or ()
        for name, value in headers.items() if isinstance(headers, dict) else headers:
            if name == SPOOL_HEADER and isinstance(value, bytes) and value.startswith(prefix.encode()):
                tags[value.decode(errors="replace")] = offset
        if offset >= barrier:
            return tags
