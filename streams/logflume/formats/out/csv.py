"""Rows to CSV (RFC 4180, lines end with LF): a header, texts in quotes, nothing between commas for null.

Maps and arrays are JSON text, as ``_extra`` is; times RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from logflume.formats.out import cells

_ROWS: Final = 16_384


def pieces(rows: pa.Table) -> Iterator[memoryview]:
    """Yield the header, then the lines of all rows, piece by piece."""
    yield _written(_texts(rows.slice(0, 0)), header=True)
    for start in range(0, rows.num_rows, _ROWS):
        yield _written(_texts(rows.slice(start, _ROWS)), header=False)


def _written(rows: pa.Table, *, header: bool) -> memoryview:
    sink = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=header, batch_size=1024, quoting_style="needed")
    pacsv.write_csv(rows, sink, options)
    return memoryview(sink.getvalue())


def _texts(rows: pa.Table) -> pa.Table:
    """Return rows whose columns are all of a type that CSV has."""
    columns = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        kind = column.type
        if pa.types.is_timestamp(kind):
            column = cells.rfc3339(_one(column)).cast(pa.string())
        elif pa.types.is_nested(kind):
            column = cells.cell(_one(column)).whole().cast(pa.string())
        columns[name] = column
    return pa.table(columns)


def _one(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)
