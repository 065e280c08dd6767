"""The ``cursors`` topic: where each sink group is in each sorted partition.

K1  A position's key names group, topic and partition, and its home partition depends on the key alone, so that the
    latest message of a key is the position in force.
K2  ``read_to_end`` returns only when it has seen everything that was in the log when it was called, with every
    transaction that was open then decided: what a dying owner may still have stored is in the answer or never will be.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from logflume.errors import LogflumeError, Retryable
from logflume.kafka import client, topics
from logflume.kafka.position import Position
from logflume.kafka.single_object import SingleObject
from logflume.settings import Settings

_POLL_SECONDS = 0.2
_EMPTY_FETCH_MS = 20
"""How long the broker may hold a fetch that finds nothing, as the last one does; its default is half a second."""

_LEADERLESS_SECONDS = 10.0
"""An election takes less; longer than this a caller shall decide."""


@dataclass(frozen=True)
class Cursor:
    """The position of one sink group in one sorted partition, and by which configuration it came there."""

    topic: str
    topic_id: str
    partition: int
    position: Position
    generation: int


def key(group: str, topic: str, partition: int) -> bytes:
    """Return the key of a position."""
    return f"position/{group}/{topic}/{partition}".encode()


def home(of: bytes, partitions: int) -> int:
    """Return the partition of the cursors topic where the key ``of`` lies (K1)."""
    return zlib.crc32(of) % partitions


class Codec:
    """Writes and reads positions by the contract's schema."""

    def __init__(self, settings: Settings) -> None:
        self._encoding = SingleObject(settings.topics_dir, "position")

    def encode(self, cursor: Cursor) -> bytes:
        """Return the message's value."""
        position = cursor.position
        record = {
            "topic": cursor.topic,
            "topic_id": cursor.topic_id,
            "partition": cursor.partition,
            "offset": position.offset,
            "floor": position.floor,
            "watermarks": [
                {
                    "topic_id": ingest[0],
                    "partition": ingest[1],
                    "offset": offset,
                    "row": row,
                    "since_floor": ingest in position.since,
                }
                for ingest, (offset, row) in sorted(position.watermarks.items())
            ],
            "generation": cursor.generation,
        }
        return self._encoding.encode(record)

    def decode(self, value: bytes) -> Cursor:
        """Read a message's value; raises ``Refused`` when it is no position that this version knows."""
        record: Any = self._encoding.decode(value)
        marks = {(mark["topic_id"], mark["partition"]): (mark["offset"], mark["row"]) for mark in record["watermarks"]}
        since = frozenset((mark["topic_id"], mark["partition"]) for mark in record["watermarks"] if mark["since_floor"])
        position = Position(record["offset"], MappingProxyType(marks), record["floor"], since)
        return Cursor(record["topic"], record["topic_id"], record["partition"], position, record["generation"])


def read_to_end(
    settings: Settings,
    admin: AdminClient,
    partitions: Collection[int],
    timeout_seconds: float,
    *,
    topic: str = "",
    decided: bool = True,
) -> dict[bytes, bytes]:
    """Return the latest value of each key in these partitions of the cursors topic, or of another compacted one (K2).

    Raises ``Retryable`` when Kafka does not answer, or when a transaction stays open, for ``timeout_seconds``. Without
    ``decided`` it reads up to the first open transaction, and waits for none.
    """
    topic = topic or topics.cursors_topic(settings)
    deadline = time.monotonic() + timeout_seconds
    # The high watermark, not the last stable offset: it lies behind the messages of open transactions too.
    wanted = {p: end for p, end in ends(admin, topic, partitions).items() if end > 0}
    values: dict[bytes, bytes] = {}
    if not wanted:
        return values
    group = client.reader_group(settings, "cursors")
    config = client.consumer_config(settings, group, fetch_wait_max_ms=_EMPTY_FETCH_MS)
    consumer = Consumer(config | {"enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in wanted])
        while wanted:
            if time.monotonic() > deadline:
                raise Retryable(
                    f"{topic}{sorted(wanted)} could not be read to the end within {timeout_seconds:.0f} s; "
                    "a transaction of another process may still be open"
                )
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None:
                _keep(values, message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                # With read_committed this is the last stable offset: an open transaction keeps it below the end.
                number, offset = message.partition(), message.offset()
                if number in wanted and offset is not None and (offset >= wanted[number] or not decided):
                    del wanted[number]
            elif not isinstance(client.typed(error, topic), Retryable):
                raise client.typed(error, f"reading {topic}[{message.partition()}]")
    finally:
        consumer.close()
    return values


def ends(admin: AdminClient, topic: str, partitions: Collection[int]) -> dict[int, int]:
    """Return the high watermark of each partition: where the next message goes, open transactions or not."""
    return _offsets(admin, topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def starts(admin: AdminClient, topic: str, partitions: Collection[int]) -> dict[int, int]:
    """Return the first offset that each partition still has."""
    return _offsets(admin, topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def _offsets(admin: AdminClient, topic: str, partitions: Collection[int], spec: OffsetSpec) -> dict[int, int]:
    """Ask again while no leader is known: a topic was made, or a broker restarted, a moment ago."""
    if not partitions:
        return {}
    deadline = time.monotonic() + _LEADERLESS_SECONDS
    while True:
        asked = admin.list_offsets(
            {TopicPartition(topic, p): spec for p in partitions},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=client.REQUEST_SECONDS,
        )
        about = f"offsets of {topic}{sorted(partitions)}"
        try:
            return {place.partition: client.answer(future, about).offset for place, future in asked.items()}
        except LogflumeError as error:
            cause = error.__cause__
            if not isinstance(cause, KafkaException) or cause.args[0].code() != KafkaError._NOENT:
                raise
            if time.monotonic() > deadline:
                hint = "no broker leads it, or there is no such topic: see `logflume topics diff`"
                raise Retryable(f"{about}: {cause.args[0].str()}; {hint}") from error
            time.sleep(_POLL_SECONDS)


def _keep(values: dict[bytes, bytes], of: bytes | None, value: bytes | None) -> None:
    if of is None:
        return
    if value is None:  # a tombstone
        values.pop(of, None)
    else:
        values[of] = value
