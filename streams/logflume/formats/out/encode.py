"""A job's rows to the bytes of its object: columns picked and ordered, then one format. Equal rows give equal bytes.

Memory is that of the rows and the object: text is made and compressed piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from logflume.block.schema import EXTRA, RECEIVED, sorted_schema
from logflume.formats.out import arrow, avro, compressed, csv, ndjson, parquet
from logflume.model.dataset import Dataset
from logflume.model.job import FileFormat


def encode(rows: pa.Table, format: FileFormat, dataset: Dataset, fields: Sequence[str] = ()) -> bytes:
    """Return the object that holds ``rows``, whose columns are some of a sorted block's.

    ``fields`` are its columns in their order; empty: the dataset's, then ``_extra`` and ``_received``. A column that
    the rows lack is null in each. In NDJSON what is null is left out, and ``_extra`` stands merged into the record.
    """
    rows = select(rows, dataset, fields)
    match format:
        case FileFormat.NDJSON_GZ:
            return compressed.gzip(ndjson.pieces(rows))
        case FileFormat.NDJSON_ZST:
            return compressed.zstd(ndjson.pieces(rows))
        case FileFormat.CSV:
            return b"".join(csv.pieces(rows))
        case FileFormat.CSV_GZ:
            return compressed.gzip(csv.pieces(rows))
        case FileFormat.PARQUET:
            return parquet.encode(rows, dataset)
        case FileFormat.AVRO:
            return avro.encode(rows, dataset)
        case FileFormat.ARROW:
            return arrow.encode(rows)


def select(rows: pa.Table, dataset: Dataset, fields: Sequence[str] = ()) -> pa.Table:
    """Return the columns ``fields`` of ``rows``, dictionaries as what they stand for. ``KeyError``: no such field."""
    schema = sorted_schema(dataset)
    have = set(rows.schema.names)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in fields or (*dataset.schema.names, EXTRA.name, RECEIVED.name):
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        column = rows.column(name) if name in have else pa.nulls(rows.num_rows, kind)
        columns[name] = column if column.type == kind else column.cast(kind)
    return pa.table(columns)
