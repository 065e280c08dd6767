"""A data file's ids as Bloom filters, one for each of its *granules*: equal runs of its rows, one after another.

A file's own filters are of a row group each, 100,000 rows, all of whose ids must be read to find one. These here are
made of the ids themselves, by the library that writes such filters into files; so that files without any have them too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from logflume.table import bloom
from logflume.table.bloom import NO_IDS, UNKNOWN, Filters
from logflume.table.pick.rows import granule_rows

ROWS: Final = 10_000
"""Most rows of a granule: those of a page of ours."""

_FALSE_POSITIVES: Final = 0.0001
"""At most: an index has two thousand filters of 20 M rows. 3.3 bytes a row where granules are full."""

_READ_BYTES: Final = 1 << 20
_MOST: Final = bloom.MOST_BYTES // 32_768
"""Granules of a file."""


def filters(objects: ObjectStore, path: str, size: int, column: str) -> Filters:
    """Read a data file's ids, and return a filter of each granule's, all of one length.

    ``UNKNOWN`` for what is no plain Parquet file of ``size`` bytes with texts in ``column``, or has too many rows.
    Raises obstore's errors, ``FileNotFoundError`` too.
    """
    file = _Object(objects, path, size)
    try:
        return _filters(pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False), column)
    except (pa.ArrowException, OSError) as error:
        if file.failed is not None:
            raise file.failed from error
        return UNKNOWN  # it is no Parquet file, or broken


class _Object(io.RawIOBase):
    """An object for Arrow to read. ``failed``: how the store did, which is nothing that the object has done."""

    def __init__(self, objects: ObjectStore, path: str, size: int) -> None:
        self._objects, self._path, self._size, self._at = objects, path, size, 0
        self.failed: BaseError | OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        end = self._size if count < 0 else min(self._size, self._at + count)
        if end <= self._at:
            return b""
        try:
            data = bytes(obstore.get_range(self._objects, self._path, start=self._at, end=end))
        except (BaseError, OSError) as error:
            self.failed = error
            raise OSError(str(error)) from error
        self._at += len(data)
        return data


def _filters(file: pq.ParquetFile, column: str) -> Filters:
    paths = [file.schema.column(at).path for at in range(len(file.schema))]
    if all(path.split(".")[0] != column for path in paths) or not file.metadata.num_rows:
        return NO_IDS
    rows = file.metadata.num_rows
    granules = -(-rows // ROWS)
    if column not in paths or granules > _MOST or not _is_text(file.schema_arrow.field(column).type):
        return UNKNOWN
    each = granule_rows(rows, granules)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        pa.schema([(column, pa.string())]),
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        bloom_filter_options={column: {"ndv": each, "fpp": _FALSE_POSITIVES}},
    ) as writer:
        for run in _runs(file, column, each):
            writer.write_table(run, row_group_size=each)
    made = sink.getvalue()
    about = pq.read_metadata(pa.BufferReader(made))
    assert about.num_row_groups == granules
    bitsets = []
    for number in range(granules):
        chunk = about.row_group(number).column(0)
        end = chunk.bloom_filter_offset + chunk.bloom_filter_length
        place = bloom.bits(chunk.bloom_filter_offset, end)
        assert place is not None
        bitsets.append(made[place[0] : end].to_pybytes())
    return Filters(tuple(bitsets))


def _runs(file: pq.ParquetFile, column: str, rows: int) -> Iterator[pa.Table]:
    """The column in runs of so many rows, the last one shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for batch in file.iter_batches(batch_size=rows, columns=[column]):
        waiting.append(pa.table({column: batch.column(0).cast(pa.string())}))
        count += batch.num_rows
        if count >= rows:
            table = pa.concat_tables(waiting)
            yield table.slice(0, rows).combine_chunks()
            waiting, count = [table.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def _is_text(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))
