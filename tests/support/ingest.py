"""Chunks of an ingest partition, made by hand for tests of the sort stage."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from logflume.block.schema import ingest_schema
from logflume.model import Dataset
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


def ingest_block(dataset: Dataset, rows: Sequence[tuple[str, str]]) -> pa.RecordBatch:
    """A block's rows, each a tenant and a ``message``; all arrived at 1 ns after 1970."""
    schema = ingest_schema(dataset)
    columns = {name: pa.nulls(len(rows), schema.field(name).type) for name in schema.names}
    columns["_tenant"] = pa.array([tenant for tenant, _ in rows]).dictionary_encode()
    columns["_received"] = pa.array([1] * len(rows), pa.int64()).cast(schema.field("_received").type)
    columns["message"] = pa.array([text for _, text in rows])
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def chunk(records: Sequence[ConsumerRecord]) -> Chunk:
    """The records as one fetched chunk."""
    first, last = records[0].offset, records[-1].offset
    size = sum(record.serialized_value_size for record in records)
    return Chunk("ingest.events", TOPIC_ID, records[0].partition, list(records), size, Range(first, last, 0.0))
