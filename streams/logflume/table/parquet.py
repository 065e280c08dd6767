"""Rows to the bytes of a Parquet file and its Delta statistics, and to which date's file a row goes.

zstd level 1; a dictionary only for the fields that declare one; a Bloom filter on the id field; a page index. Rows keep
the order of the sorted partition, which is nearly that of time: sorting them by time would cost more than it prunes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from logflume.model.dataset import Dataset
from logflume.table.schema import TIMESTAMP, file_schema

MOST_DATES = 16
"""Most event dates that get a file of their own in one flush; a thousand late dates must not make a thousand files."""

_COORDINATES = ("_src_partition", "_src_offset", "_src_row")
_ROW_GROUP_ROWS = 100_000
_FALSE_POSITIVES = 0.01  # of the Bloom filter: 1.2 bytes a distinct id
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A data file's bytes, its rows, and its statistics as Delta wants them (JSON)."""

    data: pa.Buffer
    rows: int
    stats: str


def at_rest(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Return sorted rows with the columns of a data file: microseconds, the rest of each time in ``_extra``.

    A field of the dataset that ``rows`` lacks is null. ``_received`` is cut to microseconds: it is our own stamp.
    """
    schema = file_schema(dataset)
    columns: dict[str, Any] = {}
    extra = rows.column("_extra")
    for field in schema:
        if field.name not in rows.schema.names:
            columns[field.name] = pa.nulls(rows.num_rows, field.type)
            continue
        column = rows.column(field.name)
        if field.type == TIMESTAMP and pa.types.is_timestamp(column.type):
            column, rest = _microseconds(column)
            if rest is not None and field.name != "_received":
                extra = _note(extra, f"{field.name}_ns", rest)
        columns[field.name] = column
    columns["_extra"] = extra
    return pa.table(columns)


def by_date(rows: pa.Table, time_field: str) -> Iterator[tuple[str, pa.Table]]:
    """Split rows by the UTC date of their time, or of their arrival when they have none; order is kept within each.

    Of more than MOST_DATES dates, those with the most rows get their file; the rest shares the one of the flush's
    latest arrival. Yields at most ``MOST_DATES + 1`` pairs of (ISO date, rows).
    """
    arrival = _days(rows.column("_received"))
    time = rows.column(time_field)
    days = _days(time)
    if time.null_count:
        days = np.where(np.asarray(time.is_null()), arrival, days)
    low = int(days.min())
    if low == int(days.max()):
        yield _iso(low), rows
        return
    dates, codes, counts = np.unique(days, return_inverse=True, return_counts=True)
    if len(dates) > MOST_DATES:
        rare = np.argsort(-counts, kind="stable")[MOST_DATES:]
        days = np.where(np.isin(codes, rare), arrival.max(), days)
        dates, codes = np.unique(days, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    gathered = rows.take(pa.array(order))
    bounds = np.searchsorted(codes[order], np.arange(len(dates) + 1))
    for index, day in enumerate(dates):
        start, end = int(bounds[index]), int(bounds[index + 1])
        yield _iso(int(day)), gathered.slice(start, end - start)


def encode(rows: pa.Table, dataset: Dataset) -> Encoded:
    """Write rows as one Parquet file in memory. ``rows``: as ``at_rest`` gives them, at least one."""
    sink = pa.BufferOutputStream()
    bloom = None
    if dataset.id_field is not None:
        distinct = max(1, min(rows.num_rows, _ROW_GROUP_ROWS))
        bloom = {dataset.id_field: {"ndv": distinct, "fpp": _FALSE_POSITIVES}}
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[f.name for f in dataset.fields if f.dictionary] + ["_src_topic", "_src_partition"],
        write_page_index=True,
        bloom_filter_options=bloom,
        store_schema=False,  # Arrow's copy of the schema: 3 kB a file that nobody reads
    ) as writer:
        writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
    return Encoded(sink.getvalue(), rows.num_rows, _statistics(rows))


def _statistics(rows: pa.Table) -> str:
    """Bounds of the times and coordinates: what files are pruned by. Others are pruned within a file, by its own.

    Times are exact, in microseconds: cut to milliseconds, as others do, the greatest would lie below its rows.
    """
    low: dict[str, object] = {}
    high: dict[str, object] = {}
    nulls: dict[str, int] = {}
    for field in rows.schema:
        stamp = field.type == TIMESTAMP
        if not (stamp or field.name in _COORDINATES):
            continue
        column = rows.column(field.name)
        nulls[field.name] = column.null_count
        if column.null_count == len(column):
            continue
        bounds = pc.min_max(column.cast(pa.int64()) if stamp else column)
        for side, value in ((low, bounds["min"].as_py()), (high, bounds["max"].as_py())):
            side[field.name] = _spell(value) if stamp else value
    return orjson.dumps({"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}).decode()


def _spell(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _iso(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _days(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Days since 1970 of microseconds; of nulls, anything."""
    us = np.asarray(pc.fill_null(column.cast(pa.int64()), 0))
    return us // _DAY_US


def _microseconds(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """Floor to microseconds; the nanoseconds left over (int64, null where there are none), ``None`` when all are 0."""
    if column.type.unit == "us":
        return column.cast(TIMESTAMP), None
    ns = column.cast(pa.int64())
    filled = np.asarray(pc.fill_null(ns, 0))
    us, rest = np.divmod(filled, 1000)
    mask = np.asarray(column.is_null()) if column.null_count else None
    floored = pa.chunked_array([pa.array(us, pa.int64(), mask=mask).cast(TIMESTAMP)])
    if not rest.any():
        return floored, None
    return floored, pa.chunked_array([pa.array(rest, mask=rest == 0)])


def _note(extra: pa.ChunkedArray, name: str, rest: pa.ChunkedArray) -> pa.ChunkedArray:
    """Put ``"name": rest`` into the objects of ``extra`` where there is a rest; a key already there stays the last."""
    head = pc.binary_join_element_wise(f'{{"{name}":', rest.cast(pa.string()), "")
    alone = pc.binary_join_element_wise(head, "}", "")
    joined = pc.binary_join_element_wise(head, pc.utf8_slice_codeunits(extra, 1), ",")
    noted = pc.if_else(pc.is_null(extra), alone, joined)
    return pc.if_else(pc.is_null(rest), extra, noted)
