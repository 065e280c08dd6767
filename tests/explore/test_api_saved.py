"""Saved queries: HTTP's preconditions, and SQ1 to SQ4 on a folder. tests/integration/test_api_saved.py has real S3."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from logflume.clock import ManualClock, SystemClock
from logflume.errors import Refused, Retryable
from logflume.table import saved
from logflume.table.saved import Entry, Saved, SavedQueries
from logflume.table.snapshot import list_tables
from logflume.table.store import Store
from tests.support.api import GLOBEX, Client, problem
from tests.support.producer import FakeProducer
from tests.support.tables import TroubledStore, append

SQL = {"sql": "SELECT count(*) AS n FROM http_requests", "since": "1h", "note": "how many"}
NEW = {"If-None-Match": "*"}
HOUR = 3_600_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(f"file://{tmp_path}/store")


@pytest.fixture
def api(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    client = Client(store, runner)
    yield client
    client.close()


def test_a_saved_query_is_listed_read_replaced_and_deleted_by_its_etag(api: Client) -> None:
    made = api("PUT", "/saved/busy hours", json=SQL, headers=NEW)
    assert made.status_code == 201
    assert made.json()["query"] == {"sql": SQL["sql"], "since": "1h"}
    assert (made.json()["note"], made.json()["by"], made.json()["name"]) == ("how many", "acme", "busy hours")
    etag = made.headers["etag"]
    assert api("GET", "/saved/busy hours").json() == made.json()
    assert [each["name"] for each in api("GET", "/saved").json()["queries"]] == ["busy hours"]
    replaced = api("PUT", "/saved/busy hours", json={"dataset": "http_requests", "q": "x"}, headers={"If-Match": etag})
    assert (replaced.status_code, replaced.json()["query"]) == (200, {"dataset": "http_requests", "q": "x"})
    assert replaced.headers["etag"] != etag
    assert problem(api("DELETE", "/saved/busy hours", headers={"If-Match": etag})) == (412, "changed")
    gone = api("DELETE", "/saved/busy hours", headers={"If-Match": replaced.headers["etag"]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert problem(api("GET", "/saved/busy hours")) == (404, "not-found")
    assert api("GET", "/saved").json()["queries"] == []


def test_a_change_that_does_not_say_which_state_it_means_is_refused(api: Client) -> None:
    assert problem(api("PUT", "/saved/x", json=SQL)) == (428, "precondition")
    assert problem(api("DELETE", "/saved/x")) == (428, "precondition")
    assert problem(api("DELETE", "/saved/x", headers=NEW)) == (428, "precondition")
    assert problem(api("PUT", "/saved/x", json=SQL, headers={"If-Match": '"other"'})) == (412, "changed")
    assert problem(api("DELETE", "/saved/x", headers={"If-Match": "*"})) == (404, "not-found")
    assert api("PUT", "/saved/x", json=SQL, headers=NEW).status_code == 201
    assert problem(api("PUT", "/saved/x", json=SQL, headers=NEW)) == (412, "changed")
    assert api("PUT", "/saved/x", json=SQL, headers={"If-Match": "*"}).status_code == 200


def test_who_has_it_already_is_sent_nothing(api: Client) -> None:
    etag = api("PUT", "/saved/x", json=SQL, headers=NEW).headers["etag"]
    again = api("GET", "/saved/x", headers={"If-None-Match": f'"a", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    listed = api("GET", "/saved").headers["etag"]
    assert api("GET", "/saved", headers={"If-None-Match": listed}).status_code == 304
    api("PUT", "/saved/y", json=SQL, headers=NEW)
    assert api("GET", "/saved", headers={"If-None-Match": listed}).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"sql": "SELECT 1", "tenant": "globex"}, (400, "not-read")),
        ({"sql": "SELECT 1", "limit": 0}, (400, "not-read")),
        ({"sql": "SELECT 1", "note": 1}, (400, "not-read")),
        ({"sql": "SELECT 1", "note": "x" * 1001}, (400, "not-read")),
        ({}, (400, "not-read")),
        ([], (400, "not-read")),
        ({"dataset": "others"}, (404, "not-found")),
        ({"dataset": "http_requests", "where": {"key": "no", "operator": "eq", "value": 1}}, (422, "refused")),
        ({"sql": "SELECT '" + "x" * 64_000 + "'"}, (413, "not-read")),
    ],
)
def test_what_could_not_be_asked_is_not_saved(api: Client, body: object, expected: tuple[int, str]) -> None:
    assert problem(api("PUT", "/saved/x", json=body, headers=NEW)) == expected
    assert api("GET", "/saved").json()["queries"] == []


@pytest.mark.parametrize("name", ["x" * 101, "%0a", "%1b[31m", "%20x"])
def test_a_name_is_a_short_line_of_text(api: Client, name: str) -> None:
    assert problem(api("PUT", f"/saved/{name}", json=SQL, headers=NEW)) == (400, "not-read")


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fglobex%2fx", "../globex/x", "a%2Fb"])
def test_a_name_is_no_path(api: Client, store: Store, name: str) -> None:
    api("PUT", f"/saved/{name}", json=SQL, headers=NEW)
    assert api("GET", "/saved", GLOBEX).json()["queries"] == []
    below = Path(store.root) / "saved"
    assert {path.parent for path in below.rglob("*.json")} <= {below / "acme"}


def test_another_tenants_are_not_there_and_no_table_is_made(api: Client, store: Store) -> None:
    append(store, ["one"])
    api("PUT", "/saved/x", json=SQL, headers=NEW)
    assert problem(api("GET", "/saved/x", GLOBEX)) == (404, "not-found")
    assert api("GET", "/saved", GLOBEX).json()["queries"] == []
    assert list(list_tables(store)) == [("acme", "http_requests")]
    asked = api("POST", "/query", json={"sql": 'SELECT * FROM "saved/acme/0000000001.json"'})
    assert problem(asked) == (422, "refused")


def test_a_tenant_has_a_bounded_number(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST", 3)
    for name in "abc":
        assert api("PUT", f"/saved/{name}", json=SQL, headers=NEW).status_code == 201
    assert problem(api("PUT", "/saved/d", json=SQL, headers=NEW)) == (422, "refused")
    assert api("PUT", "/saved/a", json=SQL, headers={"If-Match": "*"}).status_code == 200


def test_each_change_is_recorded_with_the_old_and_the_new(store: Store, runner: asyncio.Runner) -> None:
    producer = FakeProducer()
    client = Client(store, runner, producer=producer, kafka_bootstrap="nowhere:1")
    acts: list[dict[str, Any]] = []
    assert client.audit is not None
    client.audit.end = lambda act, status, told: acts.append(act.record(status, told, 0.0))  # type: ignore[method-assign]
    client("PUT", "/saved/x", json=SQL, headers=NEW)
    client("PUT", "/saved/x", json={"sql": "SELECT 2"}, headers={"If-Match": "*"})
    client("DELETE", "/saved/x", headers={"If-Match": "*"})
    client("DELETE", "/saved/x", headers={"If-Match": "*"})
    told = [(a["ActionType"], a["ActionResult"], a["ResourceID"], len(a["OldValue"]), len(a["NewValue"])) for a in acts]
    assert told == [
        ("save", True, "x", 0, 2),
        ("save", True, "x", 2, 1),
        ("forget", True, "x", 1, 0),
        ("forget", False, "x", 0, 0),
    ]
    client.close()


def put(name: str) -> Any:
    def change(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        return {**entries, name: {"note": name}}

    return change


def names(found: Saved) -> list[str]:
    return sorted(found.entries)


def test_sq2_of_many_changes_at_once_none_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "_ATTEMPTS", 100)
    servers = [SavedQueries(store, SystemClock()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: servers[n % 4].change("acme", put(f"{n:02}")), range(24)))
    found = servers[0].read("acme")
    assert names(found) == [f"{n:02}" for n in range(24)]
    assert found.version == 24


def test_sq2_what_was_asked_of_the_old_state_is_asked_again(tmp_path: Path) -> None:
    store = TroubledStore(f"file://{tmp_path}/store")
    one, two = SavedQueries(store, SystemClock()), SavedQueries(store, SystemClock())
    seen: list[list[str]] = []

    def change(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        seen.append(sorted(entries))
        return {**entries, "mine": {}}

    store.trouble = lambda: two.change("acme", put("theirs")) and None
    assert names(one.change("acme", change)) == ["mine", "theirs"]
    assert seen == [[], ["theirs"]]


def test_sq3_a_change_that_succeeded_unheard_is_found(tmp_path: Path) -> None:
    store = TroubledStore(f"file://{tmp_path}/store")
    queries = SavedQueries(store, SystemClock())
    store.trouble = "unheard"
    assert queries.change("acme", put("x")).version == 1
    store.trouble = "fail"
    with pytest.raises(Retryable, match="away"):
        queries.change("acme", put("y"))
    assert names(queries.read("acme")) == ["x"]


def test_sq5_who_is_about_to_save_brings_nothing_back_that_was_deleted(tmp_path: Path) -> None:
    store = TroubledStore(f"file://{tmp_path}/store")
    one, two = SavedQueries(store, SystemClock()), SavedQueries(store, SystemClock())
    one.change("acme", lambda _: {"old": {"sql": "SELECT 'secret'"}})

    def delete() -> None:
        two.change("acme", put("another"))
        two.forget("acme")
        two.forget("acme")

    store.trouble = delete
    assert names(one.change("acme", put("mine"))) == ["mine"]
    assert names(two.read("acme")) == ["mine"]
    assert all(b"secret" not in (store.read(place) or b"") for place in store.list_below("saved/acme"))


def test_sq4_old_versions_are_deleted_an_hour_later_and_no_number_comes_again(store: Store) -> None:
    clock = ManualClock(now_ns=SystemClock().now_ns())
    queries = SavedQueries(store, clock)
    for n in range(5):
        queries.change("acme", put(str(n)))
    folder = Path(store.full(saved.folder("acme")))
    assert len(list(folder.iterdir())) == 5
    clock.advance(2 * 3600)
    queries.change("acme", put("last"))
    assert sorted(path.name for path in folder.iterdir()) == ["0000000005.json", "0000000006.json"]
    assert names(queries.read("acme")) == ["0", "1", "2", "3", "4", "last"]


def test_what_is_no_document_is_told(store: Store) -> None:
    store.put_if_absent(f"{saved.folder('acme')}/0000000001.json", b"[]")
    with pytest.raises(Retryable, match="holds no saved queries"):
        SavedQueries(store, SystemClock()).read("acme")


def test_all_of_them_are_bounded_in_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST_BYTES_OF_ALL", 100)
    with pytest.raises(Refused, match="at most 100 bytes"):
        SavedQueries(store, SystemClock()).change("acme", put("x" * 100))


def test_who_changes_them_in_a_loop_does_not_fill_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "_MOST_VERSIONS", 3)
    queries = SavedQueries(store, SystemClock())
    for n in range(4):
        queries.change("acme", put(str(n)))
    with pytest.raises(Refused, match="changed 3 times within the hour"):
        queries.change("acme", put("one more"))
