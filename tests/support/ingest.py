"""Chunks of an ingest partition, made by hand for tests of the sort stage."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.structs import ConsumerRecord

from logflume.sort.commit import Range
from logflume.sort.transport import Chunk

TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"


def message(
    offset: int,
    value: bytes | None,
    key: bytes | None = b"acme",
    partition: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
) -> ConsumerRecord:
    """A message as aiokafka gives it; its append time is offset milliseconds after 1970."""
    size = len(value or b"")
    return ConsumerRecord("ingest.events", partition, offset, offset, 1, key, value, None, 0, size, tuple(headers))


def chunk(records: Sequence[ConsumerRecord]) -> Chunk:
    """The records as one fetched chunk."""
    first, last = records[0].offset, records[-1].offset
    size = sum(record.serialized_value_size for record in records)
    return Chunk("ingest.events", TOPIC_ID, records[0].partition, list(records), size, Range(first, last, 0.0))
