"""Rows back to records: JSON values, each row an object, what stood in ``_extra`` at its place again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from logflume.block import extra
from logflume.block.schema import EXTRA


def to_ndjson(table: pa.Table | pa.RecordBatch) -> bytes:
    """Return each row as a line of JSON, as ``to_records`` gives it and exact: for dead letters."""
    return b"".join(extra.dumps(record).encode() + b"\n" for record in to_records(table))


def to_records(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """Return each row as a JSON object. For tests, listings and dead letters: it makes an object of every row.

    Nulls are left out, timestamps are RFC 3339 text, maps objects. Columns that begin with ``_`` are Logflume's own
    and not part of a record; ``_extra`` is merged in.
    """
    names = [
        name
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if not name.startswith("_") and column.null_count < table.num_rows  # most columns of most rows are null
    ]
    columns = [extra.json_values(table.column(name)) for name in names]
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name, column in zip(names, columns, strict=True):
        for row, value in zip(rows, column, strict=True):
            if value is not None:
                row[name] = value
    if EXTRA.name in table.schema.names:
        for row, text in zip(rows, table.column(EXTRA.name).to_pylist(), strict=True):
            if text:
                row |= extra.loads(text)
    return rows
