"""The judge of the fault tests: reads the tables' files by DuckDB and Kafka's offsets, and asks no stage anything.

I1  every acknowledged record is there · I2 as it was sent · I3 nothing that was never sent · I4 nothing at another
tenant · I5 what is committed is durable, in the sink's group and in the sorter's · I6 each record once.
(reference: the invariants of the design's faults table.)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
from confluent_kafka import Consumer, KafkaError, TopicPartition
from deltalake import DeltaTable

from logflume.demo import witness
from logflume.demo.judge import copies
from logflume.kafka import client, cursors, groups, topics
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.oracle import DATASET, Oracle
from tests.support.waiting import until

_COLUMNS = {
    "id": "trace_id",
    "ms": "epoch_us(time) // 1000",
    "level": "level",
    "message": "message",
    "shard": "attributes['shard']",
    "extra": "_extra",
}
_COORDINATES = pa.schema(
    [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("row", pa.int32())]
)


class Judge:
    """What came to rest, and what it should be."""

    def __init__(self, settings: Settings, oracle: Oracle) -> None:
        self._settings = settings
        self._oracle = oracle
        self._store = Store.from_settings(settings)
        self._admin = client.admin(settings)
        self.apart: set[str] = set()
        """Tenants whose records the oracle knows nothing of: somebody else counts them."""

    def stored(self) -> pa.Table:
        """Every row of every table's newest snapshot: tenant, the columns of ``EXPECTED``, coordinates."""
        parts = []
        with duckdb.connect() as db:
            for tenant, paths in self._tables():
                with tempfile.TemporaryDirectory() as folder:
                    names = copies(self._store.filesystem, paths, Path(folder))
                    parts += [self._rows(db, tenant, names)] if names else []
        return pa.concat_tables(parts) if parts else _nothing()

    def _ours(self) -> pa.Table:
        """What is stored of the oracle's tenants."""
        found = self.stored()
        return found.filter(pc.invert(pc.is_in(found["tenant"], pa.array(sorted(self.apart), pa.string()))))

    def _tables(self) -> Iterator[tuple[str, list[str]]]:
        """Each tenant with the active files of its table. A table whose first commit never came has none."""
        filesystem = self._store.filesystem
        everything = pafs.FileSelector(self._store.full("tables"), allow_not_found=True)
        for tenant in filesystem.get_file_info(everything):
            uri = self._store.uri(f"tables/{tenant.base_name}/{DATASET}")
            if not DeltaTable.is_deltatable(uri, self._store.delta_options):
                continue
            delta = DeltaTable(uri, storage_options=self._store.delta_options)
            paths = pa.table(delta.get_add_actions(flatten=True))["path"].to_pylist()
            yield tenant.base_name, [f"{tenant.path}/{DATASET}/{unquote(path)}" for path in paths]

    def _rows(self, db: duckdb.DuckDBPyConnection, tenant: str, paths: Iterable[str]) -> pa.Table:
        found = dict.fromkeys(_COLUMNS, "NULL") if tenant in self.apart else _COLUMNS
        columns = ", ".join(f"CAST({expression} AS VARCHAR) AS {name}" for name, expression in found.items())
        return db.sql(
            f"SELECT $tenant AS tenant, {columns}, _src_topic AS topic, _src_partition AS partition,"
            ' _src_offset AS "offset", _src_row AS "row"'
            " FROM read_parquet($paths, union_by_name = true, hive_partitioning = false)",
            params={"tenant": tenant, "paths": list(paths)},
        ).to_arrow_table()

    def complaints(self) -> list[str]:
        """What is wrong by now with I1 to I4 and I6; empty when all is well and at rest."""
        with duckdb.connect() as db:
            db.register("stored", self._ours())
            db.register("expected", self._oracle.expected())
            same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM CAST(e.{name} AS VARCHAR)" for name in _COLUMNS)
            queries = {
                "I1 acknowledged and missing": "SELECT tenant, id FROM expected WHERE sure AND id NOT IN"
                " (SELECT id FROM stored WHERE id IS NOT NULL)",
                "I2 not as it was sent": "SELECT s.tenant, s.id FROM stored s JOIN expected e USING (id)"
                f" WHERE NOT ({same})",
                "I3 never sent": "SELECT tenant, id FROM stored WHERE id IS NULL"
                " OR id NOT IN (SELECT id FROM expected)",
                "I4 at another tenant": "SELECT s.tenant, s.id FROM stored s JOIN expected e USING (id)"
                " WHERE s.tenant <> e.tenant",
                "I6 more than once": "SELECT min(tenant), id FROM stored GROUP BY id HAVING count(*) > 1",
                "I6 a coordinate more than once": 'SELECT min(tenant), min(id) FROM stored GROUP BY topic, "partition",'
                ' "offset", "row" HAVING count(*) > 1',
            }
            wrong = []
            for name, query in queries.items():
                found = db.execute(query).fetchall()
                if found:
                    wrong.append(f"{name}: {len(found)}, such as {found[:3]}")
            return wrong

    def missing(self) -> int:
        """How many acknowledged records are in no table yet."""
        with duckdb.connect() as db:
            db.register("stored", self._ours())
            db.register("expected", self._oracle.expected())
            [(count,)] = db.execute(
                "SELECT count(*) FROM expected WHERE sure AND id NOT IN (SELECT id FROM stored WHERE id IS NOT NULL)"
            ).fetchall()
            return int(count)

    def assert_drained(self) -> None:
        """Workers that ended in order left nothing half done: what is at rest is committed too, row by row."""
        ingest, sorted_ = topics.ingest_topic(self._settings, DATASET), topics.sorted_topic(self._settings, DATASET)
        ingest_commits = self.committed(self._settings.sort_group, ingest)
        coordinates, below = self._sorted_rows(self.committed(self._settings.sink_group, sorted_))
        assert self.stored().num_rows == below.num_rows, "rows are stored beyond what the sink has committed"
        beyond = [
            (partition, offset)
            for partition, offset in zip(
                coordinates["partition"].to_pylist(), coordinates["offset"].to_pylist(), strict=True
            )
            if offset >= ingest_commits.get(partition, 0)
        ]
        assert not beyond, f"{len(beyond)} rows were sorted beyond what the sorter has committed: {beyond[:3]}"

    def assert_committed_is_durable(self) -> None:
        """I5, at any moment: everything below a committed offset is at rest behind it. Offsets are looked up first."""
        ingest, sorted_ = topics.ingest_topic(self._settings, DATASET), topics.sorted_topic(self._settings, DATASET)
        ingest_commits = self.committed(self._settings.sort_group, ingest)
        # A transaction shows on each of its topics in its own moment, so each side is given time to follow the other.
        positions = self.positions()
        follow = "positions and the group's offsets move in one transaction"
        until(lambda: _reached(self.committed(self._settings.sink_group, sorted_), positions), 30, follow)
        sink_commits = self.committed(self._settings.sink_group, sorted_)
        until(lambda: _reached(self.positions(), sink_commits), 30, follow)
        coordinates, below = self._sorted_rows(sink_commits)
        with duckdb.connect() as db:
            db.register("stored", self.stored())
            db.register("below", below)
            unstored = db.execute(
                'SELECT topic, "partition", "offset", "row" FROM below EXCEPT'
                ' SELECT topic, "partition", "offset", "row" FROM stored'
            ).fetchall()
            assert not unstored, f"I5: the sink committed past {len(unstored)} rows not at rest, such as {unstored[:3]}"
            account = witness.account(self._settings, witness.Marks(self._ids([ingest]), self._beginnings(ingest)))
            topic_id = self._ids([ingest])[ingest]
            db.register("log", account.log)
            db.register("dead", account.dead)
            db.register("sorted", coordinates)
            commits = pa.table(
                [pa.array(list(ingest_commits), pa.int32()), pa.array(list(ingest_commits.values()), pa.int64())],
                names=["partition", "committed"],
            )
            db.register("commits", commits)
            passed = db.execute(
                """
                SELECT l."partition", l."offset", l.rows FROM log l JOIN commits c USING ("partition")
                LEFT JOIN (SELECT topic, "partition", "offset", count(DISTINCT "row") AS n FROM
                             (SELECT * FROM sorted UNION ALL SELECT * FROM dead) GROUP BY ALL) s
                  ON s.topic = l.topic AND s."partition" = l."partition" AND s."offset" = l."offset"
                WHERE l.topic = $topic AND l."offset" < c.committed AND coalesce(s.n, 0) <> l.rows
                """,
                {"topic": topic_id},
            ).fetchall()
            assert not passed, f"I5: the sorter committed past {len(passed)} messages not sorted, such as {passed[:3]}"

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The offsets that a group has committed, by partition."""
        places = [(topic, p) for p in range(topics.partitions(self._admin, [topic])[topic])]
        return {p: offset for (_, p), offset in groups.committed(self._settings, group, places).items()}

    def ends(self, topic: str) -> dict[int, int]:
        """Where each partition of a topic ends."""
        return cursors.ends(self._admin, topic, range(topics.partitions(self._admin, [topic])[topic]))

    def positions(self) -> dict[int, int]:
        """The sink's stored positions in the sorted topic, by partition."""
        name = topics.cursors_topic(self._settings)
        count = topics.partitions(self._admin, [name])[name]
        values = cursors.read_to_end(self._settings, self._admin, range(count), 60)
        codec = cursors.Codec(self._settings)
        found = [codec.decode(value) for of, value in values.items() if of.startswith(b"position/")]
        wanted = topics.sorted_topic(self._settings, DATASET)
        return {cursor.partition: cursor.position.offset for cursor in found if cursor.topic == wanted}

    def _sorted_rows(self, committed: Mapping[int, int]) -> tuple[pa.Table, pa.Table]:
        """The coordinates of all rows in the sorted log, and of those below ``committed``, each once."""
        topic = topics.sorted_topic(self._settings, DATASET)
        count = topics.partitions(self._admin, [topic])[topic]
        readers = {p: SortedPartition(topic, "", p, Position(0)) for p in range(count)}
        every: list[pa.RecordBatch] = []
        below: list[pa.RecordBatch] = []
        config = client.consumer_config(self._settings, "judge", enable_partition_eof=True, fetch_wait_max_ms=20)
        consumer = Consumer(config)
        try:
            consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
            open_ = set(range(count))
            while open_:
                message = consumer.poll(30)
                assert message is not None, "the sorted topic could not be read"
                number, error = message.partition() or 0, message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_.discard(number)
                    continue
                offset = message.offset() or 0
                block = readers[number].read(offset, 0, message.value() or b"", message.headers() or [])  # type: ignore[arg-type]
                if block is not None:
                    rows = block.batch.select([f"_src_{name}" for name in _COORDINATES.names])
                    every.append(rows)
                    if offset < committed.get(number, 0):
                        below.append(rows)
        finally:
            consumer.close()
        return _coordinates(every), _coordinates(below)

    def _ids(self, names: list[str]) -> dict[str, str]:
        return topics.topic_ids(self._admin, names)

    def _beginnings(self, ingest: str) -> dict[tuple[str, int], int]:
        letters = topics.deadletter_topic(self._settings)
        counts = topics.partitions(self._admin, [ingest, letters])
        return {(name, p): 0 for name, count in counts.items() for p in range(count)}


def _reached(now: Mapping[int, int], goal: Mapping[int, int]) -> bool:
    return all(now.get(partition, -1) >= offset for partition, offset in goal.items())


def _coordinates(batches: list[pa.RecordBatch]) -> pa.Table:
    if not batches:
        return _COORDINATES.empty_table()
    columns = [
        pa.array(np.concatenate([np.asarray(batch.column(at)) for batch in batches]), field.type)
        for at, field in enumerate(_COORDINATES)
    ]
    return pa.table(columns, schema=_COORDINATES)


def _nothing() -> pa.Table:
    names = ["tenant", *_COLUMNS]
    return pa.table(
        [*([pa.array([], pa.string())] * len(names)), *(pa.array([], field.type) for field in _COORDINATES)],
        names=[*names, *_COORDINATES.names],
    )
