"""A table's Delta log: where it stands, the next entry, checkpoints. The only place that knows the log's bytes.

delta-rs reads the log, adds columns and writes checkpoints. The entry of an append, a table's first included, is put by
ourselves, as Delta's protocol has it ("Delta transaction log protocol", writer version 2): from a known head it is one
object of known name, made only if absent. delta-rs's own commit reads the log before and after: 17 ms of CPU and 48 ms
of time on S3 for a small append, against 0.5 and 4. Checked against deltalake 1.6.6: both sorts see each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from logflume.clock import Clock
from logflume.errors import Refused, Retryable
from logflume.model.dataset import Dataset
from logflume.table import schema
from logflume.table.store import Store

CHECKPOINT_EVERY = 25
"""Commits between checkpoints: see docs/tables.md for the measurement."""

_CONFIGURATION = {
    # For Delta's other writers; ours asks for its checkpoints itself.
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    # Entries older than their checkpoint are only for readers of an older snapshot; a write is over in minutes.
    "delta.logRetentionDuration": "interval 6 hours",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that is written, and not yet part of the table. ``stats``: Delta's, as JSON."""

    path: str
    date: str
    size: int
    rows: int
    stats: str


@dataclass(frozen=True, slots=True)
class Head:
    """A table's state at one version, as far as an append needs it.

    ``anchor``: name and tag of that version's log entry (of its checkpoint, when the entry is past its retention), by
    which the table is known again.
    ``progress``: by application id, the ``txn`` version at this very version, ``None`` when it has none.
    """

    version: int
    anchor: tuple[str, str]
    columns: frozenset[str]
    progress: Mapping[str, int | None]


def entry_path(table: str, version: int) -> str:
    """Return the path of the log entry of ``version``."""
    return f"{table}/_delta_log/{version:020}.json"


def open_table(store: Store, path: str) -> DeltaTable | None:
    """Read a table's log to its end; ``None`` when there is no table. Raises ``Refused`` and ``Retryable``."""
    try:
        return DeltaTable(store.uri(path), storage_options=store.delta_options)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        if "No table metadata or protocol found" in str(error):
            raise Refused(
                f"{store.uri(path)}: the log lacks its beginning, as when a table was deleted by hand in part. "
                f"Delete the rest of it; the next rows make it anew."
            ) from error
        raise Retryable(f"{store.uri(path)} could not be read: {error}") from error
    except OSError as error:
        raise Retryable(f"{store.uri(path)} could not be read: {error}") from error


def load(store: Store, path: str, dataset: Dataset, app_ids: Iterable[str]) -> Head | None:
    """Read where a table stands for these writers, and give it the dataset's new columns; ``None``: no table.

    Raises ``Refused`` for a table that Logflume must not write, ``Retryable`` when the store fails.
    """
    if not store.any_below(f"{path}/_delta_log"):
        return None  # for a tenth of the CPU that delta-rs needs to say so
    while True:
        table = open_table(store, path)
        if table is None:
            return None
        schema.check(table, store.uri(path))
        lacking = schema.missing(dataset, table, store.uri(path))
        if not lacking:
            break
        try:
            table.alter.add_columns(lacking)
        except (DeltaError, OSError) as error:  # when somebody else's commit came between, look again
            now = open_table(store, path)
            if now is not None and now.version() == table.version():
                raise Retryable(f"{store.uri(path)}: no columns added: {error}") from error
    try:
        progress = {app_id: table.transaction_version(app_id) for app_id in app_ids}
    except (DeltaError, OSError) as error:
        raise Retryable(f"{store.uri(path)}: its progress could not be read: {error}") from error
    version = table.version()
    columns = frozenset(field.name for field in table.schema().fields)
    return Head(version, anchor(store, path, version), columns, progress)


def create(
    store: Store, path: str, dataset: Dataset, files: Sequence[DataFile], app_id: str, upto: int, clock: Clock
) -> Head | None:
    """Make a table with its first rows and their ``txn``, in one commit; ``None`` when somebody else was quicker.

    Raises ``Retryable`` when it can't know: the entry may have been made.
    """
    now_ms = clock.now_ns() // 1_000_000
    metadata = {
        "id": str(uuid.uuid4()),
        "name": path.removeprefix("tables/"),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.delta_json(dataset),
        "partitionColumns": [schema.DATE],
        "configuration": {**_CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(schema.bounded(dataset))},
        "createdTime": now_ms,
    }
    protocol = {"minReaderVersion": 1, "minWriterVersion": schema.WRITER_VERSION}
    beginning: list[dict[str, object]] = [{"protocol": protocol}, {"metaData": metadata}]
    place = entry_path(path, 0)
    entry = _entry(files, app_id, upto, now_ms, beginning)
    tag = store.put_if_absent(place, entry)
    if tag is None:
        return None
    return Head(0, (place, tag), frozenset([*schema.file_schema(dataset).names, schema.DATE]), {app_id: upto})


def commit(
    store: Store, path: str, head: Head, files: Sequence[DataFile], app_id: str, upto: int, clock: Clock
) -> Head | None:
    """Append ``files`` and the ``txn`` as the version after ``head``; ``None`` when the table has moved on or is gone.

    Raises ``Retryable`` when it can't know: the entry may have been made.
    """
    if store.tag(head.anchor[0]) != head.anchor[1]:
        return None  # deleted by hand: an entry put now would have no table before it
    place = entry_path(path, head.version + 1)
    entry = _entry(files, app_id, upto, clock.now_ns() // 1_000_000)
    tag = store.put_if_absent(place, entry)
    if tag is None:
        return None
    return Head(head.version + 1, (place, tag), head.columns, {**head.progress, app_id: upto})


def checkpoint(store: Store, path: str) -> None:
    """Write a checkpoint of the table as it is, and remove log entries past their retention. Raises ``Retryable``."""
    table = open_table(store, path)
    if table is None:
        return
    try:
        table.create_checkpoint()
        table.cleanup_metadata()
    except (DeltaError, OSError) as error:
        raise Retryable(f"{store.uri(path)}: no checkpoint: {error}") from error


def anchor(store: Store, path: str, version: int) -> tuple[str, str]:
    """Return by what the table is known again at this version (see ``Head``). Raises ``Retryable``."""
    for place in (entry_path(path, version), f"{path}/_delta_log/{version:020}.checkpoint.parquet"):
        tag = store.tag(place)
        if tag is not None:
            return place, tag
    raise Retryable(f"{store.uri(path)}: the log's entry {version} is gone since it was read")


def _entry(
    files: Sequence[DataFile],
    app_id: str,
    upto: int,
    now_ms: int,
    beginning: Sequence[dict[str, object]] = (),
) -> bytes:
    """The actions of one commit; ``beginning``: those that make the table."""
    info = {
        "timestamp": now_ms,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append", "partitionBy": f'["{schema.DATE}"]'},
        "isBlindAppend": False,  # it stands on what it has read: the txn
        "engineInfo": "logflume",
    }
    actions: list[dict[str, object]] = [{"commitInfo": info}, {"txn": {"appId": app_id, "version": upto}}]
    actions += beginning
    actions += [
        {
            "add": {
                "path": file.path,
                "partitionValues": {schema.DATE: file.date},
                "size": file.size,
                "modificationTime": now_ms,
                "dataChange": True,
                "stats": file.stats,
            }
        }
        for file in files
    ]
    return b"\n".join(map(orjson.dumps, actions))
