"""The columns of a block, on the ingest and on the sorted topic; ``docs/block.md`` says the same in words."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

import pyarrow as pa

from logflume.model import Dataset

TENANT: Final = pa.field("_tenant", pa.dictionary(pa.int32(), pa.string()))
RECEIVED: Final = pa.field("_received", pa.timestamp("ns", tz="UTC"))
EXTRA: Final = pa.field("_extra", pa.string())
SOURCE: Final = (
    pa.field("_src_topic", pa.dictionary(pa.int8(), pa.string())),
    pa.field("_src_partition", pa.int32()),
    pa.field("_src_offset", pa.int64()),
    pa.field("_src_row", pa.int32()),
)
"""A row's coordinates: the ingest topic's id, its partition, the message's offset, the row's number in the message."""


@lru_cache(maxsize=256)
def ingest_schema(ds: Dataset) -> pa.Schema:
    """Return the columns of an ingest block: ``_tenant``, ``_received``, the dataset's fields, ``_extra``."""
    return pa.schema([TENANT, RECEIVED, *ds.schema, EXTRA])


@lru_cache(maxsize=256)
def sorted_schema(ds: Dataset) -> pa.Schema:
    """Return the columns of a sorted block: ``_received``, the dataset's fields, ``_extra``, the coordinates.

    There is no ``_tenant``: the runs in the block's metadata say whose rows they are. A block leaves out the fields
    that have no value in it.
    """
    return pa.schema([RECEIVED, *ds.schema, EXTRA, *SOURCE])


def without_empty(batch: pa.RecordBatch, keep: Collection[str]) -> pa.RecordBatch:
    """Return the batch without the columns that hold no value, except those of ``keep``; nothing is copied.

    A dataset names many more fields than one record has, and an empty column costs nearly what a full one does.
    """
    kept = [
        at
        for at, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True))
        if column.null_count < batch.num_rows or name in keep
    ]
    return batch if len(kept) == batch.num_columns else batch.select(kept)
