"""Rows to an Avro object container file, by fastavro: deflate, each field a union of null and its type.

Times are ``timestamp-nanos`` (Avro 1.12); a reader that does not know it sees the nanoseconds since 1970 UTC as a long.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any, Final

import fastavro
import pyarrow as pa

from logflume.formats.out import ndjson
from logflume.model.dataset import Dataset

_ROWS: Final = 4_096  # that are Python objects at once
_BLOCK_BYTES: Final = 64_000


def encode(rows: pa.Table, dataset: Dataset) -> bytes:
    """Return the file. An object a value is made: the slowest of the formats, by far."""
    fields = [{"name": f.name, "type": ["null", _type(f.type)], "default": None} for f in rows.schema]
    schema = {"type": "record", "name": dataset.name, "namespace": "logflume", "fields": fields}
    file = io.BytesIO()
    fastavro.writer(
        file,
        fastavro.parse_schema(schema),
        _records(rows),
        codec="deflate",
        sync_interval=_BLOCK_BYTES,
        sync_marker=_marker(rows),
    )
    return file.getvalue()


def _records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    names = rows.schema.names
    for start in range(0, rows.num_rows, _ROWS):
        columns = [_values(column) for column in rows.slice(start, _ROWS).columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in values]
    return values


def _type(kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-nanos"}
    if pa.types.is_map(kind):
        return {"type": "map", "values": ["null", _type(kind.item_type)]}
    if pa.types.is_list(kind):
        return {"type": "array", "items": ["null", _type(kind.value_type)]}
    if pa.types.is_integer(kind):
        return "long"
    if pa.types.is_floating(kind):
        return "double"
    return "boolean" if pa.types.is_boolean(kind) else "string"


def _marker(rows: pa.Table) -> bytes:
    """Return the bytes between blocks: the same for the same rows, and such that no record can hold them on purpose."""
    text = b"".join(ndjson.pieces(rows.slice(0, 100)))
    return hashlib.blake2b(text, digest_size=16).digest()
