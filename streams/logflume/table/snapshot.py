"""What a table holds at one version: its files, for those who read or count them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs

from logflume.errors import Retryable
from logflume.table import log
from logflume.table.schema import DATE
from logflume.table.store import Store


@dataclass(frozen=True, slots=True)
class File:
    """A data file. ``path``: below the table; ``size``: bytes; ``date``: the ISO date its rows are filed under."""

    path: str
    size: int
    rows: int
    date: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a table at ``version``, and its columns. ``path``: of the table, below the store's URL."""

    path: str
    version: int
    columns: tuple[str, ...]
    files: tuple[File, ...]

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read(store: Store, tenant: str, dataset: str) -> Snapshot | None:
    """Read a table's snapshot; ``None`` when there is no such table. Raises ``Retryable``, ``Refused``."""
    path = store.table(tenant, dataset)
    table = log.open_table(store, path)
    if table is None:
        return None
    adds = pa.table(table.get_add_actions(flatten=True))
    columns = [adds.column(name).to_pylist() for name in ("path", "size_bytes", "num_records", f"partition.{DATE}")]
    files = tuple(File(name, size, rows or 0, str(date)) for name, size, rows, date in zip(*columns, strict=True))
    return Snapshot(path, table.version(), tuple(f.name for f in table.schema().fields), files)


def list_tables(store: Store) -> Iterator[tuple[str, str]]:
    """Yield (tenant, dataset) of each table in the store, sorted; two listings deep, no log is read."""
    for tenant in _folders(store, "tables"):
        for dataset in _folders(store, f"tables/{tenant}"):
            if _has_log(store, tenant, dataset):
                yield tenant, dataset


def _has_log(store: Store, tenant: str, dataset: str) -> bool:
    """Whether anything was ever committed there: a folder with data files alone is no table."""
    return bool(_entries(store, f"{store.table(tenant, dataset)}/_delta_log"))


def _folders(store: Store, path: str) -> list[str]:
    return sorted(e.base_name for e in _entries(store, path) if e.type == pafs.FileType.Directory)


def _entries(store: Store, path: str) -> list[pafs.FileInfo]:
    try:
        return list(store.filesystem.get_file_info(pafs.FileSelector(store.full(path), allow_not_found=True)))
    except OSError as error:
        raise Retryable(f"{store.uri(path)} could not be listed: {error}") from error
