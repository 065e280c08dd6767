"""The care of tables on a local folder: merging, retention, holds, vacuum, deletion; and who comes between."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from structlog.testing import capture_logs

from logflume import metrics
from logflume.care import change, deletion, hold, merging, vacuum
from logflume.care.look import Carer, Look
from logflume.care.timekeeper import Timekeeper
from logflume.care.worker import Worker
from logflume.clock import ManualClock
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.model.dataset import Dataset, Datasets, Field, FieldType
from logflume.settings import Settings
from logflume.table import log, snapshot
from logflume.table.log import Change
from logflume.table.saved import SavedQueries
from logflume.table.store import Store
from logflume.table.table import Table
from tests.support.tables import DAY, NOON, SMALL, TroubledStore, append, held, ids, rows

PATH = "tables/acme/http_requests"


@pytest.fixture
def store(tmp_path: Path) -> TroubledStore:
    return TroubledStore(f"file://{tmp_path}")


def another(store: Store) -> TroubledStore:
    return TroubledStore(store.url)


def carer(
    store: Store, at: int = NOON, dataset: Dataset = SMALL, told: Callable[[], float] | None = None, **settings: Any
) -> Carer:
    """Its clock stands, and so does the store's, or ``told``."""
    clock = ManualClock(at)
    declared = Datasets({dataset.name: dataset})
    return Carer(Settings(**settings), declared, store, clock, told or (lambda: clock.now_ns() / 1e9))


def look(store: Store, days: int | None = 30, at: int = NOON, **settings: Any) -> Look:
    return carer(store, at, **settings).look("acme", "http_requests", days)


def fill(store: Store, files: int = 8, **columns: Any) -> None:
    for n in range(files):
        append(
            store, [f"{n}-{i}" for i in range(3)], upto=3 * n + 3, _src_offset=[3 * n, 3 * n + 1, 3 * n + 2], **columns
        )


def files(store: Store) -> list[str]:
    return [file.path for file in snapshot.read(store, "acme", "http_requests").files]  # type: ignore[union-attr]


def by_coordinates(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.sort_by([("_src_partition", "ascending"), ("_src_offset", "ascending")]).to_pylist()


def whole(store: Store) -> list[dict[str, Any]]:
    """Every row with every column that any row has a value in."""
    names = [field.name for field in SMALL.schema] + ["_received", "_extra", "_src_topic", "_src_partition"]
    rows = held(store)
    names = [name for name in [*names, "_src_offset", "_src_row", "_date"] if name in rows.schema.names]
    return by_coordinates(rows.select(names))


def property_of(store: Store, name: str) -> str | None:
    return DeltaTable(store.uri(PATH)).metadata().configuration.get(name)


# --- merging ----------------------------------------------------------------------------------------------------------


def test_small_files_become_one_with_the_same_rows(store: TroubledStore) -> None:
    fill(store, RequestHeaders=[[("k", "v")], None, []], BotTags=[["x", "y"], [], None], _extra=[None, '{"a":1}', None])
    before, expected = len(files(store)), whole(store)
    done = look(store, days=None, at=time.time_ns())
    assert (before, done.merged_files, done.into_files, len(files(store))) == (8, 8, 1, 1)
    assert whole(store) == expected
    assert look(store, days=None, at=time.time_ns()).worked is False


def test_a_worker_shows_how_many_small_files_its_tables_have_left(store: TroubledStore) -> None:
    fill(store)
    share: Any = SimpleNamespace(failure=None, mine=lambda tenant, dataset: True)
    worker = Worker(Settings(), carer(store), store, None, share, ManualClock(NOON))  # type: ignore[arg-type]
    assert worker.turn()
    worker.turn()
    value = metrics.REGISTRY.get_sample_value
    assert value("logflume_care_small_files", {"dataset": "http_requests"}) == 1
    share.mine = lambda tenant, dataset: False
    worker.turn()
    assert value("logflume_care_small_files", {"dataset": "http_requests"}) is None


def test_a_table_waits_for_its_care_also_while_somebody_looks_at_it_and_does_not_come_to_an_end(
    store: TroubledStore,
) -> None:
    fill(store)
    share: Any = SimpleNamespace(failure=None, mine=lambda tenant, dataset: True)
    clock, waited = ManualClock(NOON), []

    def late() -> float | None:
        return metrics.REGISTRY.get_sample_value("logflume_care_late_seconds")

    def hang(*_: Any) -> Look:
        clock.advance(5 * 3600)
        waited.append(late())
        return Look("acme", "http_requests")

    worker = Worker(Settings(), SimpleNamespace(look=hang), store, None, share, clock)  # type: ignore[arg-type]
    assert late() == 0
    assert worker.turn()
    assert not worker.turn()
    assert (waited, late()) == ([5 * 3600], 0)
    clock.advance(Settings().care_seconds * 2 + 60)
    assert late() == 60


def test_columns_that_only_some_files_have_are_null_elsewhere_and_keep_their_values(store: TroubledStore) -> None:
    for n, extra in enumerate(
        [{}, {"ClientRequestHost": ["h"]}, {"EdgeResponseStatus": [403]}, {"_extra": ['{"a":1}']}]
    ):
        append(store, [f"{n}"], upto=n + 1, _src_offset=[n], **extra)
    look(store)
    [path] = files(store)
    rows = by_coordinates(held(store))
    assert [row["ClientRequestHost"] for row in rows] == [None, "h", None, None]
    assert [row["EdgeResponseStatus"] for row in rows] == [None, None, 403, None]
    assert [row["_extra"] for row in rows] == [None, None, None, '{"a":1}']
    assert "BotTags" not in pq.read_schema(f"{store.full(PATH)}/{path}").names


def test_a_column_that_the_dataset_has_no_more_is_kept(store: TroubledStore) -> None:
    wider = Dataset("http_requests", (*SMALL.fields, Field("Old", FieldType.STRING)), SMALL.time_field, SMALL.id_field)
    for n in range(4):
        append(store, [f"{n}"], upto=n + 1, dataset=wider, Old=[f"old-{n}"], _src_offset=[n])
    look(store)
    assert len(files(store)) == 1
    assert [row["Old"] for row in by_coordinates(held(store))] == ["old-0", "old-1", "old-2", "old-3"]


def test_a_merged_file_is_written_as_a_sink_writes_it(store: TroubledStore) -> None:
    """Bloom filter, page index, encodings, row groups; bounds in the log to the microsecond."""
    for n in range(4):
        many = [f"{n}-{i}" for i in range(30_000)]
        append(store, many, upto=30_000 * (n + 1), times=[NOON + 1000 * (30_000 * n + i) for i in range(30_000)])
    written = pq.ParquetFile(f"{store.full(PATH)}/{files(store)[0]}").metadata
    look(store)
    [path] = files(store)
    metadata = pq.ParquetFile(f"{store.full(PATH)}/{path}").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [100_000, 20_000]
    for group in range(2):
        for number in range(metadata.num_columns):
            one, as_sinks = metadata.row_group(group).column(number), written.row_group(0).column(number)
            assert one.path_in_schema == as_sinks.path_in_schema
            assert (one.bloom_filter_offset is None) == (as_sinks.bloom_filter_offset is None)
            assert (one.encodings, one.compression) == (as_sinks.encodings, as_sinks.compression)
            assert (one.is_stats_set, one.has_column_index) == (as_sinks.is_stats_set, as_sinks.has_column_index)
    [entry] = pa.table(DeltaTable(store.uri(PATH)).get_add_actions(flatten=True)).to_pylist()
    assert entry["num_records"] == 120_000
    assert entry["max.EdgeStartTimestamp"] == datetime.fromtimestamp(NOON / 1e9, UTC) + timedelta(microseconds=119_999)
    assert entry["null_count.EdgeStartTimestamp"] == 0


def test_rows_keep_the_order_in_which_they_came(store: TroubledStore) -> None:
    for n in (0, 1, 2, 3):
        append(store, [f"{n}-{i}" for i in range(3)], upto=3 * n + 3, _received=[NOON + n * 10**9] * 3)
    look(store)
    assert held(store).column("RayID").to_pylist() == [f"{n}-{i}" for n in range(4) for i in range(3)]


def test_no_progress_of_a_sink_is_touched(store: TroubledStore) -> None:
    """A repeat of everything stores nothing, neither by who remembers the table nor by who reads it."""
    fill(store)
    append(store, ["other"], "other", upto=7, _src_offset=[99])
    look(store)
    log.checkpoint(store, PATH)
    log.forget(store, PATH)
    for sink in (store, another(store)):
        assert Table(sink, SMALL, "acme").progress("app") == 24
        assert append(sink, ["7-0", "7-1", "7-2"], upto=24).rows == 0
        assert append(sink, ["other"], "other", upto=7).rows == 0
    assert len(ids(store)) == 25


def test_a_sink_that_remembers_an_older_version_appends_on_top_of_it(store: TroubledStore) -> None:
    fill(store)
    look(another(store))
    assert append(store, ["x"], upto=25).rows == 1
    assert len(ids(store)) == 25


def between(store: TroubledStore, act: Callable[[], object]) -> None:
    """Have somebody else act just before the next commit is put."""

    def once() -> None:
        act()

    store.trouble = once


def test_c1_an_append_between_reading_and_committing_is_kept(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: append(another(store), ["x"], upto=25))
    done = look(store)
    assert done.merged_files == 8
    assert len(files(store)) == 2
    assert len(ids(store)) == 25


def test_m1_a_merge_gives_up_when_one_of_its_files_went(store: TroubledStore) -> None:
    fill(store)
    expected = ids(store)
    between(store, lambda: look(another(store)))
    done = look(store)
    assert done.merged_files == 0
    assert "went meanwhile" in done.notes[0]
    assert ids(store) == expected


def test_a_commit_that_succeeded_unheard_is_known_again(store: TroubledStore) -> None:
    fill(store)
    expected = ids(store)
    store.trouble = "unheard"
    assert look(store).merged_files == 8
    assert ids(store) == expected


def test_m2_a_file_with_other_rows_than_the_log_says_is_not_merged(store: TroubledStore) -> None:
    fill(store)
    paths = files(store)
    short = pq.read_table(f"{store.full(PATH)}/{paths[0]}", partitioning=None).slice(1)
    pq.write_table(short, f"{store.full(PATH)}/{paths[0]}")
    [note] = look(store).notes
    assert "hold 23 rows, and the log says 24" in note
    assert files(store) == paths


def test_a_merge_that_took_too_long_is_not_committed(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vacuum may have taken its file (T7)."""
    fill(store)
    clock = ManualClock(NOON)
    write = merging._write
    monkeypatch.setattr(merging, "_write", lambda *args: (write(*args), clock.advance(3700))[0])
    held_files = snapshot.read(store, "acme", "http_requests").files  # type: ignore[union-attr]
    assert merging.merge(store, PATH, SMALL, held_files, clock) is None
    assert len(files(store)) == 8


def test_a_dry_run_says_what_would_be_done_and_does_nothing(store: TroubledStore) -> None:
    fill(store)
    version = DeltaTable(store.uri(PATH)).version()
    done = carer(store, NOON + 40 * DAY).look("acme", "http_requests", 30, dry_run=True)
    assert (done.expired_files, done.expired_rows) == (8, 24)
    assert DeltaTable(store.uri(PATH)).version() == version
    assert len(files(store)) == 8


def test_a_dataset_that_is_not_declared_any_more_is_not_merged_but_still_expires(store: TroubledStore) -> None:
    fill(store)
    other = carer(store, NOON, Dataset("dns_logs", SMALL.fields, SMALL.time_field, SMALL.id_field))
    assert "not declared" in other.look("acme", "http_requests", 30).notes[0]
    assert len(files(store)) == 8


# --- retention and holds ----------------------------------------------------------------------------------------------


def test_files_expire_whole_with_their_youngest_row(store: TroubledStore) -> None:
    append(store, ["old"], upto=1, _received=[NOON - 31 * DAY], at=NOON - 31 * DAY)
    append(store, ["mixed-old", "mixed-new"], upto=3, _received=[NOON - 31 * DAY, NOON - 29 * DAY], at=NOON - 29 * DAY)
    append(store, ["new"], upto=4)
    done = look(store, days=30)
    assert (done.expired_files, done.expired_rows) == (1, 1)
    assert ids(store) == ["mixed-new", "mixed-old", "new"]
    assert Table(another(store), SMALL, "acme").progress("app") == 4


def test_what_nobody_configured_never_expires(store: TroubledStore) -> None:
    """A configuration that lost a tenant must not lose its rows."""
    fill(store)
    done = look(store, days=None, at=NOON + 4000 * DAY)
    assert done.expired_files == 0
    assert "not in the configuration" in done.notes[0]


def test_a_carer_whose_clock_differs_from_the_stores_changes_nothing(store: TroubledStore) -> None:
    """By its own time every row would have expired, and every file of no commit would be old."""
    fill(store)
    store.write(f"{PATH}/_date=2025-11-25/about-to-be-committed.parquet", pa.py_buffer(b"rows"))
    before, version = objects(store), DeltaTable(store.uri(PATH)).version()
    for wrong in (NOON + 4000 * DAY, NOON - 4000 * DAY):
        with capture_logs() as told, pytest.raises(Refused, match=r"4000 days, 0:00:00 (ahead of|behind) the store's"):
            carer(store, wrong, told=lambda: NOON / 1e9).look("acme", "http_requests", 30)
        assert told[0]["event"] == "care.clock-differs"
        assert metrics.total(metrics.CARE_CLOCK) == pytest.approx((wrong - NOON) / 1e9)
    assert (objects(store), DeltaTable(store.uri(PATH)).version()) == (before, version)


def test_a_clock_that_is_set_while_files_are_merged_lets_nothing_be_vacuumed(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    clock = ManualClock(NOON)
    merge = merging.merge

    def jump(*args: Any) -> Any:
        clock._now_ns += 400 * DAY
        return merge(*args)

    monkeypatch.setattr(merging, "merge", jump)
    monkeypatch.setattr(vacuum, "vacuum", lambda *_: pytest.fail("vacuumed by a wrong clock"))
    with pytest.raises(Refused, match="400 days"):
        Carer(Settings(), Datasets({SMALL.name: SMALL}), store, clock, lambda: NOON / 1e9).look(
            "acme", "http_requests", None
        )


def test_the_store_is_asked_for_its_time_once_a_minute_and_when_the_clock_jumps(store: TroubledStore) -> None:
    clock, asked = ManualClock(NOON), [0]

    def told() -> float:
        asked[0] += 1
        return clock.now_ns() / 1e9

    keeper = Timekeeper(clock, told)
    for expected, seconds in ((1, 0), (1, 50), (2, 20), (2, 59)):
        clock.advance(seconds)
        keeper.agree()
        assert asked[0] == expected
    clock._now_ns += 3600 * 10**9  # as after a sleep of the machine: the store says so too
    keeper.agree()
    assert asked[0] == 3


def test_the_stores_own_time_is_that_of_what_is_written_there(store: TroubledStore) -> None:
    assert store.now() == pytest.approx(time.time(), abs=60)
    assert store.written_at("no/such/object") is None


def test_rows_stamped_by_a_wrong_clock_are_kept_from_when_they_were_stored(store: TroubledStore) -> None:
    """An edge in 1970 loses none that came just now; one in 2099 does not have them kept for ever."""
    append(store, ["past"], upto=1, _received=[DAY])
    append(store, ["future"], upto=2, _received=[NOON + 30_000 * DAY])
    done = look(store, at=NOON + 29 * DAY)
    assert done.expired_files == 0
    assert "2 files hold rows that arrived at no time to believe" in done.notes[0]
    assert ids(store) == ["future", "past"], "merged, with the time at which they were stored"
    assert len(files(store)) == 1
    assert look(store, at=NOON + 29 * DAY).expired_files == 0
    assert look(store, at=NOON + 31 * DAY).expired_files == 1


def test_a_hold_stops_retention_and_deletion_until_it_is_released(store: TroubledStore) -> None:
    fill(store)
    clock = ManualClock(NOON)
    hold.put(store, PATH, "Ada", "case 7", clock)
    late = NOON + 400 * DAY
    done = look(store, at=late)
    assert (done.held, done.expired_files) == (True, 0)
    assert "8 expired files stay" in done.notes[0]
    with pytest.raises(Refused, match=r"held by Ada .*case 7"):
        delete(store)
    assert len(ids(store)) == 24
    had = hold.release(store, PATH, "Bob", "case closed", clock)
    assert had is not None
    assert had.by == "Ada"
    assert "case closed" in (property_of(store, "logflume.hold.released") or "")
    assert hold.release(store, PATH, "Bob", "again", clock) is None
    assert look(store, at=late).expired_files == 1  # they were merged meanwhile
    assert files(store) == []


def test_c4_a_hold_that_comes_before_the_commit_stops_it(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: hold.put(another(store), PATH, "Ada", "case 7", ManualClock(NOON)))
    assert look(store, at=NOON + 400 * DAY).expired_files == 0
    assert len(ids(store)) == 24
    hold.release(store, PATH, "Ada", "", ManualClock(NOON))
    # The first put of a deletion is the commit; the order before it is a plain write.
    between(store, lambda: hold.put(another(store), PATH, "Ada", "case 8", ManualClock(NOON)))
    with pytest.raises(Refused, match="case 8"):
        delete(store)
    assert len(ids(store)) == 24
    assert store.list_below("deletions") == []


def test_a_hold_survives_checkpoints_and_appends_and_new_columns(store: TroubledStore) -> None:
    fill(store)
    hold.put(store, PATH, "Ada", "case 7", ManualClock(NOON))
    wider = Dataset("http_requests", (*SMALL.fields, Field("New", FieldType.INT)), SMALL.time_field, SMALL.id_field)
    append(store, ["x"], upto=25, dataset=wider, New=[1])
    log.checkpoint(store, PATH)
    log.forget(store, PATH)
    standing = change.read(another(store), PATH)
    assert standing is not None
    assert hold.of(standing.properties) == hold.Hold("Ada", "case 7", "2025-11-25T12:00:00+00:00")
    assert hold.of({"logflume.hold": "somebody's own words"}) is not None


def test_no_table_can_not_be_held(store: TroubledStore) -> None:
    with pytest.raises(Misconfigured, match="no table"):
        hold.put(store, PATH, "Ada", "case 7", ManualClock(NOON))


# --- vacuum and checkpoints -------------------------------------------------------------------------------------------


def objects(store: Store) -> set[str]:
    return {path for path in store.list_below(PATH) if path.endswith(".parquet") and "_delta_log" not in path}


def age(store: Store, path: str, hours: float) -> None:
    when = time.time() - hours * 3600
    os.utime(store.full(path), (when, when))


def test_v1_removed_files_stay_for_as_long_as_they_are_kept(store: TroubledStore) -> None:
    fill(store)
    now = time.time_ns()
    assert look(store, days=None, at=now - 11 * 3_600_000_000_000).merged_files == 8
    for path in objects(store):
        age(store, path, 48)  # written long ago, removed eleven hours ago
    assert look(store, days=None, at=now).vacuumed == 0
    assert len(objects(store)) == 9
    assert look(store, days=None, at=now, care_keep_hours=10).vacuumed == 8
    assert look(store, days=None, at=now, care_keep_hours=10).worked is False
    assert objects(store) == {f"{PATH}/{path}" for path in files(store)}
    assert len(ids(store)) == 24


def test_v1_a_file_of_no_commit_goes_when_its_writer_can_not_commit_it_any_more(store: TroubledStore) -> None:
    fill(store, 1)
    for name, hours in (("young", 1.5), ("old", 13)):
        place = f"{PATH}/_date=2025-11-25/{name}.parquet"
        store.write(place, pa.py_buffer(b"rows"))
        age(store, place, hours)
    assert look(store, at=time.time_ns(), days=None).vacuumed == 1
    assert {path.rpartition("/")[2] for path in objects(store)} >= {"young.parquet"}
    assert not any("old" in path for path in objects(store))


def test_t7_a_sink_writes_a_file_again_that_is_too_old_to_be_committed(store: TroubledStore) -> None:
    clock = ManualClock(NOON)
    table = Table(store, SMALL, "acme", clock=clock)

    def sleep() -> None:
        clock.advance(3700)
        append(another(store), ["other"], "other", upto=1)

    store.trouble = sleep
    table.append("app", 1, np.array([0]), rows(["a"]))
    committed = {f"{PATH}/{path}" for path in files(store)}
    assert ids(store) == ["a", "other"]
    assert len(objects(store) - committed) == 1, "the first file was committed an hour after it was written"


def test_keeping_files_for_less_than_a_query_may_take_is_refused(store: TroubledStore) -> None:
    with pytest.raises(Misconfigured, match="explore_seconds"):
        carer(store, explore_seconds=36_000, care_keep_hours=10)
    assert carer(store, explore_seconds=36_000, care_keep_hours=11)


def test_checkpoints_remember_removed_files_for_as_long_as_they_are_kept(store: TroubledStore) -> None:
    fill(store)
    look(store, care_keep_hours=7)
    assert property_of(store, "delta.deletedFileRetentionDuration") == "interval 7 hours"
    version = DeltaTable(store.uri(PATH)).version()
    look(store, care_keep_hours=7)
    assert DeltaTable(store.uri(PATH)).version() == version


def test_a_table_that_lacks_checkpoints_gets_one(store: TroubledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHECKPOINT_EVERY", 10**6)
    fill(store, 40)
    monkeypatch.undo()
    assert log.last_checkpoint(store, PATH) == -1
    assert look(store).checkpoint is True
    assert log.last_checkpoint(store, PATH) > 40
    assert len(ids(another(store))) == 120


def test_a_table_that_stands_still_is_opened_by_its_checkpoint_alone(store: TroubledStore) -> None:
    fill(store)
    look(store, days=None, at=time.time_ns())  # merges
    hour = 3_600_000_000_000
    assert [look(store, days=None, at=time.time_ns() + later).checkpoint for later in (0, hour, hour)] == [
        False,
        True,
        False,
    ]
    assert log.last_checkpoint(store, PATH) == DeltaTable(store.uri(PATH)).version()
    fill(store, 2)  # so few entries are read as quickly
    look(store, days=None, at=time.time_ns())
    assert look(store, days=None, at=time.time_ns() + hour).checkpoint is False
    assert len(ids(another(store))) == 24


# --- deletion ---------------------------------------------------------------------------------------------------------


def delete(store: Store) -> deletion.Receipt:
    return deletion.delete(store, "acme", "http_requests", by="Ada", reason="request 9", clock=ManualClock(NOON))


def test_deletion_leaves_a_receipt_and_no_row(store: TroubledStore) -> None:
    fill(store)
    old = files(store)
    look(store, days=None, at=time.time_ns())  # the rows are in nine files now, eight of them kept for queries
    append(store, ["x"], upto=25)
    [merged, _] = sorted(files(store), key=lambda path: "merged" not in path)
    receipt = delete(store)
    assert (receipt["tenant"], receipt["dataset"], receipt["by"], receipt["reason"]) == (
        "acme",
        "http_requests",
        "Ada",
        "request 9",
    )
    assert (receipt["files"], receipt["rows"], receipt["earlier_objects"]) == (2, 25, len(old))
    assert merged in [each["path"] for each in receipt["objects"]]
    assert receipt["oldest"] == "2025-11-25T12:00:00+00:00"
    assert receipt["sha256"] == deletion.digest(receipt)
    assert objects(store) == set()
    assert list(deletion.receipts(store)) == [receipt]
    assert list(deletion.receipts(store, "globex")) == []
    left = [path.rpartition("/")[2] for path in store.list_below(PATH)]
    assert sorted(left)[0].startswith(f"{receipt['version']:020}"), "the log before it names rows that are gone"


@pytest.mark.parametrize("checkpointed", [False, True])
def test_d5_a_file_that_a_worker_with_a_fast_clock_removed_is_gone_when_the_receipt_is_written(
    store: TroubledStore, checkpointed: bool
) -> None:
    """By the log it will be removed in ten days; by the store it was written a moment ago."""
    fill(store)
    assert look(store, days=None, at=time.time_ns() + 10 * DAY).merged_files == 8
    if checkpointed:
        log.checkpoint(store, PATH)
    receipt = delete(store)
    assert (receipt["earlier_objects"], receipt["left_objects"]) == (8, 0)
    assert objects(store) == set()


def test_d5_a_file_of_no_commit_goes_when_its_writer_can_not_commit_it_any_more(store: TroubledStore) -> None:
    fill(store, 2)
    for name, hours in (("young", 0.9), ("old", 1.2)):
        place = f"{PATH}/_date=2025-11-25/{name}.parquet"
        store.write(place, pa.py_buffer(b"rows"))
        age(store, place, hours)
    receipt = delete(store)
    assert (receipt["earlier_objects"], receipt["left_objects"]) == (1, 1)
    assert [path.rpartition("/")[2] for path in objects(store)] == ["young.parquet"]


def delete_saved(store: Store) -> deletion.Receipt | None:
    return deletion.delete_saved(store, "acme", by="Ada", reason="request 9", clock=ManualClock(NOON))


def test_d6_what_a_tenant_has_saved_is_deleted_with_a_receipt_and_without_a_table(store: TroubledStore) -> None:
    saved = SavedQueries(store, ManualClock(NOON))
    assert delete_saved(store) is None
    for name in ("one", "two"):
        saved.change("acme", lambda entries, name=name: {**entries, name: {"sql": "SELECT 'secret'"}})
    saved.change("globex", lambda _: {"theirs": {}})
    receipt = delete_saved(store)
    assert receipt is not None
    assert (receipt["dataset"], receipt["saved_queries"], receipt["by"]) == (None, 2, "Ada")
    assert receipt["sha256"] == deletion.digest(receipt)
    assert list(deletion.receipts(store, "acme")) == [receipt]
    assert saved.read("acme").entries == {}
    assert all(b"secret" not in (store.read(place) or b"") for place in store.list_below("saved/acme"))
    assert saved.read("globex").entries == {"theirs": {}}


def test_d6_a_deletion_of_what_is_saved_that_died_is_ended_by_who_looks_next(store: TroubledStore) -> None:
    saved = SavedQueries(store, ManualClock(NOON))
    saved.change("acme", lambda _: {"one": {}})
    first = delete_saved(store)
    saved.change("acme", lambda _: {"two": {}})
    [receipt] = [place for place in store.list_below("deletions/acme") if place.endswith("receipt.json")]
    store.delete(receipt)  # as one who died before it was written
    [again] = deletion.resume(store, ManualClock(NOON + DAY))
    assert first is not None
    assert (again["saved_queries"], again["ordered"]) == (1, first["ordered"])
    assert saved.read("acme").entries == {}
    assert deletion.resume(store, ManualClock(NOON + DAY)) == []


def test_the_deletion_of_one_table_leaves_what_is_saved(store: TroubledStore) -> None:
    saved = SavedQueries(store, ManualClock(NOON))
    saved.change("acme", lambda _: {"one": {}})
    fill(store)
    delete(store)
    assert list(saved.read("acme").entries) == ["one"]


def test_d3_rows_that_were_deleted_do_not_come_back_by_a_replay(store: TroubledStore) -> None:
    fill(store)
    delete(store)
    for sink in (store, another(store)):
        assert append(sink, ["7-0", "7-1", "7-2"], upto=24).rows == 0
    assert append(store, ["x"], upto=25).rows == 1
    assert ids(store) == ["x"]


def test_an_append_between_reading_and_deleting_is_deleted_as_well(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: append(another(store), ["x"], upto=25))
    assert delete(store)["rows"] == 25
    assert len(store.list_below("deletions")) == 2


def test_a_file_that_a_sink_is_about_to_commit_is_left_to_it(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: delete(another(store)))
    append(store, ["x"], upto=25)
    assert ids(store) == ["x"]


def test_a_deletion_that_succeeded_unheard_is_known_again(store: TroubledStore) -> None:
    fill(store)
    store.trouble = "unheard"
    assert delete(store)["rows"] == 24
    assert objects(store) == set()


def test_a_receipt_that_was_changed_is_told(store: TroubledStore) -> None:
    fill(store)
    receipt = delete(store)
    assert deletion.digest({**receipt, "rows": 3}) != receipt["sha256"]


def ordered(store: Store, version: int) -> str:
    """Write down a deletion, as somebody did who died before the commit; noon's."""
    told = {"tenant": "acme", "dataset": "http_requests", "objects": [], "ordered": "2025-11-25T12:00:00+00:00"}
    place = f"deletions/acme/http_requests/{version:020}-{'0' * 32}/ordered.json"
    store.write(place, pa.py_buffer(json.dumps(told).encode()))
    return "deletions/acme"


def test_an_order_that_was_never_committed_is_taken_away_when_its_writer_is_dead_for_sure(store: TroubledStore) -> None:
    fill(store)
    order = ordered(store, DeltaTable(store.uri(PATH)).version() + 1)
    assert deletion.resume(store, ManualClock(NOON + 400 * DAY)) == []
    assert store.list_below(order), "by the store's time its writer may be about to commit it, whatever our clock says"
    age(store, *store.list_below(order), hours=1.1)
    assert deletion.resume(store, ManualClock(NOON - 400 * DAY)) == []
    assert store.list_below(order) == []
    ordered(store, DeltaTable(store.uri(PATH)).version())
    assert deletion.resume(store, ManualClock(NOON)) == []  # that version is somebody else's
    assert store.list_below(order) == []
    assert len(ids(store)) == 24


def test_an_order_of_which_nobody_can_tell_whether_it_was_committed_is_refused(store: TroubledStore) -> None:
    fill(store)
    ordered(store, DeltaTable(store.uri(PATH)).version())
    append(store, ["x"], upto=25)
    log.forget(store, PATH)
    with capture_logs() as told:
        age(store, *store.list_below("deletions"), hours=2)
        assert deletion.resume(store, ManualClock(NOON)) == []
    assert "can't be told any more" in told[0]["error"]
    assert len(ids(store)) == 25


def test_an_order_that_can_not_be_read_or_ended_holds_up_no_other(store: TroubledStore) -> None:
    fill(store)
    store.write(f"deletions/acme/dns_logs/{3:020}-{'1' * 32}/ordered.json", pa.py_buffer(b'{"tenant'))
    fill(store)
    store.trouble = "crash-after"
    order = ordered(store, DeltaTable(store.uri(PATH)).version() + 1)
    with capture_logs() as told:
        age(store, *(place for place in store.list_below(order) if "http_requests" in place), hours=2)
        deletion.resume(store, ManualClock(NOON))
    assert [each["event"] for each in told] == ["care.deletion-unreadable"]
    assert [place for place in store.list_below(order) if "http_requests" in place] == []


def forgotten(store: Store) -> None:
    """What somebody else does: delete all rows, append some, and forget the log before."""
    other = another(store)
    delete(other)
    append(other, ["y"], upto=30, _src_partition=[7], app_id="logflume/another/7")
    log.forget(other, PATH)


def test_an_append_whose_number_was_deleted_from_the_log_is_no_append_and_is_made_again(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: forgotten(store))
    append(store, ["x"], upto=25)
    assert ids(store) == ["x", "y"]
    append(store, ["z"], upto=26)
    assert ids(store) == ["x", "y", "z"]


def test_nobody_goes_on_from_entries_before_a_checkpoint(store: TroubledStore) -> None:
    fill(store)
    head = store.heads.get(PATH)
    assert head is not None
    for upto in (30, 31):
        append(another(store), [f"y{upto}"], upto=upto, app_id="logflume/another/7")
    assert log.advance(store, PATH, head) is not None
    log.checkpoint(another(store), PATH)
    assert log.advance(store, PATH, head) is None, "the log's retention may have taken one, and somebody filled it"


def test_a_hold_whose_number_was_deleted_from_the_log_is_not_told_to_hold(store: TroubledStore) -> None:
    fill(store)
    between(store, lambda: forgotten(store))
    with pytest.raises(Retryable, match="the log has gone on"):
        hold.put(store, PATH, "Ada", "case 7", ManualClock(NOON))
    assert property_of(store, "logflume.hold") is None
    hold.put(store, PATH, "Ada", "case 7", ManualClock(NOON))
    assert property_of(store, "logflume.hold") is not None


def test_a_table_that_is_none_of_ours_is_not_changed(store: TroubledStore) -> None:
    fill(store, 4)
    change.settle(
        store,
        PATH,
        lambda s: Change("X", properties={**s.properties, "delta.setTransactionRetentionDuration": "interval 1 hour"}),
        ManualClock(NOON),
    )
    with pytest.raises(Refused, match="setTransactionRetentionDuration"):
        look(store)
