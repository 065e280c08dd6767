"""Counting what came to rest, without asking any stage: three sources that must agree, row by row.

The generator knows which ids it made; Kafka knows its offsets, and the headers of a block how many rows it has; DuckDB
counts the rows in the tables' active files by their coordinates. A row deleted, stored twice, or stored at another
tenant makes a ``Verdict`` that is not ``ok``. Nothing here writes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from logflume.demo.traffic import Batch, text_ids

_SENT = pa.schema([("tenant", pa.string()), ("dataset", pa.string()), ("id", pa.string()), ("doubtful", pa.bool_())])
LOG = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("rows", pa.int32())])
"""The ingest topics' messages: topic id, and how many records a message claims to hold."""
DEAD = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("row", pa.int32())])
"""Dead letters by coordinates; a null row stands for the whole message."""


class Sent:
    """The generator's own account: which ids went out, for which tenant and dataset.

    A *doubtful* record was handed over and never acknowledged (its sender was killed): it may be stored once, or not.
    """

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []

    def add(self, batch: Batch, *, doubtful: bool = False) -> None:
        """Note that ``batch`` was sent."""
        self.add_ids(batch.tenant, batch.dataset, text_ids(batch.ids), doubtful=doubtful)

    def add_ids(self, tenant: str, dataset: str, ids: pa.Array, *, doubtful: bool = False) -> None:
        """Note that records with these ids were sent; a null id is a record that is counted, but not known again."""
        columns = [pa.repeat(value, len(ids)) for value in (tenant, dataset)]
        self._parts.append(pa.table([*columns, ids, pa.repeat(doubtful, len(ids))], schema=_SENT))

    def add_rows(self, tenant: str, dataset: str, rows: int) -> None:
        """Note ``rows`` records that carry no id."""
        self.add_ids(tenant, dataset, pa.nulls(rows, pa.string()))

    @property
    def rows(self) -> int:
        """Records noted so far."""
        return sum(part.num_rows for part in self._parts)

    def table(self) -> pa.Table:
        """All that was noted."""
        return pa.concat_tables([_SENT.empty_table(), *self._parts])


@dataclass(frozen=True, slots=True)
class Files:
    """The active files of one tenant's table: those of its newest snapshot, and no others."""

    tenant: str
    dataset: str
    paths: tuple[str, ...]
    """Paths in the filesystem that was listed."""
    sizes: tuple[int, ...]
    """Bytes of each file."""
    rows: int
    """As the table's log says; ``judge`` counts the rows themselves."""
    version: int
    written_ms: tuple[int, ...] = ()
    """When each file was written, in ms since 1970."""

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes)


def active_files(
    filesystem: pa.fs.FileSystem,
    root: str,
    url: str,
    options: Mapping[str, str] | None = None,
    tenants: Container[str] | None = None,
) -> list[Files]:
    """The active files of every table below ``root``/tables, by tenant and dataset; ``tenants``: of these only.

    ``filesystem`` and ``root``, ``url`` and ``options`` are two names of the same place: Arrow's and delta-rs's. A
    table whose first commit never came has none.
    """
    found = []
    everything = pa.fs.FileSelector(f"{root}/tables", allow_not_found=True)
    for tenant in filesystem.get_file_info(everything):
        if tenants is not None and tenant.base_name not in tenants:
            continue
        for table in filesystem.get_file_info(pa.fs.FileSelector(tenant.path)):
            delta_url = f"{url.rstrip('/')}/tables/{tenant.base_name}/{table.base_name}"
            try:
                delta = DeltaTable(delta_url, storage_options=dict(options or {}))
            except TableNotFoundError:
                continue
            actions = pa.table(delta.get_add_actions(flatten=True))
            paths = tuple(f"{table.path}/{unquote(path)}" for path in actions["path"].to_pylist())
            sizes = tuple(actions["size_bytes"].to_pylist())
            rows = sum(actions["num_records"].to_pylist())
            written = tuple(pc.cast(actions["modification_time"], pa.int64()).to_pylist())
            found.append(Files(tenant.base_name, table.base_name, paths, sizes, rows, delta.version(), written))
    return sorted(found, key=lambda f: (f.tenant, f.dataset))


@dataclass(frozen=True, slots=True)
class Check:
    """One sum: what it should be, by one source, and what it is, by another."""

    name: str
    expected: int
    counted: int
    spare: int = 0
    """How much more than ``expected`` is right as well: doubtful records."""

    @property
    def ok(self) -> bool:
        """Whether the two sources agree."""
        return self.expected <= self.counted <= self.expected + self.spare


@dataclass(frozen=True, slots=True)
class Verdict:
    """All sums, and examples of what is wrong."""

    checks: tuple[Check, ...]
    stored_rows: int
    dead_rows: int
    examples: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every sum is right."""
        return all(check.ok for check in self.checks)

    def explain(self) -> str:
        """Every sum that is wrong, with examples; empty when all are right."""
        wrong = [f"{c.name}: expected {c.expected}, counted {c.counted}" for c in self.checks if not c.ok]
        return "\n".join([*wrong, *self.examples]) if wrong else ""


def judge(
    sent: Sent,
    files: Iterable[Files],
    filesystem: pa.fs.FileSystem,
    id_fields: Mapping[str, str | None],
    *,
    log: pa.Table | None = None,
    dead: pa.Table | None = None,
    since: Mapping[tuple[str, int], int] | None = None,
) -> Verdict:
    """Count and compare.

    ``id_fields`` names the id column of each dataset (None: it has none). With ``log`` (schema ``LOG``) and ``dead``
    (schema ``DEAD``) coordinates are compared with Kafka's too. ``since`` gives by topic id and partition the offset at
    which this run began: rows before it are an earlier run's.
    """
    with tempfile.TemporaryDirectory(prefix="logflume-judge-") as folder, duckdb.connect() as db:
        db.execute("SET enable_progress_bar = false")
        wanted = [(f.tenant, f.dataset, path) for f in files for path in f.paths]
        names = copies(filesystem, [path for _, _, path in wanted], Path(folder))
        owners = [(name, tenant, dataset) for name, (tenant, dataset, _) in zip(names, wanted, strict=True)]
        _load(db, sent.table(), owners, id_fields, since or {})
        checks = _by_id(db)
        dead_rows = 0
        if log is not None:
            db.register("log", log)
            db.register("dead", dead if dead is not None else DEAD.empty_table())
            checks += _by_coordinates(db)
            dead_rows = _number(db, _DEAD_ROWS)
        stored = _number(db, "SELECT count(*) FROM stored")
        return Verdict(tuple(checks), stored, dead_rows, tuple(_examples(db)) if not all(c.ok for c in checks) else ())


def copies(filesystem: pa.fs.FileSystem, paths: Sequence[str], folder: Path) -> list[str]:
    """Copy files into ``folder`` and return the copies' names, in the same order.

    DuckDB's own S3 client would be a download; and of a Python file system it reads one file from several threads, a
    seek and then a read, so that now and then a thread gets another one's bytes (duckdb 2.0: "Invalid data").
    """

    def fetch(number: int) -> str:
        copy = folder / f"{number}.parquet"
        with filesystem.open_input_stream(paths[number]) as stream:
            copy.write_bytes(stream.read())
        return str(copy)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(fetch, range(len(paths))))


def _load(
    db: duckdb.DuckDBPyConnection,
    sent: pa.Table,
    owners: Sequence[tuple[str, str, str]],
    id_fields: Mapping[str, str | None],
    since: Mapping[tuple[str, int], int],
) -> None:
    db.register("sent_arrow", sent)
    db.execute("CREATE TABLE sent AS SELECT * FROM sent_arrow")
    columns = [pa.array([owner[i] for owner in owners], pa.string()) for i in range(3)]
    db.register("owner", pa.table(columns, names=["filename", "tenant", "dataset"]))
    db.register(
        "since",
        pa.table(
            [[topic for topic, _ in since], [partition for _, partition in since], list(since.values())],
            schema=pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("start", pa.int64())]),
        ),
    )
    db.execute(
        "CREATE TABLE stored (tenant VARCHAR, dataset VARCHAR, id VARCHAR,"
        ' topic VARCHAR, "partition" INT, "offset" BIGINT, "row" INT)'
    )
    for dataset in sorted({dataset for _, _, dataset in owners}):
        id_field = id_fields.get(dataset)
        db.execute(
            f"""
            INSERT INTO stored
            SELECT owner.tenant, owner.dataset, {f'"{id_field}"' if id_field else "NULL"},
                   _src_topic, _src_partition, _src_offset, _src_row
            FROM read_parquet($paths, union_by_name = true, filename = true, hive_partitioning = false) AS f
            JOIN owner USING (filename)
            LEFT JOIN since ON since.topic = f._src_topic AND since."partition" = f._src_partition
            WHERE f._src_offset >= coalesce(since.start, 0)
            """,
            {"paths": [name for name, _, its in owners if its == dataset]},
        )


def _by_id(db: duckdb.DuckDBPyConnection) -> list[Check]:
    sure = _number(db, "SELECT count(*) FROM sent WHERE NOT doubtful")
    doubtful = _number(db, "SELECT count(*) FROM sent WHERE doubtful")
    return [
        Check("rows in the tables, against records sent", sure, _number(db, "SELECT count(*) FROM stored"), doubtful),
        Check("ids sent and not stored", 0, _number(db, f"SELECT count(*) FROM ({_MISSING})")),
        Check("ids stored more than once", 0, _number(db, f"SELECT count(*) FROM ({_TWICE})")),
        Check("rows at a tenant who did not send them", 0, _number(db, f"SELECT count(*) FROM ({_ELSEWHERE})")),
        Check("rows that nobody sent", 0, _number(db, f"SELECT count(*) FROM ({_NEVER_SENT})")),
    ]


_MISSING = """
    SELECT dataset, tenant, id FROM sent WHERE id IS NOT NULL AND NOT doubtful
      AND (dataset, id) NOT IN (SELECT (dataset, id) FROM stored WHERE id IS NOT NULL)"""
_TWICE = """
    SELECT dataset, min(tenant) AS tenant, id FROM stored WHERE id IS NOT NULL
    GROUP BY dataset, id HAVING count(*) > 1"""
_ELSEWHERE = """
    SELECT stored.dataset, stored.tenant, stored.id FROM stored JOIN sent USING (dataset, id)
    WHERE stored.tenant <> sent.tenant"""
# Records without an id can't be known again; where a tenant sent such, their number is all that can be compared.
_NEVER_SENT = """
    SELECT dataset, tenant, id FROM stored
    WHERE (id IS NOT NULL AND (dataset, id) NOT IN (SELECT (dataset, id) FROM sent WHERE id IS NOT NULL))
       OR (id IS NULL AND (dataset, tenant) NOT IN (SELECT (dataset, tenant) FROM sent WHERE id IS NULL))"""
_DEAD_ROWS = """
    SELECT coalesce(sum(n), 0) FROM (
      SELECT CASE WHEN bool_or(dead."row" IS NULL) THEN any_value(log.rows) ELSE count(DISTINCT dead."row") END AS n
      FROM dead JOIN log USING (topic, "partition", "offset") GROUP BY topic, "partition", "offset")"""
# Of each message: its rows by Kafka, those stored and those dead, each coordinate counted once.
_MESSAGES = """
    SELECT log.topic, log."partition", log."offset", log.rows, coalesce(s.n, 0) AS stored, coalesce(d.n, 0) AS dead,
           coalesce(d.whole, false) AS whole
    FROM log
    LEFT JOIN (SELECT topic, "partition", "offset", count(DISTINCT "row") AS n FROM stored GROUP BY ALL) AS s
      USING (topic, "partition", "offset")
    LEFT JOIN (SELECT topic, "partition", "offset", count(DISTINCT "row") AS n, bool_or("row" IS NULL) AS whole
               FROM dead GROUP BY ALL) AS d
      USING (topic, "partition", "offset")"""


def _by_coordinates(db: duckdb.DuckDBPyConnection) -> list[Check]:
    in_kafka = _number(db, "SELECT coalesce(sum(rows), 0) FROM log")
    dead = _number(db, _DEAD_ROWS)
    distinct = _number(db, 'SELECT count(*) FROM (SELECT DISTINCT topic, "partition", "offset", "row" FROM stored)')
    return [
        Check("coordinates stored or dead-lettered, against rows in Kafka", in_kafka, distinct + dead),
        Check("coordinates stored more than once", 0, _number(db, "SELECT count(*) FROM stored") - distinct),
        Check("coordinates stored that Kafka does not have", 0, _number(db, f"SELECT count(*) FROM ({_NOT_IN_KAFKA})")),
        Check("messages of Kafka of which rows are neither", 0, _number(db, f"SELECT count(*) FROM ({_INCOMPLETE})")),
        Check("rows both stored and dead-lettered", 0, _number(db, f"SELECT count(*) FROM ({_BOTH})")),
    ]


_NOT_IN_KAFKA = """
    SELECT stored.* FROM stored LEFT JOIN log USING (topic, "partition", "offset")
    WHERE log.rows IS NULL OR stored."row" >= log.rows OR stored."row" < 0"""
_INCOMPLETE = f"""
    SELECT * FROM ({_MESSAGES}) WHERE stored + CASE WHEN whole THEN rows ELSE dead END <> rows"""
_BOTH = """
    SELECT stored.* FROM stored JOIN dead USING (topic, "partition", "offset")
    WHERE dead."row" IS NULL OR dead."row" = stored."row" """


def _examples(db: duckdb.DuckDBPyConnection) -> list[str]:
    """A few of each kind of wrong row, so that the search can begin."""
    kinds = {"missing": _MISSING, "twice": _TWICE, "at another tenant": _ELSEWHERE, "never sent": _NEVER_SENT}
    return [
        f"  {kind}: {dataset} of {tenant}, id {id_}"
        for kind, query in kinds.items()
        for dataset, tenant, id_ in db.execute(f"SELECT dataset, tenant, id FROM ({query}) LIMIT 3").fetchall()
    ]


def _number(db: duckdb.DuckDBPyConnection, query: str) -> int:
    rows = db.execute(query).fetchall()  # all: a result not read to its end keeps the connection (DuckDB 2)
    return int(rows[0][0])
