"""The care of tables on real S3 and Kafka: beside sinks and readers, killed in the middle, as a worker, by command."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from logflume import contract
from logflume.care import deletion, hold
from logflume.care.look import Carer
from logflume.cli.main import build
from logflume.clock import ManualClock, SystemClock
from logflume.errors import Retryable
from logflume.explore import query
from logflume.kafka import topics
from logflume.local.process import Process
from logflume.model import dataset as datasets
from logflume.settings import Settings
from logflume.table import snapshot
from logflume.table.saved import SavedQueries
from logflume.table.store import Store
from tests.conftest import StartWorker
from tests.support.asking import forks
from tests.support.services import S3
from tests.support.tables import append
from tests.support.waiting import until

HTTP = datasets.load(contract.find())["http_requests"]
PATH = "tables/acme/http_requests"
KILLED = 137
HOUR = 3_600_000_000_000
APPENDS = 60  # a process


def connect(s3: S3, url: str) -> Store:
    return Store(url, endpoint=s3.endpoint, key=s3.access_key, secret=s3.secret_key)


def look_settings(s3: S3, url: str, **more: Any) -> Settings:
    given = {"store_url": url, "store_endpoint": s3.endpoint, "store_access_key": s3.access_key}
    return Settings(**given, store_secret_key=s3.secret_key, care_fan_in=2, **more)


def offline(settings: Settings, **more: Any) -> Settings:
    """Without Kafka: the tenants' files are the configuration; acme keeps everything for ever."""
    Path(settings.tenants_dir, "acme.yaml").write_text(
        "name: acme\ndatasets:\n  http_requests: {retention_days: 3650}\n"
    )
    return settings.model_copy(update={"care_fan_in": 2, **more})


@pytest.fixture
def store(s3: S3) -> Store:
    return connect(s3, s3.new_bucket())


def carer(store: Store, clock: Any = None, **more: Any) -> Carer:
    told = None if clock is None else lambda: clock.now_ns() / 1e9
    declared = datasets.Datasets({HTTP.name: HTTP})
    return Carer(Settings(care_fan_in=2, **more), declared, store, clock or SystemClock(), told)


def fill(store: Store, files: int, start: int = 0, tenant: str = "acme") -> None:
    for n in range(start, start + files):
        append(store, [f"{n}-{i}" for i in range(3)], upto=3 * n + 3, tenant=tenant, dataset=HTTP)


def counted(store: Store, tenant: str = "acme") -> Counter[str]:
    """How often each id is at rest, by polars' reader of Delta."""
    options = {name: value for name, value in store.delta_options.items() if name.startswith("AWS_")}
    frame = polars.read_delta(store.uri(store.table(tenant, "http_requests")), storage_options=options)
    return Counter(frame["RayID"].to_list())


def each_once(start: int, end: int) -> Counter[str]:
    return Counter(f"{n}-{i}" for n in range(start, end) for i in range(3))


# --- beside sinks -----------------------------------------------------------------------------------------------------


def sink(s3: S3, url: str, app_id: str, name: str) -> None:
    """One sink's process: appends one row after the other, and each last one again, as after a crash."""
    own = connect(s3, url)
    for n in range(APPENDS):
        append(own, [f"{name}-{n}"], app_id, upto=n + 1, dataset=HTTP)
        append(own, [f"{name}-{n}"], app_id, upto=n + 1, dataset=HTTP)


def look_until(s3: S3, url: str, stop: Any, looks: Any) -> None:
    """One care worker's process: looks again and again."""
    own = connect(s3, url)
    me = Carer(look_settings(s3, url), datasets.Datasets({HTTP.name: HTTP}), own, SystemClock())
    while not stop.is_set():
        with contextlib.suppress(Retryable):  # a carer may find others quicker every time; a sink must not
            looks.value += me.look("acme", "http_requests", 3650).into_files


def test_rows_are_the_same_while_sinks_append_and_two_carers_merge(s3: S3, store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    merges = [context.Value("i", 0) for _ in range(2)]
    append(store, ["first"], "first", upto=1, dataset=HTTP)
    carers = [context.Process(target=look_until, args=(s3, store.url, stop, each)) for each in merges]
    sinks = [context.Process(target=sink, args=(s3, store.url, name, name)) for name in ("one", "two")]
    for process in carers + sinks:
        process.start()
    for process in sinks:
        process.join(240)
        assert process.exitcode == 0, "an append failed"
    stop.set()
    for process in carers:
        process.join(60)
        assert process.exitcode == 0
    assert sum(each.value for each in merges) > 3
    expected = Counter(f"{name}-{n}" for name in ("one", "two") for n in range(APPENDS)) + Counter(["first"])
    assert counted(store) == expected
    carer(store).look("acme", "http_requests", 3650)
    assert counted(store) == expected
    held = snapshot.read(store, "acme", "http_requests")
    assert held is not None
    assert len(held.files) == 1
    table = DeltaTable(store.uri(PATH), storage_options=store.delta_options)
    assert [table.transaction_version(name) for name in ("one", "two", "first")] == [APPENDS, APPENDS, 1]


@pytest.mark.parametrize("point", ["care.file-written", "care.committed"])
def test_a_death_in_the_middle_of_a_merge_changes_no_row(settings: Settings, worker: StartWorker, point: str) -> None:
    store = Store.from_settings(settings)
    fill(store, 12)
    settings = offline(settings, care_file_bytes=8_000)  # several merges
    dying = worker("table maintain", settings, {"LOGFLUME_CRASH_AT": f"{point}:2"})
    assert dying.wait(60) == KILLED, dying.output()
    assert counted(store) == each_once(0, 12)
    fill(store, 2, start=12)
    after = worker("table maintain", settings)
    assert after.wait(60) == 0, after.output()
    assert counted(store) == each_once(0, 14)


# --- beside readers ---------------------------------------------------------------------------------------------------


def test_queries_get_the_same_answer_while_files_are_merged_and_vacuumed(store: Store) -> None:
    """Merged as if thirteen hours ago, then eleven; vacuumed as of now; while queries follow one another."""
    fill(store, 10)
    expected = [[3 * 10]]
    answers: list[Any] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            with query.opened(Settings(), store, {HTTP.name: HTTP}, forks=forks()) as explorer:
                while not stop.is_set():
                    with explorer.query("acme", 'SELECT count(DISTINCT "RayID") FROM http_requests') as result:
                        answers.append([list(row.values()) for row in result.read_all().to_pylist()])
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    until(lambda: answers or failures, 60, "a first answer")
    vacuumed = merged = 0
    for hours in (13, 11):
        past = ManualClock(time.time_ns() - hours * HOUR)
        done = carer(store, past, care_file_bytes=8_000).look("acme", "http_requests", 3650)
        merged, vacuumed = merged + done.merged_files, vacuumed + done.vacuumed
        seen = len(answers)
        until(lambda seen=seen: len(answers) > seen + 2 or failures, 60, "answers after it")
    stop.set()
    for reader in readers:
        reader.join(60)
    assert not failures
    assert all(answer == expected for answer in answers), answers
    assert vacuumed > 0
    assert merged > vacuumed, "files removed eleven hours ago stay"


def test_an_answer_that_is_being_read_outlives_the_merge_of_its_files(store: Store) -> None:
    fill(store, 8)
    with (
        query.opened(Settings(), store, {HTTP.name: HTTP}, forks=forks()) as explorer,
        explorer.query("acme", 'SELECT "RayID" FROM http_requests') as result,
    ):
        done = carer(store).look("acme", "http_requests", 3650)
        assert done.merged_files == 8
        assert Counter(result.read_all().column("RayID").to_pylist()) == each_once(0, 8)


# --- deletion ---------------------------------------------------------------------------------------------------------


def delete(settings: Settings, worker: StartWorker, point: str = "") -> Process:
    words = "table delete --tenant acme --by Ada --reason request-9 --confirm acme"
    return worker(words, settings, {"LOGFLUME_CRASH_AT": point} if point else None).process


def data(store: Store, tenant: str = "acme") -> list[str]:
    return [path for path in store.list_below(f"tables/{tenant}") if "_delta_log" not in path]


@pytest.mark.parametrize(
    ("point", "gone"),
    [("care.deletion-ordered", False), ("care.deletion-committed", True), ("care.deletion-done", True)],
)
def test_a_deletion_that_died_is_ended_by_the_next_look(
    settings: Settings, worker: StartWorker, point: str, gone: bool
) -> None:
    store = Store.from_settings(settings)
    fill(store, 3)
    fill(store, 2, tenant="globex")
    settings = offline(settings, care_file_bytes=1000)  # nothing is merged
    assert delete(settings, worker, point).wait(60) == KILLED
    assert list(deletion.receipts(store)) == []
    assert worker("table maintain", settings).wait(60) == 0
    if not gone:  # it was never committed: nothing is deleted, and nothing is said to be
        assert list(deletion.receipts(store)) == []
        assert counted(store) == each_once(0, 3)
        assert delete(settings, worker).wait(60) == 0
        assert worker("table maintain", settings).wait(60) == 0
        assert sum(path.endswith("ordered.json") for path in store.list_below("deletions")) == 1
    [receipt] = deletion.receipts(store)
    assert (receipt["tenant"], receipt["by"], receipt["files"], receipt["rows"]) == ("acme", "Ada", 3, 9)
    assert receipt["sha256"] == deletion.digest(receipt)
    assert data(store) == []
    assert counted(store, "globex") == each_once(0, 2)


def test_the_receipt_stands_when_the_whole_tenant_is_gone(settings: Settings, worker: StartWorker) -> None:
    store = Store.from_settings(settings)
    fill(store, 3)
    assert delete(offline(settings), worker).wait(60) == 0
    store.filesystem.delete_dir(store.full("tables/acme"))
    [receipt] = deletion.receipts(Store.from_settings(settings), "acme")
    assert receipt["rows"] == 9
    assert receipt["sha256"] == deletion.digest(receipt)
    assert [each["rows"] for each in receipt["objects"]] == [3, 3, 3]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``call("table list")``: what it prints, as JSON."""
    for name, value in offline(settings).environment().items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()

    def run(words: str) -> Any:
        result = runner.invoke(build(words.split()[0]), [*words.split(), "--json"])
        if result.exit_code:
            raise result.exception or AssertionError(result.output)
        return orjson.loads(result.stdout)

    return run


def test_tables_are_listed_maintained_held_and_deleted_by_command(settings: Settings, call: Callable[..., Any]) -> None:
    store = Store.from_settings(settings)
    fill(store, 5)
    fill(store, 2, tenant="globex")
    [acme, globex] = call("table list")
    assert (acme["rows"], acme["files"], acme["held"]) == (15, 5, False)
    assert acme["oldest"] == acme["newest"] == "2025-11-25T12:00:00Z"
    assert globex["rows"] == 6
    [planned] = call("table maintain --tenant acme --dry-run")
    assert (planned["merged_files"], planned["into_files"]) == (5, 1)
    assert call("table list")[0]["files"] == 5
    [done, other] = call("table maintain")
    assert (done["merged_files"], done["into_files"]) == (5, 1)
    assert "not in the configuration" in other["notes"]
    assert call("table list")[0]["files"] == 1
    call("table hold --tenant acme --by Ada --reason case-7")
    assert call("table list")[0]["held"] is True
    with pytest.raises(Exception, match="held by Ada"):
        call("table delete --tenant acme --by Bob --reason request-9 --confirm acme")
    call("table release --tenant acme --by Ada --reason over")
    with pytest.raises(Exception, match="not the tenant's name"):
        call("table delete --tenant acme --by Bob --reason request-9 --confirm globex")
    assert call("table list")[0]["rows"] == 15
    SavedQueries(store, SystemClock()).change("acme", lambda _: {"busy hours": {}})
    rows, saved = call("table delete --tenant acme --by Bob --reason request-9 --confirm acme")
    assert (rows["rows"], saved["dataset"], saved["saved_queries"]) == (15, None, 1)
    assert SavedQueries(store, SystemClock()).read("acme").entries == {}
    listed = call("table receipts --tenant acme")
    assert sorted((each["by"], each["rows"] or 0, each["intact"]) for each in listed) == [
        ("Bob", 0, True),
        ("Bob", 15, True),
    ]
    assert call("table list")[0]["rows"] == 0
    assert call("table receipts --tenant globex") == []


def test_a_tenant_that_has_saved_queries_and_no_table_is_deleted_by_command(
    settings: Settings, call: Callable[..., Any]
) -> None:
    store = Store.from_settings(settings)
    SavedQueries(store, SystemClock()).change("acme", lambda _: {"busy hours": {}})
    with pytest.raises(Exception, match="no such table"):
        call("table delete --tenant acme --dataset http_requests --by Bob --reason request-9 --confirm acme")
    [receipt] = call("table delete --tenant acme --by Bob --reason request-9 --confirm acme")
    assert receipt["saved_queries"] == 1
    assert SavedQueries(store, SystemClock()).read("acme").entries == {}
    with pytest.raises(Exception, match="nothing saved"):
        call("table delete --tenant globex --by Bob --reason request-9 --confirm globex")


def test_no_data_file_is_opened_to_list_tables(settings: Settings, call: Callable[..., Any]) -> None:
    store = Store.from_settings(settings)
    fill(store, 3)
    for path in data(store):
        store.delete(path)
    assert call("table list")[0]["rows"] == 9


# --- the worker -------------------------------------------------------------------------------------------------------


def test_workers_share_the_tables_and_take_over_from_one_another(settings: Settings, worker: StartWorker) -> None:
    quick = {"care_seconds": 0.3, "care_idle_seconds": 0.6, "care_session_timeout_ms": 6000}
    tenants = [f"tenant-{n}" for n in range(12)]
    for name in tenants:
        Path(settings.tenants_dir, f"{name}.yaml").write_text(
            f"name: {name}\ndatasets:\n  http_requests: {{retention_days: 3650}}\n"
        )
    settings = settings.model_copy(update={"care_fan_in": 2, "care_group": f"{settings.topic_prefix}care", **quick})
    topics.apply(settings)
    store = Store.from_settings(settings)
    for name in tenants:
        fill(store, 2, tenant=name)
    first, second = worker("care", settings), worker("care", settings)

    def mine(each: Any) -> int:
        line = next(
            (line for line in each.get("/metrics")[1].splitlines() if line.startswith("logflume_care_tables ")), ""
        )
        return int(float(line.split()[1])) if line else 0

    until(lambda: mine(first) and mine(second) and mine(first) + mine(second) == len(tenants), 90, "a share each")

    def files(name: str) -> int:
        held = snapshot.read(store, name, "http_requests")
        return len(held.files) if held is not None else 0

    until(lambda: all(files(name) == 1 for name in tenants), 60, "every table merged")
    first.kill()
    until(lambda: mine(second) == len(tenants), 60, "the other takes over")
    for name in tenants:
        fill(store, 2, start=2, tenant=name)
    until(lambda: all(files(name) == 1 for name in tenants), 60, "every table merged again")
    for name in tenants:
        assert counted(store, name) == each_once(0, 4)
    assert second.stop() == 0


def test_a_worker_ends_retention_and_heeds_holds(settings: Settings, worker: StartWorker) -> None:
    Path(settings.tenants_dir, "acme.yaml").write_text("name: acme\ndatasets:\n  http_requests: {retention_days: 30}\n")
    Path(settings.tenants_dir, "globex.yaml").write_text(
        "name: globex\ndatasets:\n  http_requests: {retention_days: 30}\n"
    )
    store = Store.from_settings(settings)
    fill(store, 2)  # of 2025
    fill(store, 2, tenant="globex")
    append(store, ["new"], upto=7, dataset=HTTP, _received=[time.time_ns()], tenant="globex")
    hold.put(store, PATH, "Ada", "case 7", SystemClock())
    settings = settings.model_copy(update={"care_seconds": 0.3, "care_idle_seconds": 0.6, "kafka_bootstrap": ""})
    care = worker("care", settings)
    until(lambda: counted(store, "globex") == Counter(["new"]), 60, "globex' old rows expired")
    hold.release(store, PATH, "Ada", "over", SystemClock())
    until(lambda: not counted(store), 60, "acme's rows expired, when they were not held any more")
    care.stop()


def test_a_table_that_is_broken_holds_up_no_other(settings: Settings, worker: StartWorker) -> None:
    store = Store.from_settings(settings)
    settings = offline(settings, care_seconds=0.3, care_idle_seconds=0.6, kafka_bootstrap="")
    fill(store, 3)
    fill(store, 3, tenant="aaa")
    [path] = [path for path in data(store, "aaa") if path.rpartition("/")[2].startswith("3-")]
    store.write(path, pa.py_buffer(b"no Parquet"))
    care = worker("care", settings)

    def merged() -> bool:
        held = snapshot.read(store, "acme", "http_requests")
        return held is not None and len(held.files) == 1

    until(merged, 60, "acme's files merged")
    until(lambda: care.get("/ready")[0] == 503, 30, "it says what fails")
    assert "aaa/http_requests" in care.get("/ready")[1]
    assert care.stop() == 0
