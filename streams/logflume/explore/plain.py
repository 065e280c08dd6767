"""An answer in plain terms: types that every consumer of Arrow knows, values of Python's, text that runs nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return ``batch`` as ``plain_schema`` of its own has it."""
    return batch if batch.schema.equals(schema) else batch.cast(schema)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with plain types, without what engines note beside it."""
    return pa.schema([pa.field(f.name, plain_type(f.type), f.nullable) for f in schema])


def plain_type(type: pa.DataType) -> pa.DataType:
    """Return the plain type that holds the same values."""
    if type == pa.string_view():
        return pa.string()
    if type == pa.binary_view():
        return pa.binary()
    if pa.types.is_dictionary(type):
        return plain_type(type.value_type)
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(plain_type(type.value_type)))
    if pa.types.is_struct(type):
        return pa.struct([f.with_type(plain_type(f.type)) for f in type])
    if pa.types.is_map(type):
        return pa.map_(type.key_type, type.item_field.with_type(plain_type(type.item_type)))
    return type


def values(column: pa.Array) -> list[Any]:
    """Return a column as Python's values: times to the microsecond, maps as dictionaries."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)  # Python's have no nanoseconds
    found: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if value is None else dict(value) for value in found]
    return found


def distinct(names: Sequence[str]) -> list[str]:
    """A join may give one name to two columns; as keys of an object the later one would hide the earlier."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return made


def harmless(text: str) -> str:
    """A spreadsheet runs text that begins like a formula; an apostrophe before it makes it text."""
    return f"'{text}" if text.startswith(_FORMULA) else text
