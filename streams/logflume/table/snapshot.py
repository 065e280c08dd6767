"""What a table holds at one version: its files, for those who read or count them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable

from logflume.errors import Retryable
from logflume.table import log
from logflume.table.schema import DATE
from logflume.table.store import Store


@dataclass(frozen=True, slots=True)
class File:
    """A data file. ``path``: below the table; ``size``: bytes; ``date``: the ISO date its rows are filed under.

    ``oldest``, ``newest``: when its first and last row arrived, ``None`` where the log does not say. ``stored``: when
    its rows were committed, by the sink's clock; of a merged file, those that came last.
    """

    path: str
    size: int
    rows: int
    date: str
    oldest: datetime | None
    newest: datetime | None
    stored: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table at ``version``: its files, columns, properties. ``path``: of the table, below the store's URL."""

    path: str
    version: int
    columns: tuple[str, ...]
    files: tuple[File, ...]
    properties: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def oldest(self) -> datetime | None:
        """When the first row arrived, as far as the log says."""
        return min((file.oldest for file in self.files if file.oldest), default=None)

    @property
    def newest(self) -> datetime | None:
        """When the last row arrived, likewise."""
        return max((file.newest for file in self.files if file.newest), default=None)


def read(store: Store, tenant: str, dataset: str) -> Snapshot | None:
    """Read a table's snapshot; ``None`` when there is no such table. Raises ``Retryable``, ``Refused``."""
    path = store.table(tenant, dataset)
    table = log.open_table(store, path)
    if table is None:
        return None
    columns = tuple(field.name for field in table.schema().fields)
    return Snapshot(path, table.version(), columns, files(table), properties(table))


def properties(table: DeltaTable) -> dict[str, str]:
    """Return the properties of a table whose log was read, Delta's and ours."""
    return {name: value for name, value in table.metadata().configuration.items() if value is not None}


def files(table: DeltaTable) -> tuple[File, ...]:
    """Return the files of a table whose log was read."""
    adds = pa.table(table.get_add_actions(flatten=True))
    bounds = ("min._received", "max._received", "modification_time")
    names = ("path", "size_bytes", "num_records", f"partition.{DATE}", *bounds)
    nothing = [None] * adds.num_rows
    columns = [adds.column(name).to_pylist() if name in adds.schema.names else nothing for name in names]
    return tuple(
        File(name, size, rows or 0, str(date), oldest, newest, _time(stored_ms))
        for name, size, rows, date, oldest, newest, stored_ms in zip(*columns, strict=True)
    )


def _time(ms: int | None) -> datetime | None:
    """Any number may stand in a log; one that is no time says nothing."""
    try:
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


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
