"""What the cursors topic keeps of parked outlets: from which place on each one's rows are read again.

N1 of ``intents`` holds here too: the record lies where the position of its sorted partition lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from logflume.kafka.position import Position
from logflume.kafka.single_object import SingleObject
from logflume.settings import Settings


@dataclass(frozen=True, slots=True)
class ParkedCursor:
    """One record: the outlet has all rows before ``position``. ``job`` is empty for the tenant's table.

    ``since_ms``: when Kafka took the message before which it was parked. ``gather_bytes``: what the rows of its frozen
    cut take in memory, 0 without one.
    """

    topic: str
    topic_id: str
    partition: int
    tenant: str
    job: str
    reason: str
    since_ms: int
    gather_bytes: int
    position: Position


def prefix(group: str, topic: str, partition: int) -> bytes:
    """Return how the keys of all parked outlets of a sorted partition begin; tenant, slash and job follow."""
    return f"parked/{group}/{topic}/{partition}/".encode()


def key(group: str, cursor: ParkedCursor) -> bytes:
    """Return the key of a record."""
    return prefix(group, cursor.topic, cursor.partition) + f"{cursor.tenant}/{cursor.job}".encode()


class Codec:
    """Writes and reads records by the contract's schema."""

    def __init__(self, settings: Settings) -> None:
        self._encoding = SingleObject(settings.topics_dir, "parked")

    def encode(self, cursor: ParkedCursor) -> bytes:
        """Return the message's value."""
        position = cursor.position
        topics = sorted({topic_id for topic_id, _ in position.watermarks})
        numbers = {topic_id: number for number, topic_id in enumerate(topics)}
        return self._encoding.encode(
            {
                "topic": cursor.topic,
                "topic_id": cursor.topic_id,
                "partition": cursor.partition,
                "tenant": cursor.tenant,
                "job": cursor.job,
                "reason": cursor.reason,
                "since_ms": cursor.since_ms,
                "gather_bytes": cursor.gather_bytes,
                "offset": position.offset,
                "floor": position.floor,
                "topics": topics,
                "watermarks": [
                    {
                        "topic": numbers[ingest[0]],
                        "partition": ingest[1],
                        "offset": offset,
                        "row": row,
                        "since_floor": ingest in position.since,
                    }
                    for ingest, (offset, row) in sorted(position.watermarks.items())
                ],
            }
        )

    def decode(self, value: bytes) -> ParkedCursor:
        """Read a message's value; raises ``Refused`` when it is no record that this version knows."""
        record: Any = self._encoding.decode(value)
        topics, watermarks = record.pop("topics"), record.pop("watermarks")
        marks = {(topics[mark["topic"]], mark["partition"]): (mark["offset"], mark["row"]) for mark in watermarks}
        since = frozenset((topics[mark["topic"]], mark["partition"]) for mark in watermarks if mark["since_floor"])
        position = Position(record.pop("offset"), MappingProxyType(marks), record.pop("floor"), since)
        return ParkedCursor(**record, position=position)
