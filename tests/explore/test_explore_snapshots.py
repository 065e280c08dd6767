"""What is known of tables between queries: never older than the table, never of another of its name."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable

from logflume.errors import Refused, Retryable
from logflume.explore.snapshots import NoTable, Snapshots
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.table import log
from logflume.table.store import Store
from tests.support.asking import Asking
from tests.support.tables import NOON, SMALL, append


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}")


@pytest.fixture
def folder(store: Store) -> Path:
    return Path(store.full(store.table("acme", "http_requests")))


def test_a_kept_handle_sees_new_commits_and_reads_no_log_whole_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, ["a"], upto=1)
    snapshots = Snapshots(store)
    first = snapshots.read("acme", "http_requests")
    monkeypatch.setattr(log, "open_table", None)
    assert snapshots.read("acme", "http_requests") is first
    append(store, ["b", "c"], upto=3)
    second = snapshots.read("acme", "http_requests")
    assert (first.version, first.rows, second.version, second.rows) == (0, 1, 1, 3)
    assert second.size > first.size > 0


@pytest.mark.parametrize("commits", [1, 2, 5])
def test_a_table_deleted_and_made_again_is_read_anew_whatever_its_version(
    store: Store, folder: Path, commits: int
) -> None:
    """One that has come further would else be taken for the old one and its new commits."""
    for n in range(2):
        append(store, [f"old{n}"], upto=n + 1)
    snapshots = Snapshots(store)
    assert snapshots.read("acme", "http_requests").rows == 2
    shutil.rmtree(folder)
    for n in range(commits):
        append(Store(store.url), ["x", "y"], upto=2 * n + 2)
    found = snapshots.read("acme", "http_requests")
    assert (found.version, found.rows) == (commits - 1, 2 * commits)
    assert set(found.files.column("path").to_pylist()) == {str(p.relative_to(folder)) for p in folder.glob("_date*/*")}


def test_a_table_whose_next_entry_was_deleted_has_gone_on(store: Store, folder: Path) -> None:
    """As when its log is cleaned: the entry that is known may still be there when those after it are not."""
    append(store, ["a"], upto=1)
    snapshots = Snapshots(store)
    assert snapshots.read("acme", "http_requests").version == 0
    for n in range(3):
        append(store, ["b"], upto=n + 2)
    log.checkpoint(store, store.table("acme", "http_requests"))
    for version in (1, 2, 3):
        (folder / "_delta_log" / f"{version:020}.json").unlink()
    found = snapshots.read("acme", "http_requests")
    assert (found.version, found.rows) == (3, 4)


def test_a_deleted_table_is_none(store: Store, folder: Path) -> None:
    append(store, ["a"])
    snapshots = Snapshots(store)
    snapshots.read("acme", "http_requests")
    shutil.rmtree(folder)
    with pytest.raises(NoTable):
        snapshots.read("acme", "http_requests")
    append(Store(store.url), ["b"])
    assert snapshots.read("acme", "http_requests").rows == 1


def test_a_log_that_lacks_its_beginning_is_told(store: Store, folder: Path) -> None:
    append(store, ["a"], upto=1)
    append(store, ["b"], upto=2)
    snapshots = Snapshots(store)
    snapshots.read("acme", "http_requests")
    (folder / "_delta_log" / f"{0:020}.json").unlink()
    (folder / "_delta_log" / f"{1:020}.json").write_text('{"commitInfo":{}}')
    with pytest.raises((Refused, Retryable)):
        snapshots.read("acme", "http_requests")


def test_many_threads_each_get_a_whole_snapshot_and_the_newest_is_seen_afterwards(store: Store) -> None:
    append(store, ["0"], upto=1)
    snapshots = Snapshots(store)

    def read(_: int) -> tuple[int, int]:
        found = snapshots.read("acme", "http_requests")
        return found.version, found.rows

    with ThreadPoolExecutor(4) as threads:
        seen = threads.map(read, range(40))
        for n in range(1, 6):
            append(store, [str(n)], upto=n + 1)
        assert all(rows == version + 1 for version, rows in seen)
    assert read(0) == (5, 6)


def test_rows_of_a_file_compacted_by_delta_rs_are_found_to_the_microsecond(store: Store) -> None:
    """Its log holds times cut to milliseconds."""
    last = NOON + 1_000_123_457_000
    for n, at in enumerate([NOON, last]):
        append(store, [str(n)], upto=n + 1, times=[at])
    DeltaTable(store.uri(store.table("acme", "http_requests"))).optimize.compact()
    sql = "SELECT RayID FROM http_requests WHERE EdgeStartTimestamp > '2025-11-25T12:16:40.123456Z'"
    assert Asking(store, {"http_requests": SMALL})("acme", sql).table.to_pylist() == [{"RayID": "1"}]


def test_a_field_that_the_dataset_has_got_since_is_null_until_rows_with_it_come(store: Store) -> None:
    append(store, ["a"], ClientRequestHost=["example.com"])
    more = Dataset(
        "http_requests",
        (*SMALL.fields, Field("New", FieldType.STRING), Field("NewMap", FieldType.MAP)),
        time_field="EdgeStartTimestamp",
    )
    ask = Asking(store, {"http_requests": more})
    found = ask("acme", "SELECT RayID, New, NewMap FROM http_requests WHERE contains_text('EXAMPLE') AND New IS NULL")
    assert found.table.to_pylist() == [{"RayID": "a", "New": None, "NewMap": None}]
