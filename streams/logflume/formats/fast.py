"""The fast way from NDJSON to columns: pyarrow's parser with a schema, for records of a shape seen before.

F1  ``read`` gives either exactly what the exact way (``exact`` and ``conform``) would give, or None: in doubt, None.
F2  It is safe on any bytes: what crashes or misleads pyarrow 26's parser is kept from it (each case has a test).

What pyarrow.json 26 takes that JSON or we do not: NaN and Infinity, two objects on a line, an object over several
lines, a byte order mark, invalid UTF-8, numbers rounded into a double, times without a zone, a null inside a struct as
if it were absent; a record that is ``null`` at the beginning ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from logflume.formats import instants, maps
from logflume.formats.conform import schema
from logflume.model import Dataset, FieldType, arrow_type

_MOST_MAP_KEYS: Final = 64
"""Of one map; each known key costs every row. Rows with other keys go the exact way."""
_EXACT_FLOAT: Final = 2.0**53

_TEXT: Final = r'"(?:[^"\\]|\\.)*"'
_NULL_IN_MAP: Final = rf":\s*\{{(?:\s*{_TEXT}\s*:\s*{_TEXT}\s*,)*\s*{_TEXT}\s*:\s*null"
"""An object behind a colon (so not a record itself) with a null behind some texts: true of each map that holds one."""


class Shape:
    """How the records of a dataset have looked so far: their fields, timestamps as text or numbers, the maps' keys."""

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._schema = schema(ds)
        self._types: dict[str, pa.DataType] = {}
        self._keys: dict[str, dict[str, None]] = {}
        self._options = pj.ParseOptions(explicit_schema=pa.schema([]), unexpected_field_behavior="error")

    @property
    def known(self) -> bool:
        """Whether any record was seen yet."""
        return bool(self._types)

    def learn(self, records: Sequence[dict[str, Any]]) -> None:
        """Take note of how ``records`` look."""
        before = dict(self._types)
        for name in set().union(*records):
            if name in self._schema.names and name != "_extra":
                self._learn_field(name, records)
        if before != self._types:
            fields = [
                pa.field(field.name, self._types[field.name]) for field in self._ds.fields if field.name in self._types
            ]
            self._options = pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="error")

    def read(self, data: bytes, rows: int) -> pa.RecordBatch | None:
        """Return the columns of ``rows`` records, or None when in doubt about any of them.

        ``data`` is one record a line; each line begins with ``{`` and ends with ``}``, spaces aside.
        """
        if not _is_utf8(data):
            return None
        try:
            table = pj.read_json(
                pa.BufferReader(data),
                # One chunk: the block must be larger than the data. Two cores are shared with Kafka's threads.
                read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
                parse_options=self._options,
            )
        except (pa.ArrowException, ValueError):
            return None
        if table.num_rows != rows:
            return None
        return self._columns(table, data)

    def _learn_field(self, name: str, records: Sequence[dict[str, Any]]) -> None:
        kind = self._ds.field(name).type
        if kind is FieldType.TIMESTAMP:
            kinds = [type(record.get(name)) for record in records]
            numbers, texts = kinds.count(int), kinds.count(str)
            if numbers or texts or name not in self._types:
                self._types[name] = pa.int64() if numbers > texts else pa.string()
        elif kind is FieldType.MAP:
            keys = self._keys.setdefault(name, {})
            for record in records:
                value = record.get(name)
                if type(value) is dict and len(keys) < _MOST_MAP_KEYS:
                    keys |= dict.fromkeys(key for key in value if key.isprintable())
            self._types[name] = pa.struct([(key, pa.string()) for key in list(keys)[:_MOST_MAP_KEYS]])
        else:
            self._types[name] = arrow_type(kind)

    def _columns(self, table: pa.Table, data: bytes) -> pa.RecordBatch | None:
        rows, read, nested = table.num_rows, dict.fromkeys(table.schema.names), False
        arrays = []
        for field in self._schema:
            if field.name not in read:
                arrays.append(pa.nulls(rows, field.type))
                continue
            column = table.column(field.name).combine_chunks()
            if pa.types.is_timestamp(field.type):
                try:
                    column = _instants(column)
                except (pa.ArrowInvalid, OverflowError):
                    return None
            elif pa.types.is_floating(field.type):
                if not _is_exact(column):
                    return None
            elif pa.types.is_map(field.type):
                nested = nested or column.null_count < rows
                column = maps.from_struct(column)
            arrays.append(column)
        if nested and _may_hold_null_in_map(data):
            return None
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _is_utf8(data: bytes) -> bool:
    try:
        as_one(data, pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _instants(column: pa.Array) -> pa.Array:
    return instants.from_numbers(column) if pa.types.is_integer(column.type) else instants.from_text(column)


def _is_exact(column: pa.Array) -> bool:
    """Whether no float is so large that an integer may have been rounded into it, nor NaN or infinite."""
    values = column.drop_null().to_numpy()
    return bool((np.abs(values) < _EXACT_FLOAT).all())  # false for NaN


def _may_hold_null_in_map(data: bytes) -> bool:
    return bool(pc.match_substring_regex(as_one(data, pa.binary()), _NULL_IN_MAP)[0].as_py())


def as_one(data: bytes, type: pa.DataType) -> pa.Array:
    """Return an array of one value, all of ``data``, not copied: for kernels that are faster than Python's ``re``."""
    return pa.Array.from_buffers(type, 1, [None, pa.py_buffer(np.array([0, len(data)], np.int32)), pa.py_buffer(data)])
