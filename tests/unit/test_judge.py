"""The judge: right sums pass, and each way in which rows can be wrong fails, on real Delta tables."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pytest
from deltalake import DeltaTable, write_deltalake

from logflume.demo.judge import DEAD, LOG, Sent, Verdict, active_files, judge
from logflume.demo.traffic import Batch, Shape, Traffic, text_ids

ID_FIELDS = {"http_requests": "RayID", "firewall_events": "RayID"}
TOPICS = {"http_requests": "topic-of-requests", "firewall_events": "topic-of-events"}
BLOCK = 100


class World:
    """A small store, and what Kafka would say of it: every batch in messages of ``BLOCK`` rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent = Sent()
        self.log: list[tuple[str, int, int, int]] = []
        self.dead: list[tuple[str, int, int, int | None]] = []
        shape = Shape(tenants=4, ruled_share=0.2)
        for batch in Traffic(1_500, seed=11, end_ns=1_763_812_800_000_000_000, shape=shape).batches():
            self.sent.add(batch)
            self.store(batch)

    def store(self, batch: Batch) -> None:
        rows = pa.table({"RayID": text_ids(batch.ids), "_date": pa.repeat("2026-11-22", batch.rows)})
        pieces = []
        for start in range(0, batch.rows, BLOCK):
            piece = rows.slice(start, BLOCK)
            pieces.append(self.with_coordinates(piece, TOPICS[batch.dataset], len(self.log)))
            self.log.append((TOPICS[batch.dataset], 0, len(self.log), piece.num_rows))
        self.append(batch.tenant, batch.dataset, pa.concat_tables(pieces))

    def copied_to(self, folder: Path) -> World:
        shutil.copytree(self.folder, folder)
        other = copy.deepcopy(self)
        other.folder = folder
        return other

    def with_coordinates(self, rows: pa.Table, topic: str, offset: int) -> pa.Table:
        n = rows.num_rows
        return (
            rows.append_column("_src_topic", pa.repeat(topic, n))
            .append_column("_src_partition", pa.array([0] * n, pa.int32()))
            .append_column("_src_offset", pa.array([offset] * n, pa.int64()))
            .append_column("_src_row", pa.array(range(n), pa.int32()))
        )

    def append(self, tenant: str, dataset: str, rows: pa.Table) -> None:
        write_deltalake(self.url(tenant, dataset), rows, mode="append", partition_by=["_date"])

    def url(self, tenant: str, dataset: str) -> str:
        return str(self.folder / "tables" / tenant / dataset)

    def table(self, tenant: str, dataset: str = "http_requests") -> DeltaTable:
        return DeltaTable(self.url(tenant, dataset))

    def verdict(self, since: dict[tuple[str, int], int] | None = None) -> Verdict:
        filesystem = pyarrow.fs.LocalFileSystem()
        files = active_files(filesystem, str(self.folder), str(self.folder))
        log = pa.Table.from_arrays([pa.array(c) for c in zip(*self.log, strict=True)], names=LOG.names).cast(LOG)
        dead = pa.Table.from_pylist([dict(zip(DEAD.names, row, strict=True)) for row in self.dead], schema=DEAD)
        return judge(self.sent, files, filesystem, ID_FIELDS, log=log, dead=dead, since=since)


@pytest.fixture(scope="module")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(first_world: World, tmp_path: Path) -> World:
    return first_world.copied_to(tmp_path / "copy")


def wrong(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.ok}


def some_tenant(world: World) -> str:
    return sorted(p.name for p in (world.folder / "tables").iterdir())[0]


def test_what_was_sent_and_stored_once_is_right(world: World) -> None:
    verdict = world.verdict()
    assert verdict.ok, verdict.explain()
    assert verdict.stored_rows == world.sent.rows > 1_500
    assert verdict.explain() == ""


def test_one_row_deleted_fails_by_id_and_by_coordinate(world: World) -> None:
    tenant = some_tenant(world)
    victim = world.table(tenant).to_pyarrow_table(columns=["RayID"])["RayID"][17].as_py()
    world.table(tenant).delete(f"\"RayID\" = '{victim}'")
    verdict = world.verdict()
    assert wrong(verdict) == {
        "rows in the tables, against records sent",
        "ids sent and not stored",
        "coordinates stored or dead-lettered, against rows in Kafka",
        "messages of Kafka of which rows are neither",
    }
    assert f"missing: http_requests of {tenant}, id {victim}" in verdict.explain()


def test_one_row_stored_twice_fails_by_id_and_by_coordinate(world: World) -> None:
    tenant = some_tenant(world)
    world.append(tenant, "http_requests", world.table(tenant).to_pyarrow_table().slice(5, 1))
    assert wrong(world.verdict()) == {
        "rows in the tables, against records sent",
        "ids stored more than once",
        "coordinates stored more than once",
    }


def test_a_row_lost_and_another_stored_twice_do_not_cancel_out(world: World) -> None:
    tenant = some_tenant(world)
    rows = world.table(tenant).to_pyarrow_table()
    world.table(tenant).delete(f"\"RayID\" = '{rows['RayID'][3].as_py()}'")
    world.append(tenant, "http_requests", rows.slice(4, 1))
    assert {"ids sent and not stored", "ids stored more than once"} <= wrong(world.verdict())


def test_a_row_moved_to_another_tenant_fails(world: World) -> None:
    one, other = sorted(p.name for p in (world.folder / "tables").iterdir())[:2]
    moved = world.table(one).to_pyarrow_table().slice(0, 1)
    world.table(one).delete(f"\"RayID\" = '{moved['RayID'][0].as_py()}'")
    world.append(other, "http_requests", moved)
    assert wrong(world.verdict()) == {"rows at a tenant who did not send them"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda rows: rows.set_column(0, "RayID", pa.array(["0" * 16])), "rows that nobody sent"),
        (lambda rows: set_column(rows, "_src_offset", 10_000), "coordinates stored that Kafka does not have"),
        (lambda rows: set_column(rows, "_src_row", BLOCK), "coordinates stored that Kafka does not have"),
        (lambda rows: set_column(rows, "_src_topic", "made again"), "coordinates stored that Kafka does not have"),
    ],
)
def test_a_row_that_was_changed_on_its_way_fails(
    world: World, change: Callable[[pa.Table], pa.Table], name: str
) -> None:
    tenant = some_tenant(world)
    row = world.table(tenant).to_pyarrow_table().slice(0, 1)
    world.table(tenant).delete(f"\"RayID\" = '{row['RayID'][0].as_py()}'")
    world.append(tenant, "http_requests", change(row))
    assert name in wrong(world.verdict())


def set_column(rows: pa.Table, name: str, value: object) -> pa.Table:
    at = rows.column_names.index(name)
    return rows.set_column(at, name, pa.array([value], rows.schema.field(name).type))


def test_dead_letters_account_for_rows_of_kafka_but_not_for_records_sent(world: World) -> None:
    world.log.append(("topic-of-requests", 3, 0, 1))
    world.log.append(("topic-of-requests", 3, 1, 50))
    assert "messages of Kafka of which rows are neither" in wrong(world.verdict())
    world.dead.append(("topic-of-requests", 3, 0, 0))
    world.dead.append(("topic-of-requests", 3, 0, 0))  # a sorter that was killed writes it again
    world.dead.append(("topic-of-requests", 3, 1, None))
    verdict = world.verdict()
    assert verdict.ok, verdict.explain()
    assert verdict.dead_rows == 51


def test_a_row_that_is_stored_and_a_dead_letter_too_fails(world: World) -> None:
    topic, partition, offset, _ = world.log[0]
    world.dead.append((topic, partition, offset, 0))
    assert "rows both stored and dead-lettered" in wrong(world.verdict())


def test_a_doubtful_record_may_be_stored_once_or_not_but_not_twice(world: World) -> None:
    batch = next(iter(Traffic(50, seed=99, end_ns=1_763_812_800_000_000_000, shape=Shape(tenants=1)).batches()))
    world.sent.add(batch, doubtful=True)
    assert world.verdict().ok
    world.store(batch)
    assert world.verdict().ok
    world.store(batch)
    assert wrong(world.verdict()) >= {"ids stored more than once", "rows in the tables, against records sent"}


def test_rows_of_an_earlier_run_do_not_count(world: World) -> None:
    tenant = some_tenant(world)
    before = world.table(tenant).to_pyarrow_table().filter(pc.field("_src_offset") == world.log[0][2]).num_rows
    assert not world.verdict(since={("topic-of-requests", 0): 1}).ok
    assert world.verdict(since={("topic-of-requests", 0): 1}).stored_rows < world.sent.rows
    assert before > 0


def test_records_without_an_id_are_counted_by_number_and_coordinates(world: World) -> None:
    rows = pa.table({"RayID": pa.nulls(3, pa.string()), "_date": pa.repeat("2026-11-22", 3)})
    world.sent.add_rows("nobody", "http_requests", 3)
    world.append("nobody", "http_requests", world.with_coordinates(rows, "topic-of-requests", 900))
    world.log.append(("topic-of-requests", 0, 900, 3))
    assert world.verdict().ok, world.verdict().explain()
    world.append("nobody", "http_requests", world.with_coordinates(rows.slice(0, 1), "topic-of-requests", 900))
    assert "coordinates stored more than once" in wrong(world.verdict())
