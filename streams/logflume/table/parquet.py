"""Rows to the bytes of a Parquet file and its Delta statistics, and to which date's file a row goes.

zstd level 1; a dictionary only for the fields that declare one; a Bloom filter on the id field; a page index. Rows keep
the order of the sorted partition, which is nearly that of time: sorting them by time would cost more than it prunes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from logflume.block.extra import normalised
from logflume.model.dataset import Dataset
from logflume.table.schema import TIMESTAMP, bounded, file_schema
from logflume.table.weight import value_bytes

MOST_DATES = 16
"""Most event dates that get a file of their own in one flush; a thousand late dates must not make a thousand files."""

ROW_GROUP_ROWS = 100_000
"""Most rows of a row group."""

_PAGE_ROWS = (
    10_000  # half of the usual: who wants one row decodes a page of each column; 1 % larger, 3 % longer to write
)
_SMALL_ROWS = 2_000  # below, a dictionary and a page index cost a third of the time, and gain nothing
_FALSE_POSITIVES = 0.001  # of the Bloom filter: 1.8 to 3.6 bytes a distinct id; its size is a power of two
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A data file's bytes, its rows, its statistics as Delta wants them (JSON), the bytes of its values."""

    data: pa.Buffer
    rows: int
    stats: str
    value_bytes: int


def at_rest(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Return sorted rows with the columns of a data file: microseconds, the rest of each time in ``_extra``.

    Columns without a value are left out, Delta's readers find null there: a file of 500 rows with 31 of 67 columns
    costs half. ``_received`` is cut to microseconds: it is our own stamp.
    """
    have = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns: dict[str, Any] = {}
    for field in file_schema(dataset):
        column = have.get(field.name)
        if column is None or (column.null_count == rows.num_rows and field.name != "_extra"):
            continue
        if pa.types.is_timestamp(column.type):
            column, rest = _microseconds(column)
            if rest is not None and field.name != "_received":
                have["_extra"] = _note(have["_extra"], f"{field.name}_ns", rest)
        columns[field.name] = column  # `_extra` comes after the fields
    if columns["_extra"].null_count == rows.num_rows:
        del columns["_extra"]
    return pa.table(columns)


def by_date(rows: pa.Table, time_field: str) -> Iterator[tuple[str, pa.Table]]:
    """Split rows by the UTC date of their time, or of their arrival when they have none; order is kept within each.

    Of more than MOST_DATES dates, those with the most rows get their file; the rest shares the one of the flush's
    latest arrival. Yields at most ``MOST_DATES + 1`` pairs of (ISO date, rows).
    """
    arrival = days = _days(rows.column("_received"))
    if time_field in rows.schema.names:
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
    writer = Writer(dataset, rows.schema, rows.num_rows)
    writer.write(rows)
    return writer.close()


class Writer:
    """A data file in memory that is written bit by bit, each at least a row group; ``close`` gives it whole."""

    def __init__(self, dataset: Dataset, schema: pa.Schema, rows: int) -> None:
        """``schema``: of every bit; columns that the dataset does not know are kept. ``rows``: how many will come."""
        bloom = None
        if dataset.id_field in schema.names:
            bloom = {dataset.id_field: {"ndv": min(rows, ROW_GROUP_ROWS), "fpp": _FALSE_POSITIVES}}
        plan = _plan(dataset)
        large = rows >= _SMALL_ROWS
        self._sink = pa.BufferOutputStream()
        self._bounds = _Bounds(dataset)
        self._value_bytes = 0
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=plan.dictionaries if large else False,
            column_encoding=plan.encodings,
            write_statistics=plan.bounded,
            write_page_index=large,
            max_rows_per_page=_PAGE_ROWS,
            bloom_filter_options=bloom,
            store_schema=False,  # Arrow's copy of the schema: 3 kB a file that nobody reads
        )

    def write(self, rows: pa.Table) -> None:
        """Add rows."""
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self._bounds.add(rows)
        self._value_bytes += value_bytes(rows)

    def close(self) -> Encoded:
        """Return the file."""
        self._writer.close()
        return Encoded(self._sink.getvalue(), self._bounds.rows, self._bounds.json(), self._value_bytes)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a dataset's columns are written. Measured on 67 columns; 131 ms for 50,000 rows without it, 110 with it."""

    dictionaries: list[str]
    encodings: dict[str, str]
    bounded: list[str]


@lru_cache(maxsize=256)
def _plan(dataset: Dataset) -> _Plan:
    fields = list(file_schema(dataset))
    dictionaries = [f.name for f in dataset.fields if f.dictionary] + ["_src_topic", "_src_partition"]
    ascending = [f.name for f in fields if f.type == TIMESTAMP] + ["_src_offset"]
    return _Plan(
        dictionaries,
        dict.fromkeys(ascending, "DELTA_BINARY_PACKED"),  # 6 % smaller files
        # The bounds of 50,000 unsorted strings exclude nothing, and cost 12 % of the time.
        [f.name for f in fields if not (pa.types.is_string(f.type) or pa.types.is_nested(f.type))],
    )


class _Bounds:
    """Bounds of the times and coordinates.

    Times are exact, in microseconds: cut to milliseconds, as others do, the greatest would lie below its rows.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.rows = 0
        self._names = bounded(dataset)
        self._nulls = dict.fromkeys(self._names, 0)
        self._low: dict[str, Any] = {}
        self._high: dict[str, Any] = {}
        self._stamps: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
        for name in self._names:
            if name not in rows.schema.names:
                self._nulls[name] += rows.num_rows
                continue
            column = rows.column(name)
            self._nulls[name] += column.null_count
            if column.null_count == len(column):
                continue
            if column.type == TIMESTAMP:
                self._stamps.add(name)
                column = column.cast(pa.int64())
            found = pc.min_max(column)
            low, high = found["min"].as_py(), found["max"].as_py()
            self._low[name] = min(low, self._low.get(name, low))
            self._high[name] = max(high, self._high.get(name, high))

    def json(self) -> str:
        low, high = (
            {name: self._spelt(name, side[name]) for name in self._names if name in side}
            for side in (self._low, self._high)
        )
        return orjson.dumps(
            {"numRecords": self.rows, "minValues": low, "maxValues": high, "nullCount": self._nulls}
        ).decode()

    def _spelt(self, name: str, value: Any) -> object:
        return _spell(value) if name in self._stamps else value


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
    extra = normalised(extra)  # an older sorter's rows may have ``{}``, or white space before the brace
    head = pc.binary_join_element_wise(f'{{"{name}":', rest.cast(pa.string()), "")
    alone = pc.binary_join_element_wise(head, "}", "")
    joined = pc.binary_join_element_wise(head, pc.utf8_slice_codeunits(extra, 1), ",")
    noted = pc.if_else(pc.is_null(extra), alone, joined)
    return pc.if_else(pc.is_null(rest), extra, noted)
