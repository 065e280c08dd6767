"""Several data files become one, written as a sink writes them: the same rows, in their order, none lost, none twice.

M1  The new file is part of the table, and the old ones are not, by one commit; all of the old ones are part of the
    version on which it stands. Else the new one is nobody's, and vacuumed.
M2  The rows that were read are as many as the log says of the old files, or nothing is committed.
M3  Memory holds the old files and the new one as they lie in the store, and the rows of one row group.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from logflume import crash
from logflume.care import change
from logflume.care.change import Standing
from logflume.care.plan import Merge
from logflume.clock import Clock
from logflume.errors import Refused, Retryable
from logflume.model.dataset import Dataset
from logflume.table import parquet, schema
from logflume.table.log import Change, DataFile, Removal
from logflume.table.snapshot import File
from logflume.table.store import Store
from logflume.table.table import COMMITTED_WITHIN_SECONDS

_READERS = 4  # small files are read at once: each is a request
_GROUP_BYTES = 128 << 20  # of rows in memory: row groups of wide rows have fewer


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: ``files`` of ``read`` bytes became one of ``written``."""

    files: int
    rows: int
    read: int
    written: int


def merge(store: Store, path: str, dataset: Dataset, files: Merge, clock: Clock) -> Merged | None:
    """Merge files of one date; ``None`` when one of them went meanwhile. Raises ``Retryable``, ``Refused`` (M2)."""
    began = clock.monotonic()
    made = _write(store, path, dataset, files)
    crash.point("care.file-written")
    old = {file.path for file in files}

    def decide(standing: Standing) -> Change | None:
        if not standing.has(old) or clock.monotonic() - began > COMMITTED_WITHIN_SECONDS:
            return None
        removed = tuple(Removal(file.path, file.date, file.size) for file in files)
        return Change("OPTIMIZE", removed, (made,), moved=True)

    if change.settle(store, path, decide, clock) is None:
        return None
    return Merged(len(files), made.rows, sum(file.size for file in files), made.size)


def _write(store: Store, path: str, dataset: Dataset, files: Merge) -> DataFile:
    with ThreadPoolExecutor(_READERS, thread_name_prefix="care") as pool:
        opened = [pq.ParquetFile(pa.BufferReader(data)) for data in pool.map(lambda f: _fetch(store, path, f), files)]
    columns = _columns(dataset, [each.schema_arrow for each in opened], store.uri(path))
    expected = sum(file.rows for file in files)
    writer = parquet.Writer(dataset, columns, expected)
    for rows in _row_groups(opened, columns):
        writer.write(rows)
    encoded = writer.close()
    if encoded.rows != expected:
        raise Refused(
            f"{store.uri(path)}: {len(files)} files hold {encoded.rows} rows, and the log says {expected}: they are "
            f"left as they are. The first is {files[0].path}"
        )
    [day] = {file.date for file in files}
    name = f"{schema.DATE}={day}/merged-{uuid.uuid4().hex}.parquet"
    store.write(f"{path}/{name}", encoded.data)
    stored = [round(file.stored.timestamp() * 1000) for file in files if file.stored is not None]
    return DataFile(
        name, day, encoded.data.size, encoded.rows, encoded.stats, encoded.value_bytes, max(stored, default=None)
    )


def _fetch(store: Store, path: str, file: File) -> bytes:
    data = store.read(f"{path}/{file.path}")
    if data is None:
        raise Retryable(f"{store.uri(path)}/{file.path} is gone, and the log names it")
    return data


def _columns(dataset: Dataset, schemas: Sequence[pa.Schema], where: str) -> pa.Schema:
    """All columns that one of the files has: the dataset's in its order, then those that the dataset has no more."""
    try:
        found = pa.unify_schemas([each.remove_metadata() for each in schemas])
    except pa.ArrowException as error:
        raise Refused(f"{where}: files of one date differ in a column's type: {error}") from error
    ours = [name for name in schema.file_schema(dataset).names if name in found.names]
    others = [name for name in found.names if name not in set(ours)]
    return pa.schema([found.field(name) for name in (*ours, *others)])


def _row_groups(files: Sequence[pq.ParquetFile], columns: pa.Schema) -> Iterator[pa.Table]:
    """All rows, in pieces of a row group."""
    held: list[pa.Table] = []
    rows = size = 0
    for file in files:
        for number in range(file.num_row_groups):
            part = file.read_row_group(number)
            while part.num_rows and (rows + part.num_rows >= parquet.ROW_GROUP_ROWS or size > _GROUP_BYTES):
                cut = min(part.num_rows, parquet.ROW_GROUP_ROWS - rows)
                yield _one([*held, part.slice(0, cut)], columns)
                held, rows, size, part = [], 0, 0, part.slice(cut)
            held.append(part)
            rows += part.num_rows
            size += part.nbytes
    if rows:
        yield _one(held, columns)


def _one(parts: Sequence[pa.Table], columns: pa.Schema) -> pa.Table:
    return pa.concat_tables([columns.empty_table(), *parts], promote_options="default").combine_chunks()
