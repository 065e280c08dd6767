"""Blocks of one sorted partition have one set of columns, also while the contract gains fields."""

from __future__ import annotations

import pyarrow as pa

from logflume.errors import Refused


def conformed(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return ``batch`` with exactly the columns of ``schema``: fields that it lacks (an older block) are null.

    Nothing is copied. Raises ``Refused`` for a column that ``schema`` lacks, or has with another type: dropping it
    would lose data; the sorter has a newer contract than this sink.
    """
    if batch.schema.equals(schema):
        return batch
    strange = [
        field.name
        for field in batch.schema
        if field.name not in schema.names or not schema.field(field.name).type.equals(field.type)
    ]
    if strange:
        raise Refused(
            f"{where}: this worker's contract lacks the block's columns {', '.join(strange)}, or has them with another "
            "type; start it with the contract that the sorters have"
        )
    columns = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
