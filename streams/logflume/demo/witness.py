"""What Kafka itself says about a run: which offsets its ingest topics took since a mark, and which letters are dead.

Read from the log by a plain consumer: a block's rows are those of its header, never those that some stage counted.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from logflume.demo.judge import DEAD, LOG
from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.deadletters.reading import Letters
from logflume.settings import Settings

_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Marks:
    """The ends of the ingest topics and of the dead-letter topic at one moment."""

    ids: Mapping[str, str]
    """Ingest topic to its id."""
    ends: Mapping[tuple[str, int], int]
    """(topic, partition) to its end."""

    @property
    def since(self) -> dict[tuple[str, int], int]:
        """The ends of the ingest topics, by topic id: what ``judge`` takes."""
        return {(self.ids[topic], p): end for (topic, p), end in self.ends.items() if topic in self.ids}


@dataclass(frozen=True, slots=True)
class Account:
    """Kafka's account of a run."""

    log: pa.Table
    """Messages of the ingest topics, schema ``judge.LOG``."""
    dead: pa.Table
    """Dead letters by the coordinates of what they hold, each once, schema ``judge.DEAD``."""
    letters: Mapping[str, int]
    """How many different dead letters each stage wrote."""
    log_bytes: int
    """Bytes of the messages' values."""
    offsets: int
    """How far the ends of the ingest topics moved: as many messages, for no transaction writes there."""


def marks(settings: Settings, datasets: Collection[str]) -> Marks:
    """Where the topics end now."""
    ingest = [topics.ingest_topic(settings, dataset) for dataset in datasets]
    ids = topics.topic_ids(client.admin(settings), ingest)
    consumer = _consumer(settings)
    try:
        return Marks(ids, _ends(consumer, [*ingest, topics.deadletter_topic(settings)]))
    finally:
        consumer.close()


def account(settings: Settings, since: Marks) -> Account:
    """Everything that came after ``since``, up to now."""
    log: list[tuple[str, int, int, int]] = []
    dead: list[tuple[str, int, int, int | None]] = []
    letters: Counter[str] = Counter()
    reading: defaultdict[int, Letters] = defaultdict(partial(Letters, bodies=False))
    size = 0
    consumer = _consumer(settings)
    try:
        now = _ends(consumer, {topic for topic, _ in since.ends})
        for message in _read(consumer, since.ends, now):
            topic, partition, offset = _address(message)
            if topic in since.ids:
                log.append((since.ids[topic], partition, offset, _rows(message)))
                size += len(message.value() or b"")
                continue
            headers: Any = message.headers()
            for found in reading[partition].read(message.value(), headers):
                letters[found.letter.stage] += 1
                if (place := _coordinates(found.letter)) is not None:
                    dead.append(place)
    finally:
        consumer.close()
    moved = sum(end - since.ends[at] for at, end in now.items() if at[0] in since.ids)
    return Account(_table(log, LOG), _table(dead, DEAD), letters, size, moved)


_NOTES = ("logflume-barrier", "logflume-routing")
"""On messages that hold no record by intent: where an edge looks for its own, and where shards change."""


def _rows(message: Message) -> int:
    """The records that a message claims to hold: a block's header, or the lines of a plain message."""
    headers = _headers(message)
    if "logflume-block" in headers:
        try:
            return int(headers["rows"])
        except (KeyError, ValueError):
            return 1  # it can't be a block that anyone reads: one dead letter
    if not message.value() and not headers.keys().isdisjoint(_NOTES):
        return 0
    lines = sum(1 for line in (message.value() or b"").split(b"\n") if line.strip())
    return max(lines, 1)


def _coordinates(letter: DeadLetter) -> tuple[str, int, int, int | None] | None:
    """Where a dead letter came from; None for one of an edge, which never was in an ingest topic."""
    if not letter.topic_id or letter.partition is None or letter.offset is None:
        return None
    return letter.topic_id, letter.partition, letter.offset, letter.row


def _headers(message: Message) -> dict[str, bytes]:
    pairs: Any = message.headers() or ()
    return {name: value for name, value in pairs if value is not None}


def _consumer(settings: Settings) -> Consumer:
    return Consumer(client.consumer_config(settings, "logflume-judge", enable_partition_eof=True))


def _ends(consumer: Consumer, names: Collection[str]) -> dict[tuple[str, int], int]:
    ends = {}
    for name in names:
        for partition in consumer.list_topics(name, timeout=client.REQUEST_SECONDS).topics[name].partitions:
            at = TopicPartition(name, partition)
            ends[name, partition] = consumer.get_watermark_offsets(at, timeout=client.REQUEST_SECONDS)[1]
    return ends


def _read(
    consumer: Consumer, start: Mapping[tuple[str, int], int], end: Mapping[tuple[str, int], int]
) -> Iterator[Message]:
    """Every message from ``start`` up to and without ``end``."""
    open_ = {at for at, offset in end.items() if offset > start.get(at, 0)}
    consumer.assign([TopicPartition(topic, p, start.get((topic, p), 0)) for topic, p in open_])
    deadline = time.monotonic() + _READ_SECONDS
    while open_:
        if time.monotonic() > deadline:
            raise Retryable(f"Kafka did not give back {len(open_)} partitions within {_READ_SECONDS:.0f} s")
        for message in consumer.consume(1000, timeout=0.5):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            topic, partition, offset = _address(message)
            if error is None and offset < end[topic, partition]:
                yield message
            if error is not None or offset + 1 >= end[topic, partition]:
                open_.discard((topic, partition))


def _address(message: Message) -> tuple[str, int, int]:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return topic, partition, offset


def _table(
    rows: list[tuple[str, int, int, int]] | list[tuple[str, int, int, int | None]], schema: pa.Schema
) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
