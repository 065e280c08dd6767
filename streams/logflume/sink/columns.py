"""The columns of sorted blocks: each carries the fields that have values in it, of the contract that its sorter had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from logflume.errors import Refused


def check(batch: pa.RecordBatch, types: Mapping[str, pa.DataType], where: str) -> None:
    """Raise ``Refused`` for a column that ``types`` lacks, or has with another type.

    Dropping it would lose data; the sorter has a newer contract than this sink.
    """
    strange = [
        name for name, type in zip(batch.schema.names, batch.schema.types, strict=True) if types.get(name) != type
    ]
    if strange:
        raise Refused(
            f"{where}: this worker's contract lacks the block's columns {', '.join(strange)}, or has them with another "
            "type; start it with the contract that the sorters have"
        )


def alike(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return the batches with the same columns in the same order: all that any of them has, null where it lacks them.

    Values are not copied.
    """
    first = batches[0].schema
    if all(batch.schema.equals(first) for batch in batches):
        return list(batches)
    fields = {field.name: field for batch in batches for field in batch.schema}
    schema = pa.schema(fields.values())
    return [_filled(batch, schema) for batch in batches]


def _filled(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    have = dict(zip(batch.schema.names, batch.columns, strict=True))
    return pa.RecordBatch.from_arrays(
        [have[field.name] if field.name in have else pa.nulls(batch.num_rows, field.type) for field in schema],
        schema=schema,
    )
