"""The Delta append on a local folder: what is stored, when, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from logflume import crash, metrics
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.model.dataset import Field, FieldType
from logflume.table import log, parquet, snapshot
from logflume.table.store import Heads, Store
from logflume.table.table import Table
from tests.support import tables
from tests.support.asking import Asking
from tests.support.tables import DAY, NOON, SMALL, TroubledStore, append, held, ids


@pytest.fixture
def store(tmp_path: Path) -> TroubledStore:
    return TroubledStore(f"file://{tmp_path}")


def another(store: Store) -> TroubledStore:
    """The same store as another process sees it: with no memory of any table."""
    return TroubledStore(store.url)


def test_rows_and_how_far_they_reach_are_one_commit(store: TroubledStore) -> None:
    done = append(store, ["a", "b"])
    assert (done.version, done.files, done.rows, done.skipped) == (0, 1, 2, 0)
    done = append(store, ["c"], upto=3)
    assert (done.version, done.rows) == (1, 1)
    table = DeltaTable(store.uri(store.table("acme", "http_requests")))
    assert table.version() == 1
    assert table.transaction_version("app") == 3
    assert Table(another(store), SMALL, "acme").progress("app") == 3
    assert ids(store) == ["a", "b", "c"]


def test_a_repeated_append_changes_nothing(store: TroubledStore) -> None:
    append(store, ["a", "b"])
    for same in (store, another(store)):
        done = append(same, ["a", "b"])
        assert (done.rows, done.skipped, done.files) == (0, 2, 0)
    assert ids(store) == ["a", "b"]


def test_another_cut_stores_only_what_is_not_there(store: TroubledStore) -> None:
    append(store, ["a", "b", "c"])
    done = append(another(store), ["b", "c", "d", "e"], upto=5)
    assert (done.rows, done.skipped) == (2, 2)
    assert ids(store) == ["a", "b", "c", "d", "e"]


def test_a_zombie_stores_only_rows_that_nobody_has_stored(store: TroubledStore) -> None:
    append(store, ["a"])
    successor = another(store)
    append(successor, ["b", "c"], upto=3)
    done = append(store, ["b"], upto=2)  # it still believes that the table holds up to 1
    assert (done.rows, done.skipped) == (0, 1)
    done = append(store, ["b", "c", "d"], upto=4)
    assert (done.rows, done.skipped) == (1, 2)
    assert ids(store) == ["a", "b", "c", "d"]


def test_a_commit_that_succeeded_unheard_is_not_repeated(store: TroubledStore) -> None:
    append(store, ["a"])
    store.trouble = "unheard"
    append(store, ["b"], upto=2)
    assert ids(store) == ["a", "b"]


def test_a_commit_that_failed_is_tried_again(store: TroubledStore) -> None:
    append(store, ["a"])
    store.trouble = "fail"
    assert append(store, ["b"], upto=2).rows == 1
    assert ids(store) == ["a", "b"]


def test_a_table_made_again_with_an_entry_as_long_is_not_taken_for_the_old_one(store: TroubledStore) -> None:
    append(store, ["a"], upto=6)
    folder = Path(store.full(store.table("acme", "http_requests")))
    old = (folder / "_delta_log" / f"{0:020}.json").stat().st_size
    shutil.rmtree(folder)
    append(another(store), ["b"], upto=4)
    assert (folder / "_delta_log" / f"{0:020}.json").stat().st_size == old
    assert append(store, ["c", "d", "e"], upto=7).rows == 3  # on the old head it would be the last alone
    assert ids(store) == ["b", "c", "d", "e"]


def test_a_store_that_stays_away_is_told_and_no_file_is_deleted(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, ["a"])

    def away(path: str, data: bytes) -> str | None:
        raise Retryable("the store is away")

    monkeypatch.setattr(store, "put_if_absent", away)
    monkeypatch.setattr("logflume.table.table._PAUSE_SECONDS", (0.0, 0.0))
    with pytest.raises(Retryable, match=r"append up to 2 of app failed.*the store is away"):
        append(store, ["b"], upto=2)
    folder = Path(store.full(store.table("acme", "http_requests")))
    assert len(list(folder.glob("_date=*/*.parquet"))) == 2  # T4: its commit may yet turn out to have succeeded


def test_writers_of_other_partitions_only_delay_one_another(store: TroubledStore) -> None:
    append(store, ["a"], "one")
    other = another(store)
    append(other, ["b"], "two")
    append(store, ["c"], "one", upto=2)
    append(other, ["d"], "two", upto=2)
    assert ids(store) == ["a", "b", "c", "d"]


def test_creators_who_race_make_one_table_with_all_rows(store: TroubledStore) -> None:
    barrier = threading.Barrier(4)

    def create(writer: int) -> None:
        own = another(store)
        barrier.wait()
        append(own, [f"{writer}"], f"app{writer}")

    threads = [threading.Thread(target=create, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(store) == ["0", "1", "2", "3"]


def test_writers_of_one_process_take_turns_at_a_table_and_meet_no_conflict(store: TroubledStore) -> None:
    """As the shards of a tenant do."""
    writers, rounds = 4, 5
    for writer in range(writers):
        append(store, [f"{writer}-0"], f"app{writer}")
    conflicts = metrics.TABLE_CONFLICTS.labels(SMALL.name)._value
    before, barrier = conflicts.get(), threading.Barrier(writers)

    def write(writer: int) -> None:
        for number in range(1, rounds):
            barrier.wait()
            append(store, [f"{writer}-{number}"], f"app{writer}", upto=number + 1)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(store)) == sorted(f"{w}-{n}" for w in range(writers) for n in range(rounds))
    assert conflicts.get() == before
    assert len(store.turns) == 0


def test_our_commits_and_those_of_delta_rs_see_each_other(store: TroubledStore) -> None:
    append(store, ["a"])
    path = store.uri(store.table("acme", "http_requests"))
    stale = DeltaTable(path)
    append(store, ["b"], upto=2)
    row = stale.to_pyarrow_table().slice(0, 1)
    properties = CommitProperties(app_transactions=[Transaction("app", 2)])
    with pytest.raises(Exception, match="Concurrent transaction"):
        write_deltalake(stale, row, mode="append", commit_properties=properties)
    properties = CommitProperties(app_transactions=[Transaction("app", 3)])
    write_deltalake(DeltaTable(path), row, mode="append", commit_properties=properties)
    assert append(store, ["c"], upto=3).skipped == 1  # delta-rs has brought the table to 3
    append(store, ["d"], upto=4)
    assert len(ids(store)) == 4


def test_a_table_deleted_by_hand_is_made_again(store: TroubledStore) -> None:
    for n in range(3):
        append(store, [f"{n}"], upto=n + 1)
    folder = Path(store.full(store.table("acme", "http_requests")))
    shutil.rmtree(folder)
    assert append(store, ["3"], upto=4).version == 0
    assert ids(another(store)) == ["3"]
    shutil.rmtree(folder)
    (folder / "_delta_log").mkdir(parents=True)  # as on S3, where a missing folder stops nobody
    append(store, ["4"], upto=5)
    append(another(store), ["x"], "other")
    assert ids(store) == ["4", "x"]


def test_a_table_whose_log_lost_its_beginning_is_refused(store: TroubledStore) -> None:
    for n in range(3):
        append(store, [f"{n}"], upto=n + 1)
    Path(store.full(log.entry_path(store.table("acme", "http_requests"), 0))).unlink()
    with pytest.raises(Refused, match="the log lacks its beginning"):
        append(another(store), ["3"], upto=4)


def test_a_new_field_of_the_dataset_becomes_a_column_that_older_files_lack(store: TroubledStore) -> None:
    append(store, ["a"])
    grown = dataclasses.replace(SMALL, fields=(*SMALL.fields, Field("ClientASN", FieldType.INT)))
    append(store, ["b"], upto=2, dataset=grown, ClientASN=[7])
    rows = DeltaTable(store.uri(store.table("acme", "http_requests"))).to_pyarrow_table(columns=["RayID", "ClientASN"])
    assert dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True)) == {"a": None, "b": 7}
    append(store, ["c"], upto=3)  # a worker with the older dataset goes on
    assert ids(store) == ["a", "b", "c"]


def test_a_field_of_another_type_is_refused(store: TroubledStore) -> None:
    append(store, ["a"])
    fields = tuple(Field(f.name, FieldType.STRING) if f.name == "EdgeResponseStatus" else f for f in SMALL.fields)
    changed = dataclasses.replace(SMALL, fields=fields)
    with pytest.raises(Refused, match="column EdgeResponseStatus is long there, and string in the dataset"):
        append(another(store), ["b"], upto=2, dataset=changed)


def test_a_table_that_hides_old_transactions_is_refused(store: TroubledStore) -> None:
    append(store, ["a"])
    table = DeltaTable(store.uri(store.table("acme", "http_requests")))
    table.alter.set_table_properties({"delta.setTransactionRetentionDuration": "interval 1 days"})
    for writer in (store, another(store)):
        with pytest.raises(Refused, match="setTransactionRetentionDuration"):
            append(writer, ["b"], upto=2)


def test_a_table_that_asks_more_of_its_writers_is_refused(store: TroubledStore) -> None:
    append(store, ["a"])
    table = DeltaTable(store.uri(store.table("acme", "http_requests")))
    table.alter.add_constraint({"positive": "_src_offset >= 0"})
    with pytest.raises(Refused, match="version 3 of Delta's protocol"):
        append(another(store), ["b"], upto=2)


def test_checkpoints_are_made_and_progress_survives_them(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHECKPOINT_EVERY", 3)
    for n in range(8):
        append(store, [f"{n}"], upto=n + 1)
    folder = Path(store.full(store.table("acme", "http_requests"))) / "_delta_log"
    assert [int(p.name[:20]) for p in sorted(folder.glob("*.checkpoint.parquet"))] == [3, 6]
    for old in range(6):
        (folder / f"{old:020}.json").unlink()
    assert append(another(store), ["7", "8"], upto=9).rows == 1
    assert len(ids(store)) == 9


def test_a_checkpoint_that_fails_fails_no_append(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: Store, path: str) -> None:
        raise Retryable("no")

    append(store, ["a"])
    monkeypatch.setattr(log, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(log, "checkpoint", broken)
    assert append(store, ["b"], upto=2).rows == 1


def test_the_crash_point_lies_between_file_and_commit(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def point(name: str) -> None:
        assert name == "table.file-written"
        raise tables.Crash

    append(store, ["a"])
    monkeypatch.setattr(crash, "point", point)
    with pytest.raises(tables.Crash):
        append(store, ["b"], upto=2)
    assert ids(store) == ["a"]
    folder = Path(store.full(store.table("acme", "http_requests")))
    assert len(list(folder.glob("_date=*/*.parquet"))) == 2


def test_rows_come_back_as_they_were(store: TroubledStore) -> None:
    append(
        store,
        ["a", None],  # type: ignore[list-item]
        times=[NOON + 1_234_567, None],
        ClientRequestHost=["h", None],
        EdgeResponseStatus=[2**63 - 1, None],
        RequestHeaders=[[("k", "v"), ("n", None)], None],
        BotTags=[["x", None], []],
        _extra=['{"odd":1}', None],
    )
    first, second = sorted(held(store).to_pylist(), key=lambda row: row["_src_offset"])
    assert first["EdgeStartTimestamp"].microsecond == 1234
    assert first["_extra"] == '{"EdgeStartTimestamp_ns":567,"odd":1}'
    assert first["RequestHeaders"] == [("k", "v"), ("n", None)]
    assert (first["BotTags"], second["BotTags"], second["RequestHeaders"]) == (["x", None], [], None)
    assert (first["EdgeResponseStatus"], second["RayID"]) == (2**63 - 1, None)
    assert (first["_src_topic"], first["_src_offset"], first["_src_row"]) == ("topic", 0, 0)
    assert first["_date"] == second["_date"] == "2025-11-25"  # the second has no time: its arrival's


def test_times_before_1970_keep_their_instant_and_date() -> None:
    rows = parquet.at_rest(tables.rows(["a"], times=[-1]), SMALL)
    assert rows.column("EdgeStartTimestamp").cast(pa.int64()).to_pylist() == [-1]  # microseconds, floored
    assert rows.column("_extra").to_pylist() == ['{"EdgeStartTimestamp_ns":999}']
    assert [date for date, _ in parquet.by_date(rows, "EdgeStartTimestamp")] == ["1969-12-31"]


@pytest.mark.parametrize("text", ["{}", " { }", '\n{"odd":1} '])
def test_the_rest_of_a_time_joins_an_extra_however_that_is_spelt(text: str) -> None:
    rows = parquet.at_rest(tables.rows(["a"], times=[NOON + 7], _extra=[text]), SMALL)
    [noted] = rows.column("_extra").to_pylist()
    assert json.loads(noted) == {"EdgeStartTimestamp_ns": 7} | json.loads(text)


def test_a_thousand_late_dates_make_seventeen_files_and_lose_no_row(store: TroubledStore) -> None:
    names = [f"{n}" for n in range(1000)]
    done = append(store, names, times=[NOON - DAY * (n + 1) for n in range(1000)])
    assert done.files == parquet.MOST_DATES + 1
    rows = held(store)
    assert sorted(rows.column("RayID").to_pylist()) == sorted(names)
    assert len(set(rows.column("EdgeStartTimestamp").to_pylist())) == 1000
    own = [row for row in rows.to_pylist() if row["_date"] == row["EdgeStartTimestamp"].date().isoformat()]
    assert len(own) == parquet.MOST_DATES
    assert {row["_date"] for row in rows.to_pylist() if row not in own} == {"2025-11-25"}  # that of their arrival


def test_the_dates_with_the_most_rows_get_their_own_file() -> None:
    days = [n for n in range(40) for _ in range(2 if n < 16 else 1)]
    rows = parquet.at_rest(tables.rows([str(d) for d in days], times=[NOON - DAY * (d + 1) for d in days]), SMALL)
    parts = dict(parquet.by_date(rows, "EdgeStartTimestamp"))
    assert sorted(part.num_rows for part in parts.values()) == [2] * 16 + [24]


def test_bounds_in_the_log_enclose_every_row_to_the_microsecond(store: TroubledStore) -> None:
    append(store, ["a", "b", "c"], times=[NOON + 1_999_000, NOON + 999, None])
    table = DeltaTable(store.uri(store.table("acme", "http_requests")))
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()[0]
    low, high = actions["min.EdgeStartTimestamp"], actions["max.EdgeStartTimestamp"]
    assert (low.microsecond, high.microsecond) == (0, 1999)
    assert (actions["num_records"], actions["null_count.EdgeStartTimestamp"]) == (3, 1)
    assert (actions["min._src_offset"], actions["max._src_offset"]) == (0, 2)


def test_the_head_of_a_table_is_remembered_for_so_many_tables() -> None:
    heads = Heads(2)
    head = log.Head(0, ("x", 1), frozenset(), {})
    for path in ("a", "b", "a", "c"):
        heads.put(path, head)
    assert (heads.get("a"), heads.get("b"), len(heads)) == (head, None, 2)


def test_a_known_table_is_appended_to_without_reading_its_log(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, ["a"])

    def read(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(log, "open_table", read)
    append(store, ["b"], upto=2)


def test_who_lost_a_race_reads_only_the_entries_since(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, ["a"])
    append(another(store), ["other"], "other", upto=1)
    append(another(store), ["a", "b"], upto=2)

    def read(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(log, "open_table", read)
    assert append(store, ["a", "b", "c"], upto=3).rows == 1
    monkeypatch.undo()
    assert ids(store) == ["a", "b", "c", "other"]


def test_who_lost_a_race_to_a_change_of_columns_reads_the_log(store: TroubledStore) -> None:
    append(store, ["a"])
    wider = dataclasses.replace(SMALL, fields=(*SMALL.fields, Field("New", FieldType.INT)))
    append(another(store), ["b"], "other", upto=1, dataset=wider, New=[1])
    assert append(store, ["c"], upto=2).rows == 1
    head = store.heads.get("tables/acme/http_requests")
    assert head is not None
    assert "New" in head.columns


def test_entries_of_a_table_that_was_made_again_are_not_taken_for_the_old_ones(store: TroubledStore) -> None:
    append(store, ["a"])
    shutil.rmtree(store.full("tables/acme"))
    again = another(store)
    for n in range(3):
        append(again, [f"{n}"], "other", upto=n + 1)
    assert append(store, ["a", "b"], upto=2).rows == 2
    assert Table(another(store), SMALL, "acme").progress("other") == 3
    assert ids(store) == ["0", "1", "2", "a", "b"]


def test_offsets_at_or_past_the_end_are_a_mistake_of_the_caller(store: TroubledStore) -> None:
    with pytest.raises(ValueError, match="1 offsets up to 5"):
        Table(store, SMALL, "acme").append("app", 5, np.array([5]), tables.rows(["a"]))


def test_tables_and_their_files_are_listed(store: TroubledStore) -> None:
    assert list(snapshot.list_tables(store)) == []
    append(store, ["a", "b"], tenant="globex")
    append(store, ["c"])
    (Path(store.full("tables")) / "initech" / "http_requests").mkdir(parents=True)
    assert list(snapshot.list_tables(store)) == [("acme", "http_requests"), ("globex", "http_requests")]
    held = snapshot.read(store, "globex", "http_requests")
    assert held is not None
    assert (held.rows, held.version, [file.date for file in held.files]) == (2, 0, ["2025-11-25"])
    assert held.size == sum(Path(store.full(f"{held.path}/{file.path}")).stat().st_size for file in held.files)
    assert snapshot.read(store, "nobody", "http_requests") is None


@pytest.mark.parametrize("url", ["gs://bucket", "file://relative", "s3://", "/plain"])
def test_a_store_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(Misconfigured, match="store"):
        Store(url)


def test_no_tenant_reaches_outside_the_tables(store: TroubledStore) -> None:
    for name in ("..", "a/b", ".hidden", ""):
        with pytest.raises(Misconfigured):
            store.table(name, "http_requests")


def test_folders_with_odd_names_work(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/with%20space")
    append(store, ["a"])
    append(store, ["b"], upto=2)
    assert (tmp_path / "with space" / "tables").is_dir()
    assert ids(store) == ["a", "b"]


def test_a_field_without_any_value_is_in_no_file_and_is_read_as_null(store: TroubledStore) -> None:
    """Not even the id and the time: such rows are filed under their day of arrival."""
    append(store, ["a"], RequestHeaders=[[("k", "v")]])
    append(store, [None, None], upto=3, EdgeStartTimestamp=[None, None], _received=[NOON + DAY] * 2)
    path = store.table("acme", "http_requests")
    table = DeltaTable(store.uri(path))
    files = {name.split("/")[0]: name for name in pa.table(table.get_add_actions()).column("path").to_pylist()}
    columns = {date: set(pq.read_schema(Path(store.full(path)) / name).names) for date, name in files.items()}
    own = {"_received", "_src_topic", "_src_partition", "_src_offset", "_src_row"}
    assert columns["_date=2025-11-25"] == own | {"RayID", "EdgeStartTimestamp", "RequestHeaders"}
    assert columns["_date=2025-11-26"] == own
    rows = table.to_pyarrow_table()
    assert rows.column("RayID").null_count == 2
    assert rows.column("RequestHeaders").null_count == 2
    stats = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert {row["partition._date"].isoformat(): row["null_count.EdgeStartTimestamp"] for row in stats} == {
        "2025-11-25": 0,
        "2025-11-26": 2,
    }
    found = Asking(store, {"http_requests": SMALL}).find("acme", "a", "http_requests")
    assert [each.rows.num_rows for each in found] == [1]
