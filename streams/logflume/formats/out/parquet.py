"""Rows to one Parquet file: zstd, row groups of 100,000, times to the nanosecond, every column there in every file."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from logflume.model.dataset import Dataset

_ROW_GROUP_ROWS: Final = 100_000  # by rows, not bytes: where a group ends must depend on nothing but the rows
_SMALL_ROWS: Final = 2_000  # below, dictionaries and an index cost a third of the time, and gain nothing


def encode(rows: pa.Table, dataset: Dataset) -> bytes:
    """Return the file. Dictionaries are for the fields that declare one, and for the coordinates' topic."""
    large = rows.num_rows >= _SMALL_ROWS
    few = {field.name for field in dataset.fields if field.dictionary} | {"_src_topic", "_src_partition"}
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        row_group_size=_ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in rows.schema.names if name in few] if large else False,
        write_page_index=large,
        store_schema=False,
    )
    written: bytes = sink.getvalue().to_pybytes()
    return written
