"""What tenants' tables hold now, for queries: kept from query to query, and only what is new in a log is read.

A snapshot's files stay readable for as long as vacuum leaves them (hours). One that turns out to be gone, as after a
table was deleted by hand, is forgotten (``forget``), and read anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from logflume.errors import LogflumeError, Retryable
from logflume.explore.bounds import Bounds, Value
from logflume.explore.gateway import Object
from logflume.explore.plain import plain_schema
from logflume.explore.span import ALWAYS, Span
from logflume.model.dataset import Dataset
from logflume.table import log
from logflume.table.schema import DATE
from logflume.table.store import Store

_KEPT: Final = 500
_ROUNDED: Final = pa.scalar(999, pa.duration("us"))
"""Delta's logs may hold times cut to milliseconds (delta-rs's own writers do): a file's last row may be this later."""

_FILES: Final = {
    "path": pa.string(),
    "size_bytes": pa.int64(),
    "num_records": pa.int64(),
    f"partition.{DATE}": pa.date32(),
}
NEVER: Final = datetime(1, 1, 2, tzinfo=UTC)
"""The latest time of a row where there is none."""


class NoTable(LogflumeError):
    """A tenant has no rows at rest in a dataset yet."""


@dataclass(frozen=True)
class Snapshot:
    """A table at one version. ``files``: what Delta's log says of each, a row a file, columns flattened."""

    path: str
    version: int
    schema: pa.Schema
    files: pa.Table

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return pc.sum(self.files.column("size_bytes")).as_py() or 0

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return pc.sum(self.files.column("num_records")).as_py() or 0

    def extreme(self, stated: str) -> datetime | None:
        """Return the least of what the log has as ``min.…`` of each file, or the greatest of a ``max.…``."""
        if stated not in self.files.schema.names:
            return None
        found: datetime | None = pc.min_max(self.files.column(stated))[stated[:3]].as_py()
        return found

    def within(self, bounds: Bounds, span: Span = ALWAYS, time: str = "") -> pa.Table:
        """Return the files that may have rows within ``bounds`` and ``span``: those that the log does not exclude."""
        keep = np.ones(self.files.num_rows, dtype=bool)
        for column, (low, high) in bounds.items():
            keep &= self._may(column, low, high)
        if span is not ALWAYS:
            timeless = np.asarray(pc.not_equal(self._stated(f"null_count.{time}", pa.int64(), -1), 0))
            keep &= self._may(time, span.since, span.last) | (timeless & self._may("_received", span.since, span.last))
        return self.files.filter(pa.array(keep))

    def last(self, time: str) -> datetime | None:
        """Return the latest time of a row, or arrival of one without; ``NEVER``; None when the log does not say."""
        ends = [self._latest(time) if self.files.num_rows else NEVER]
        if pc.any(pc.not_equal(self._stated(f"null_count.{time}", pa.int64(), -1), 0)).as_py():
            ends.append(self._latest("_received"))
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    def _latest(self, column: str) -> datetime | None:
        """The greatest value of a time in any file; None when one does not say, and has not only nulls there."""
        name = f"max.{column}"
        if name not in self.files.schema.names:
            return None
        nulls = self._stated(f"null_count.{column}", pa.int64(), -1)
        said = pc.or_(pc.is_valid(self.files.column(name)), pc.equal(nulls, self.files.column("num_records")))
        if not pc.all(pc.fill_null(said, False)).as_py():
            return None
        found: datetime | None = pc.max(self.files.column(name)).as_py()
        return NEVER if found is None else found.replace(tzinfo=UTC) if found.tzinfo is None else found

    def _may(self, column: str, low: Value | None, high: Value | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each file may have a value between ``low`` and ``high``; true where the log does not say."""
        may = np.ones(self.files.num_rows, dtype=bool)
        for side, limit, out in (("max", low, pc.less), ("min", high, pc.greater)):
            name = f"partition.{DATE}" if column == DATE else f"{side}.{column}"
            if limit is not None and name in self.files.schema.names:
                stated = self.files.column(name)
                if side == "max" and pa.types.is_timestamp(stated.type):
                    stated = pc.add(stated, _ROUNDED)
                if pa.types.is_integer(stated.type):
                    stated = stated.cast(pa.int64())  # the limit may be beyond what the column can hold
                may &= ~np.asarray(pc.fill_null(out(stated, pa.scalar(limit).cast(stated.type)), False))
        return may

    def _stated(self, name: str, type: pa.DataType, otherwise: Any) -> pa.ChunkedArray:
        if name not in self.files.schema.names:
            return pa.chunked_array([pa.repeat(pa.scalar(otherwise, type), self.files.num_rows)])
        return pc.fill_null(self.files.column(name), otherwise)

    @property
    def named(self) -> list[tuple[str, int]]:
        """Path below the table and bytes of each file."""
        return named(self.files)

    def objects(self, name: str, files: pa.Table) -> Mapping[str, Object]:
        """Return what a query is handed to read ``files``, as a table called ``name``."""
        dates = [str(date) for date in files.column(f"partition.{DATE}").to_pylist()]
        return {
            f"{name}/{DATE}={date}/{path.rpartition('/')[2]}": Object(f"{self.path}/{path}", size)
            for (path, size), date in zip(named(files), dates, strict=True)
        }


def named(files: pa.Table) -> list[tuple[str, int]]:
    """Return path and bytes of each of a snapshot's files."""
    paths, sizes = (files.column(column).to_pylist() for column in ("path", "size_bytes"))
    return list(zip(paths, sizes, strict=True))


@dataclass(frozen=True, slots=True)
class Stored:
    """What is at rest in a dataset: the first and last time that its rows have, and when the last of them arrived.

    All of it as Delta's log has it, without opening a file; None where that says nothing, and without rows.
    """

    dataset: str
    version: int | None = None
    rows: int = 0
    files: int = 0
    bytes: int = 0
    first: datetime | None = None
    last: datetime | None = None
    received: datetime | None = None


@dataclass(frozen=True)
class _Known:
    """A table's handle, by what it is known again, and its snapshot."""

    table: DeltaTable
    anchor: tuple[str, str]
    snapshot: Snapshot


class Snapshots:
    """The tables used last, ``_KEPT`` at most. Safe for threads; a call reads the log's end, and blocks on it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def read(self, tenant: str, dataset: str) -> Snapshot:
        """Return the newest snapshot. Raises ``NoTable``, ``Retryable``, ``Refused``."""
        return self.read_with(tenant, dataset, ())[0]

    def read_with(
        self, tenant: str, dataset: str, app_ids: Collection[str]
    ) -> tuple[Snapshot, Mapping[str, int | None]]:
        """Return the newest snapshot, and the ``txn`` version of each of ``app_ids`` in it; raises as ``read``."""
        path = self._store.table(tenant, dataset)
        with self._lock:
            known = self._known.pop(path, None)  # whoever asks meanwhile reads it whole: a handle is one thread's
        table = self._updated(known) if known else None
        if table is None:
            table = log.open_table(self._store, path)
            known = None
        if table is None:
            raise NoTable(
                f"nothing of the tenant {tenant!r} has come to rest in {dataset} yet: there is no table "
                f"{self._store.uri(path)}. `logflume table list` shows those that there are."
            )
        if known is None or known.snapshot.version != table.version():
            files = pa.table(table.get_add_actions(flatten=True))
            schema = plain_schema(pa.schema(table.schema().to_arrow()))
            anchor = log.anchor(self._store, path, table.version())
            known = _Known(table, anchor, Snapshot(path, table.version(), schema, files))
        try:
            progress = {app_id: table.transaction_version(app_id) for app_id in app_ids}
        except (DeltaError, OSError) as error:
            raise Retryable(f"{self._store.uri(path)}: its progress could not be read: {error}") from error
        with self._lock:
            self._known[path] = known
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known.snapshot, progress

    def nothing(self, tenant: str, dataset: str) -> Snapshot:
        """Return what stands for a table that does not exist yet: no files, no columns, version -1."""
        files = pa.table({name: pa.array([], type) for name, type in _FILES.items()})
        return Snapshot(self._store.table(tenant, dataset), -1, pa.schema([]), files)

    def stored(self, tenant: str, dataset: Dataset) -> Stored:
        """Return what is at rest in a table; one that is not there has no rows. Raises ``Retryable``, ``Refused``."""
        try:
            found = self.read(tenant, dataset.name)
        except NoTable:
            return Stored(dataset.name)
        return Stored(
            dataset.name,
            found.version,
            found.rows,
            found.files.num_rows,
            found.size,
            found.extreme(f"min.{dataset.time_field}"),
            found.extreme(f"max.{dataset.time_field}"),
            found.extreme("max._received"),
        )

    def forget(self, path: str) -> None:
        """Have the table at ``path`` read whole the next time."""
        with self._lock:
            self._known.pop(path, None)

    def _updated(self, known: _Known) -> DeltaTable | None:
        """The handle at its table's newest version; None when that is another table, made again, or gone."""
        place, tag = known.anchor
        try:
            if log.stands(self._store, known.snapshot.path, known.snapshot.version, known.anchor):
                return known.table  # for a quarter of the CPU that delta-rs needs to say so
            if self._store.tag(place) != tag:
                return None
            known.table.update_incremental()
        except (DeltaError, TableNotFoundError, OSError):
            return None  # read whole, it will tell what is wrong
        return known.table
