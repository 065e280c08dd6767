"""How many bytes records are, whatever they came as and however they are stored: those of their values.

Text and free JSON (``_extra``) by their UTF-8, numbers and times 8 bytes, booleans one, lists and maps what is in them;
what a row lacks, names of fields, and what Logflume adds are nothing. So a record counts the same as JSON, Avro or CSV,
before and after its file is merged. Where a column's values lie says it: no value is looked at.
"""

from __future__ import annotations

import struct
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_WIDTHS: Final = {
    **dict.fromkeys((pa.int64().id, pa.float64().id, pa.timestamp("us").id), 8),
    pa.bool_().id: 1,
}
_TEXTS: Final = frozenset((pa.string().id, pa.binary().id))
_LISTS: Final = frozenset((pa.list_(pa.int8()).id, pa.map_(pa.int8(), pa.int8()).id))


def value_bytes(rows: pa.Table) -> int:
    """Return the bytes of the values in rows of a data file."""
    named = zip(rows.schema.names, rows.columns, strict=True)
    return sum(_weight(column) for name, column in named if name[0] != "_" or name == "_extra")


def _weight(column: pa.ChunkedArray | pa.Array) -> int:
    id = column.type.id
    if id in _WIDTHS:
        return (len(column) - int(column.null_count)) * _WIDTHS[id]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else (column,)
    if id in _TEXTS:
        return sum(last - first for first, last in map(_ends, chunks))
    if id in _LISTS:
        return sum(map(_within, chunks))
    return int(pc.sum(pc.binary_length(column.cast(pa.large_string()))).as_py() or 0)  # none that a data file has


def _within(lists: pa.Array) -> int:
    first, last = _ends(lists)
    parts = (lists.keys, lists.items) if isinstance(lists, pa.MapArray) else (lists.values,)
    return sum(_weight(part.slice(first, last - first)) for part in parts)


def _ends(array: pa.Array) -> tuple[int, int]:
    """Where the values of all its rows begin and end."""
    offsets = array.buffers()[1]
    if not len(array) or offsets is None:
        return 0, 0
    (first,) = struct.unpack_from("<i", offsets, 4 * array.offset)
    (last,) = struct.unpack_from("<i", offsets, 4 * (array.offset + len(array)))
    return first, last
