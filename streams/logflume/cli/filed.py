"""An answer as a file. It has its name when it is whole and synced, so that no part of one is taken for all of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from logflume.durable import sync_folder
from logflume.errors import Misconfigured, Retryable
from logflume.explore.plain import distinct

_ROWS = 100_000
"""Of a row group: an answer comes in batches of a few thousand rows, each of which would be one."""


def check(path: Path) -> None:
    """Raise ``Misconfigured`` when no file can be made there: before a query runs for it."""
    if path.is_dir() or not path.name:
        raise Misconfigured(f"{path} is a folder; a file's name is wanted")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Misconfigured(f"{path} can't be written: there is no folder {path.parent}, or it can't be written to")


def write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Write rows as Parquet, and return how many; what stood there is replaced. ``Retryable`` when the disk fails."""
    schema = _distinct(schema)
    with _whole(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        return sum(_group(writer, group) for group in _groups(schema, batches))


def write_arrow(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Likewise as Arrow's IPC file."""
    schema, count = _distinct(schema), 0
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with _whole(path) as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.rename_columns(schema.names))
            count += batch.num_rows
    return count


def _distinct(schema: pa.Schema) -> pa.Schema:
    names = distinct(schema.names)
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])


def _group(writer: pq.ParquetWriter, group: pa.Table) -> int:
    writer.write_table(group)
    return int(group.num_rows)


def _groups(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch.rename_columns(schema.names))
        if sum(each.num_rows for each in held) >= _ROWS:
            yield pa.Table.from_batches(held, schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, schema)


@contextmanager
def _whole(path: Path) -> Iterator[IO[Any]]:
    """Give a file of another name; it gets its own, durably, when the block has ended well."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise Retryable(f"{path} could not be written: {error}") from None
    finally:
        part.unlink(missing_ok=True)
