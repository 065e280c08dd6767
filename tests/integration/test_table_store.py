"""Tables on real S3 (SeaweedFS): writers who race, a table deleted by hand, queries, stores that must be refused."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pydantic import SecretStr

from logflume.errors import Misconfigured, Refused, Retryable
from logflume.explore.ids import Ids
from logflume.settings import Settings
from logflume.table import log, snapshot
from logflume.table.bucket import Bucket
from logflume.table.probe import probe
from logflume.table.store import Store
from logflume.table.table import Table
from tests.support.asking import Asking
from tests.support.careless_store import careless_store
from tests.support.indexes import asked, asked_each, extended
from tests.support.services import S3
from tests.support.tables import DAY, NOON, SMALL, append, ids

APPENDS = 8  # a process; SeaweedFS lets the loser of a conditional put wait for a second


def connect(s3: S3, url: str) -> Store:
    return Store(url, endpoint=s3.endpoint, key=s3.access_key, secret=s3.secret_key)


@pytest.fixture
def store(s3: S3) -> Store:
    return connect(s3, s3.new_bucket())


def write(s3: S3, url: str, app_id: str, name: str) -> None:
    """One writer process: appends one row after the other."""
    own = connect(s3, url)
    for n in range(APPENDS):
        append(own, [f"{name}-{n}"], app_id, upto=n + 1)


def test_four_processes_that_write_one_table_store_each_row_once(s3: S3, store: Store) -> None:
    """Two of partitions of their own, two of the same one with the same rows: an owner, and a zombie."""
    context = multiprocessing.get_context("spawn")
    writers = [("one", "one"), ("two", "two"), ("shared", "same"), ("shared", "same")]
    processes = [context.Process(target=write, args=(s3, store.url, app_id, name)) for app_id, name in writers]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    assert ids(store) == sorted(f"{name}-{n}" for name in ("one", "two", "same") for n in range(APPENDS))
    assert Table(store, SMALL, "acme").progress("shared") == APPENDS


def test_a_table_deleted_by_hand_is_made_again(s3: S3, store: Store) -> None:
    for n in range(3):
        append(store, [f"{n}"], upto=n + 1)
    store.filesystem.delete_dir(store.full(store.table("acme", "http_requests")))
    append(store, ["3"], upto=4)
    assert ids(connect(s3, store.url)) == ["3"]


def test_checkpoints_bound_what_a_reader_reads(s3: S3, store: Store) -> None:
    for n in range(log.CHECKPOINT_EVERY + 3):
        append(store, [f"{n}"], upto=n + 1)
    path = f"{store.table('acme', 'http_requests')}/_delta_log"
    assert store.tag(f"{path}/{log.CHECKPOINT_EVERY:020}.checkpoint.parquet")
    assert store.tag(f"{path}/_last_checkpoint")
    fresh = connect(s3, store.url)
    assert append(fresh, ["x"], upto=log.CHECKPOINT_EVERY + 4).rows == 1
    assert len(ids(fresh)) == log.CHECKPOINT_EVERY + 4


def test_queries_skip_files_and_find_ids(store: Store) -> None:
    for day in range(3):
        append(store, [f"{day}-0", f"{day}-1"], upto=2 * day + 2, times=[NOON + day * DAY] * 2)
    asking = Asking(store, {"http_requests": SMALL})
    result = asking("acme", "SELECT RayID FROM http_requests WHERE _date = '2025-11-26'")
    assert sorted(result.table.column("RayID").to_pylist()) == ["1-0", "1-1"]
    assert (result.scanned.files, result.scanned.of_files) == (1, 3)
    assert [f.rows.num_rows for f in asking.find("acme", "2-1")] == [1]
    assert list(snapshot.list_tables(store)) == [("acme", "http_requests")]


def test_other_engines_read_the_table(s3: S3, store: Store) -> None:
    """docs/engines.md shows these ways."""
    append(store, ["a", "b"], times=[NOON, NOON + DAY], RequestHeaders=[[("k", "v")], None])
    append(store, ["c"], upto=3)
    path = store.table("acme", "http_requests")
    options = {name: value for name, value in store.delta_options.items() if name.startswith("AWS_")}
    frame = polars.read_delta(store.uri(path), storage_options=options)
    assert sorted(frame["RayID"].to_list()) == ["a", "b", "c"]
    assert sorted(str(date) for date in frame["_date"].to_list()) == ["2025-11-25", "2025-11-25", "2025-11-26"]
    table = DeltaTable(store.uri(path), storage_options=store.delta_options)
    connection = duckdb.connect()
    dataset = table.to_pyarrow_dataset()
    connection.register("http_requests", dataset)
    answer = connection.sql("SELECT RayID FROM http_requests WHERE _date = DATE '2025-11-26'").fetchall()
    assert answer == [("b",)]
    # No file has ClientRequestHost, and the second append's lacks RequestHeaders: all their readers find null.
    assert frame["ClientRequestHost"].null_count() == 3
    assert frame.filter(polars.col("RequestHeaders").is_null()).height == 2
    nulls = "SELECT count(*) - count(ClientRequestHost), count(*) - count(RequestHeaders) FROM http_requests"
    assert connection.sql(nulls).fetchall() == [(3, 2)]


def test_the_probe_accepts_a_store_with_atomic_puts(store: Store, tmp_path: Path) -> None:
    assert probe(store).rounds > 0
    assert probe(Store(f"file://{tmp_path}")).rounds > 0


def test_the_probe_refuses_a_store_that_ignores_the_condition() -> None:
    with careless_store() as endpoint:
        careless = Store("s3://bucket/prefix", endpoint=endpoint, key="key", secret="secret")
        with pytest.raises(Refused, match="it ignores If-None-Match"):
            probe(careless)


def test_a_slow_upload_is_waited_for_and_everything_else_is_not() -> None:
    names = {"region": "us-east-1", "key": "key", "secret": "secret"}
    with careless_store(bytes_per_second=1e6) as endpoint:
        bucket = Bucket("bucket", endpoint=endpoint, connect=5, request=1, upload=30, attempts=1, **names)
        bucket.put("data", pa.py_buffer(bytes(3_000_000)))
        with pytest.raises(OSError, match="Error performing PUT"):
            bucket.put_if_absent("entry", bytes(3_000_000))


def test_a_token_of_other_credentials_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(store_url="s3://bucket/prefix", store_access_key="key", store_secret_key=SecretStr("secret"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    with pytest.raises(Misconfigured, match="AWS_SESSION_TOKEN"):
        Store.from_settings(settings)


@pytest.mark.parametrize("url", ["s3://bucket/a//b", "file:///a//b"])
def test_an_address_with_an_empty_part_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="empty part"):
        Store(url)


def test_a_store_that_is_away_is_told_in_time() -> None:
    away = Store("s3://bucket/prefix", endpoint="http://127.0.0.1:1", key="key", secret="secret")
    begin = time.monotonic()
    with pytest.raises(Retryable):
        append(away, ["a"])
    with pytest.raises(Retryable):
        away.put_if_absent("x", b"x")
    assert time.monotonic() - begin < 60


def test_an_index_of_ids_is_read_by_short_requests_and_left_alone_by_delta_rs(s3: S3, store: Store) -> None:
    for file in range(6):
        append(store, [f"{file}-{row}" for row in range(40)], upto=1000 * (file + 1))
    made = extended(store)
    assert len(made.known) == 6
    by = Ids(store)
    for _ in range(2):  # the second time the store says that the catalogue has not changed
        [look] = asked_each(store, [["4-7"]], by=by)
        assert (int(look.may.sum()), look.unknown) == (1, set())
    by.close()
    found = Asking(store, {"http_requests": SMALL}).find("acme", "4-7")
    assert [(each.rows.num_rows, each.scanned.files, each.scanned.of_files) for each in found] == [(1, 1, 6)]
    table = DeltaTable(store.uri(store.table("acme", "http_requests")), storage_options=store.delta_options)
    for full in (False, True):
        assert table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=full) == []
    append(store, ["late"], upto=9_000)
    assert len(extended(store).known) == 7
    assert asked(store, ["late", "absent"]).may.sum() == 1


def test_the_stores_own_time_is_that_of_what_is_written_there(store: Store) -> None:
    began = store.now()
    assert began == pytest.approx(time.time(), abs=120)
    assert store.now() >= began, "S3 tells of the first object until it is written again"
    assert store.written_at("no/such/object") is None
