"""Dead letters read back from their topic, up to the end it had when reading began; nothing is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from logflume.block.wire import is_barrier
from logflume.errors import Misconfigured, Poison, Retryable
from logflume.kafka import client, topics
from logflume.kafka.deadletters import DeadLetter, Letters, from_message
from logflume.settings import Settings

_SECONDS = 30.0
"""How long Kafka may be silent before reading gives up."""

Wanted = Callable[[DeadLetter], bool]


@dataclass(frozen=True, slots=True)
class Filed:
    """A letter as it lies in the topic: ``partition`` and ``offset`` are those of its first part."""

    letter: DeadLetter
    partition: int
    offset: int
    timestamp_ms: int
    """When Kafka took it."""

    @property
    def address(self) -> str:
        """``partition:offset``, by which ``read_one`` finds it again."""
        return f"{self.partition}:{self.offset}"


def read_all(settings: Settings, wanted: Wanted = lambda letter: True) -> Iterator[Filed]:
    """Give each letter that ``wanted`` (which sees it without ``raw``) lets through, a partition after the other.

    A message that is no dead letter comes as one with reason ``foreign``. Raises ``Retryable`` when Kafka is away.
    """
    topic = topics.deadletter_topic(settings)
    with closing(Consumer(client.consumer_config(settings, "logflume-deadletters"))) as consumer:
        for partition in _partitions(consumer, topic):
            yield from _read(consumer, TopicPartition(topic, partition, OFFSET_BEGINNING), wanted)


def read_one(settings: Settings, partition: int, offset: int) -> Filed:
    """Return the letter whose first part is at ``partition``, ``offset``; ``Misconfigured`` when none is."""
    topic = topics.deadletter_topic(settings)
    with closing(Consumer(client.consumer_config(settings, "logflume-deadletters"))) as consumer:
        if partition in _partitions(consumer, topic):
            low, high = _watermarks(consumer, TopicPartition(topic, partition))
            if low <= offset < high:
                for filed in _read(consumer, TopicPartition(topic, partition, offset), lambda letter: True):
                    if filed.offset == offset:
                        return filed
    raise Misconfigured(f"no dead letter begins at {partition}:{offset} of {topic}; `deadletter list` shows those kept")


def _read(consumer: Consumer, start: TopicPartition, wanted: Wanted) -> Iterator[Filed]:
    low, high = _watermarks(consumer, start)
    if low == high:
        return
    consumer.assign([start])
    letters = Letters()
    begun: dict[str, tuple[int, int]] = {}
    position = low
    while position < high:
        message = consumer.poll(_SECONDS)
        if message is None:
            raise Retryable(f"reading {start.topic}[{start.partition}]: nothing came for {_SECONDS:g} s; is Kafka up?")
        if (error := message.error()) is not None:
            raise client.typed(error, f"reading {start.topic}[{start.partition}]")
        offset, timestamp_ms = message.offset() or 0, message.timestamp()[1]
        position = offset + 1
        if offset >= high:
            return
        headers = _headers(message)
        if is_barrier(headers):
            continue
        try:
            part = from_message(_bytes(message.value()) or b"", headers)
            if not wanted(part.letter):
                continue
            first = begun.setdefault(part.id, (offset, timestamp_ms))
            letter = letters.add(part)
        except Poison as poison:
            letter, first = _foreign(message, poison), (offset, timestamp_ms)
            if not wanted(letter):
                continue
        if letter is not None:
            yield Filed(letter, start.partition, *first)


def _foreign(message: Message, poison: Poison) -> DeadLetter:
    return DeadLetter("foreign", "unknown", None, None, _bytes(message.value()) or b"", poison.detail)


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, _bytes(value)) for name, value in pairs]


def _bytes(value: str | bytes | None) -> bytes | None:
    """Confluent's types allow text where Kafka has bytes only."""
    return value.encode() if isinstance(value, str) else value


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    try:
        found = consumer.list_topics(topic, timeout=_SECONDS).topics[topic]
    except KafkaException as failure:
        raise client.typed(failure, f"looking for {topic}") from failure
    if found.error is not None:
        raise client.typed(found.error, f"looking for {topic}")
    return sorted(found.partitions)


def _watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    try:
        found = consumer.get_watermark_offsets(partition, timeout=_SECONDS)
    except KafkaException as failure:
        raise client.typed(failure, f"looking for the ends of {partition.topic}[{partition.partition}]") from failure
    if found is None:
        raise Retryable(f"the ends of {partition.topic}[{partition.partition}] were not told in {_SECONDS:g} s")
    return found
