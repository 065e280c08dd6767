"""A table's Delta log: where it stands, the next entry, checkpoints. Only this and ``actions`` know the log's bytes.

delta-rs reads the log, adds columns and writes checkpoints. The entry of an append, a table's first included, is put by
ourselves, as Delta's protocol has it ("Delta transaction log protocol", writer version 2): from a known head it is one
object of known name, made only if absent. delta-rs's own commit reads the log before and after: 17 ms of CPU and 48 ms
of time on S3 for a small append, against 0.5 and 4. Checked against deltalake 1.6.6: both sorts see each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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
VALUE_BYTES = "logflume.value_bytes"
"""The tag of a data file that says how many bytes its records are."""
KEPT_FOR = "delta.deletedFileRetentionDuration"
"""For how long a table remembers a file that is no longer part of it: ``interval 12 hours``."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that is written, and not yet part of the table. ``stats``: Delta's, as JSON.

    ``stored_ms``: when its rows were first committed, if that was before. ``value_bytes``: see ``weight``.
    """

    path: str
    date: str
    size: int
    rows: int
    stats: str
    value_bytes: int
    stored_ms: int | None = None


class Removal(NamedTuple):
    """A data file that shall no longer be part of the table; ``size``: bytes."""

    path: str
    date: str
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit does to a table that is no append of a sink's.

    ``moved``: the rows stay the same, only the files are others. ``properties``: those that the table shall have from
    now on, all of them; ``None``: no change. ``about``: what the entry says of itself besides.
    """

    operation: str
    removed: Sequence[Removal] = ()
    added: Sequence[DataFile] = ()
    moved: bool = False
    properties: Mapping[str, str] | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    """By which the entry is known again, when the store's answer was lost."""


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
    if tag is None or _passed(store, path, 0):
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
    if tag is None or _passed(store, path, head.version + 1):
        return None
    return Head(head.version + 1, (place, tag), head.columns, {**head.progress, app_id: upto})


def advance(store: Store, path: str, head: Head) -> Head | None:
    """Return where a table stands after the entries since ``head``, read one by one; ``head`` itself: there are none.

    ``None``: read it whole (``load``), since it is another table or gone, its columns or properties have changed, a
    checkpoint stands between (see ``_passed``), or it has gone far. Who lost a race has one entry to read, 2 ms, not
    the log; while it read all of that, the next quicker one would be ahead again. Raises ``Retryable``.
    """
    version, progress = head.version, dict(head.progress)
    while (entry := store.read(entry_path(path, version + 1))) is not None:
        version += 1
        if version - head.version > CHECKPOINT_EVERY:
            return None
        for action in map(orjson.loads, entry.splitlines()):
            if "metaData" in action or "protocol" in action:
                return None
            if "txn" in action and action["txn"]["appId"] in progress:
                progress[action["txn"]["appId"]] = action["txn"]["version"]
    place = entry_path(path, version)
    tag = store.tag(place)
    if tag is None or store.tag(head.anchor[0]) != head.anchor[1] or _passed(store, path, head.version):
        return None  # looked at last: what was read before was this table's
    return head if version == head.version else Head(version, (place, tag), head.columns, progress)


def stands(store: Store, path: str, version: int, at: tuple[str, str]) -> bool:
    """Whether a table still is at ``version``, where its ``anchor`` is ``at``. Raises ``Retryable``.

    That there is no later entry says so only when none was deleted: what would show that is looked at after it.
    """
    return (
        store.tag(entry_path(path, version + 1)) is None
        and store.tag(at[0]) == at[1]
        and not _passed(store, path, version)
    )


def change(store: Store, path: str, table: DeltaTable, at: tuple[str, str], change: Change, clock: Clock) -> bool:
    """Commit a change as the version after that of ``table``; False when the table has moved on or is gone.

    ``at``: its ``anchor`` there. No ``txn`` is touched, so what writers have stored stays known. Raises ``Retryable``
    when it can't know: the entry may have been made.
    """
    if store.tag(at[0]) != at[1]:
        return False
    version = table.version() + 1
    place = entry_path(path, version)
    try:
        done = store.put_if_absent(place, _changed(table, change, clock.now_ns() // 1_000_000)) is not None
    except Retryable:
        if not made(store, path, version, change.mark):
            raise
        done = True
    done = done or made(store, path, version, change.mark)  # by a try of the client's that was not heard
    if done and _passed(store, path, version):
        raise Retryable(f"{store.uri(path)}: whether its version {version} is ours can't be told: the log has gone on")
    return done


def made(store: Store, path: str, version: int, mark: str) -> bool:
    """Whether the entry of ``version`` is the change with this mark. Raises ``Retryable``."""
    entry = store.read(entry_path(path, version))
    return entry is not None and mark.encode() in entry.partition(b"\n")[0]


def last_checkpoint(store: Store, path: str) -> int:
    """Return the version of a table's last checkpoint; -1: there is none. Raises ``Retryable``."""
    hint = store.read(f"{path}/_delta_log/_last_checkpoint")
    return -1 if hint is None else int(orjson.loads(hint)["version"])


def _passed(store: Store, path: str, version: int) -> bool:
    """Whether a later version has a checkpoint, so that an entry which was put just now may be none.

    "Only if absent" tells of a race as long as no entry is ever deleted. ``forget``, and the log's retention, delete
    those before a checkpoint: who read the table before, and puts after, fills a hole that no reader looks at. The
    checkpoint is there before an entry is deleted, so who looks at it after the put learns of it.
    """
    return last_checkpoint(store, path) > version


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


def forget(store: Store, path: str) -> None:
    """Write a checkpoint of the table as it is, and delete all of its log before: it names files that are gone.

    Readers of an older version find it gone, and read the newest. Raises ``Retryable``.
    """
    checkpoint(store, path)
    last = last_checkpoint(store, path)
    for place in sorted(store.list_below(f"{path}/_delta_log")):  # the oldest first: never a hole before one that stays
        version = place.rpartition("/")[2].partition(".")[0]
        if version.isdigit() and int(version) < last:
            store.delete(place)


def anchor(store: Store, path: str, version: int) -> tuple[str, str]:
    """Return by what the table is known again at this version (see ``Head``). Raises ``Retryable``."""
    for place in (entry_path(path, version), f"{path}/_delta_log/{version:020}.checkpoint.parquet"):
        tag = store.tag(place)
        if tag is not None:
            return place, tag
    raise Retryable(f"{store.uri(path)}: the log's entry {version} is gone since it was read")


def _changed(table: DeltaTable, change: Change, now_ms: int) -> bytes:
    """The actions of a change."""
    info = {
        "timestamp": now_ms,
        "operation": change.operation,
        "operationParameters": {},
        "isBlindAppend": False,
        "engineInfo": "logflume",
        "mark": change.mark,
        **change.about,
    }
    actions: list[dict[str, object]] = [{"commitInfo": info}]
    if change.properties is not None:
        metadata = table.metadata()
        whole = {
            "id": str(metadata.id),
            "name": metadata.name,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": table.schema().to_json(),
            "partitionColumns": metadata.partition_columns,
            "configuration": dict(change.properties),
            "createdTime": metadata.created_time,
        }
        actions.append({"metaData": whole})
    for path, date, size in change.removed:
        gone = {
            "path": path,
            "deletionTimestamp": now_ms,
            "dataChange": not change.moved,
            "extendedFileMetadata": True,
            "partitionValues": {schema.DATE: date},
            "size": size,
        }
        actions.append({"remove": gone})
    actions += _adds(change.added, now_ms, data_change=not change.moved)
    return b"\n".join(map(orjson.dumps, actions))


def _adds(files: Sequence[DataFile], now_ms: int, *, data_change: bool = True) -> list[dict[str, object]]:
    return [
        {
            "add": {
                "path": file.path,
                "partitionValues": {schema.DATE: file.date},
                "size": file.size,
                "modificationTime": now_ms if file.stored_ms is None else file.stored_ms,
                "dataChange": data_change,
                "stats": file.stats,
                "tags": {VALUE_BYTES: str(file.value_bytes)},
            }
        }
        for file in files
    ]


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
    actions += _adds(files, now_ms)
    return b"\n".join(map(orjson.dumps, actions))
