"""The types of an answer: views become plain strings and lists, which every consumer of Arrow knows."""

from __future__ import annotations

import pyarrow as pa


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
