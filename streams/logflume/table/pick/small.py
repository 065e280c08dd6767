"""A small Parquet file in memory, of some pages of a large one, for a library to decode.

The pages stay as they are; the footer tells of no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from logflume.table.pick import thrift
from logflume.table.pick.footer import Chunk, Footer
from logflume.table.pick.thrift import I32, I64, LIST, STRUCT, Broken, Value

_MAGIC: Final = b"PAR1"
_SCHEMA, _ROWS, _ROW_GROUPS = 2, 3, 4  # FileMetaData
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS = 1, 2, 3  # RowGroup
_AT, _META = 2, 3  # ColumnChunk
_TYPE, _ENCODINGS, _PATH, _CODEC, _VALUES, _PLAIN_BYTES, _BYTES, _DATA_AT, _DICTIONARY_AT = 1, 2, 3, 4, 5, 6, 7, 9, 11
_CHILDREN = 5  # SchemaElement
_HEADERS: Final = (5, 8)  # PageHeader: a data page's, of both versions
_HEADER_VALUES = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Pages of a column: its dictionary's (empty: none), and those of the rows, with so many values, nulls included."""

    chunk: Chunk
    dictionary: memoryview
    data: memoryview
    values: int


def table(footer: Footer, pieces: Sequence[Piece], rows: int) -> pa.Table:
    """Decode pieces that are of the same ``rows`` rows; for each field all its leaf columns. Raises ``Broken``."""
    names = list(dict.fromkeys(piece.chunk.field for piece in pieces))
    elements = [element for name in names for element in footer.fields[name]]
    out, columns = bytearray(_MAGIC), []
    for piece in pieces:
        columns.append(_column(piece, len(out)))
        out += piece.dictionary
        out += piece.data
    root = {**footer.root, _CHILDREN: (I32, len(names))}
    group = {_COLUMNS: (LIST, (STRUCT, columns)), _GROUP_BYTES: (I64, len(out)), _GROUP_ROWS: (I64, rows)}
    about: dict[int, Value] = {
        **footer.about,
        _SCHEMA: (LIST, (STRUCT, [root, *elements])),
        _ROWS: (I64, rows),
        _ROW_GROUPS: (LIST, (STRUCT, [group])),
    }
    told = thrift.encode(about)
    out += told + len(told).to_bytes(4, "little") + _MAGIC
    try:
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(out)), read_dictionary=_flat(pieces))
        found = file.read()
    except (pa.ArrowException, OSError) as error:
        raise Broken(str(error)) from error
    if found.num_rows != rows or any(len(column) != rows for column in found.columns):
        raise Broken(f"{found.num_rows} rows, not {rows}")
    return found


def _flat(pieces: Sequence[Piece]) -> list[str]:
    """Columns to be kept in dictionaries: so that not each of thousands of values is copied for one that is wanted."""
    return [piece.chunk.field for piece in pieces if len(piece.dictionary) and len(piece.chunk.meta[_PATH][1][1]) == 1]


def _column(piece: Piece, at: int) -> dict[int, Value]:
    meta = {number: piece.chunk.meta[number] for number in (_TYPE, _ENCODINGS, _PATH, _CODEC)}
    size = len(piece.dictionary) + len(piece.data)
    meta |= {
        _VALUES: (I64, piece.values),
        _PLAIN_BYTES: piece.chunk.meta[_PLAIN_BYTES],
        _BYTES: (I64, size),
        _DATA_AT: (I64, at + len(piece.dictionary)),
    }
    if len(piece.dictionary):
        meta[_DICTIONARY_AT] = (I64, at)
    return {_AT: (I64, at), _META: (STRUCT, meta)}


def values(page: memoryview) -> int:
    """Return the values of one page, nulls among them. Raises ``Broken``."""
    header = thrift.Reader(page).struct()
    for number in _HEADERS:
        if number in header:
            count: Any = header[number][1][_HEADER_VALUES][1]
            return int(count)
    raise Broken("no data page")
