"""The columns of a block, on the ingest and on the sorted topic; ``docs/block.md`` says the same in words."""

from __future__ import annotations

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

    There is no ``_tenant``: the runs in the block's metadata say whose rows they are.
    """
    return pa.schema([RECEIVED, *ds.schema, EXTRA, *SOURCE])
