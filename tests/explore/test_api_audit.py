"""What is recorded of those who ask (AU1 to AU5), on a producer that the contract suite compares with Kafka's."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from logflume import contract, metrics, model
from logflume.api.audit import DATASET, MOST_TEXT
from logflume.api.caller import Caller
from logflume.api.session import CALLER
from logflume.errors import Misconfigured
from logflume.model import TenantDataset
from logflume.table.store import Store
from tests.support.api import ACME, GLOBEX, SENDER, Client, problem
from tests.support.edge import rows
from tests.support.producer import FakeProducer
from tests.support.tables import append

DATASETS = model.load(contract.find())
SQL = "SELECT RayID FROM http_requests"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["one", "two", "three"])
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


Made = Callable[..., Client]


@pytest.fixture
def made(store: Store, runner: asyncio.Runner, producer: FakeProducer) -> Iterator[Made]:
    """A client of an API whose tenant acme keeps ``audit_logs``; globex does not."""
    clients: list[Client] = []

    def make(**settings: Any) -> Client:
        given = {"kafka_bootstrap": "nowhere:1", "edge_linger_seconds": 0.0, "edge_timeout_seconds": 20.0}
        client = Client(store, runner, producer=producer, **given | settings)
        assert client.source.now is not None
        acme = client.source.now.tenants["acme"]
        kept = {**acme.datasets, DATASET: TenantDataset(DATASET, 30)}
        tenants = {**client.source.now.tenants, "acme": replace(acme, datasets=kept)}
        client.source.now = replace(client.source.now, tenants=tenants)
        clients.append(client)
        return client

    yield make
    producer.back()
    for client in clients:
        client.close()


@pytest.fixture
def api(made: Made) -> Client:
    return made()


def recorded(client: Client, producer: FakeProducer) -> list[dict[str, Any]]:
    """The records of a client that ends, as the sort stage reads them."""
    assert client.audit is not None
    client.audit.close()
    found = rows(producer.log, DATASETS)
    assert {tenant for tenant, _ in found} <= {"acme"}
    return [record for _, record in found]


def test_a_query_is_recorded_with_who_what_when_from_where_and_what_came_of_it(
    api: Client, producer: FakeProducer
) -> None:
    answer = api("POST", "/query", json={"sql": SQL}, headers={"X-Forwarded-For": "192.0.2.7"})
    [record] = recorded(api, producer)
    assert (record["ActorID"], record["ActorType"], record["Interface"]) == ("acme", "token", "API")
    assert (record["ActionType"], record["ActionResult"], record["OwnerID"]) == ("query", True, "acme")
    assert (record["ResourceType"], record["ResourceID"]) == ("query", answer.headers["logflume-query"])
    assert record["ActorIP"] == "127.0.0.1"
    assert record["When"] is not None
    about = dict(record["Metadata"])
    assert (about["sql"], about["rows"], about["outcome"], about["status"]) == (SQL, "3", "done", "200")
    assert (about["path"], about["form"], about["forwarded_for"]) == (
        "/api/v1/query",
        "application/json",
        "192.0.2.7",
    )
    assert int(about["bytes_read"]) > 0
    assert float(about["seconds"]) > 0
    assert "_extra" not in record


def test_what_the_page_asks_is_recorded_as_such(api: Client, producer: FakeProducer) -> None:
    async def ask() -> None:
        async def receive() -> Any:
            return await asyncio.get_running_loop().create_future()  # it stays, and says nothing more

        async def send(message: Any) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/api/v1/find/one", "query_string": b"", "headers": []}
        await api.api({**scope, "root_path": "", CALLER: Caller("acme", "acme")}, receive, send)

    api.runner.run(ask())
    [record] = recorded(api, producer)
    assert (record["Interface"], record["ActionType"], record["ActorID"]) == ("UI", "find", "acme")


def test_what_the_pages_script_asks_with_its_session_is_the_pages(api: Client, producer: FakeProducer) -> None:
    sessions, begun = api.made.sessions, Response()
    sessions.begin(sessions.holder_of_token(ACME), begun)
    cookie = begun.headers["set-cookie"].partition(";")[0]
    session = {"Authorization": "", "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    assert api("GET", "/find/0-0", headers=session).status_code != 401
    assert api("GET", "/find/0-0").status_code != 401
    assert [record["Interface"] for record in recorded(api, producer)] == ["UI", "API"]


def test_no_record_has_a_tokens_secret(api: Client, producer: FakeProducer) -> None:
    api("GET", f"/find/{ACME}")
    api("POST", "/query", json={"sql": SQL})
    records = recorded(api, producer)
    assert len(records) == 2
    assert ACME.rpartition("_")[2] not in str(records[1])


@pytest.mark.parametrize(
    ("method", "path", "more", "kind"),
    [
        ("POST", "/query", {"json": {"sql": SQL}, "headers": {"Accept": "text/csv"}}, "export"),
        ("POST", "/query", {"json": {"sql": SQL}, "headers": {"Accept": "application/x-ndjson"}}, "query"),
        ("DELETE", "/query/none", {}, "cancel"),
        ("GET", "/find/one", {}, "find"),
        ("GET", "/datasets/http_requests/fields?values=RayID", {}, "fields"),
        ("GET", "/datasets/http_requests/histogram?by=RayID", {}, "histogram"),
        ("GET", "/datasets/http_requests/records/topic.0.1.0", {}, "record"),
        ("GET", "/datasets/http_requests/around/topic.0.1.0", {}, "around"),
    ],
)
def test_every_kind_of_question_is_one_record(
    api: Client, producer: FakeProducer, method: str, path: str, more: dict[str, Any], kind: str
) -> None:
    answer = api(method, path, **more)
    [record] = recorded(api, producer)
    about = dict(record["Metadata"])
    assert record["ActionType"] == kind
    assert record["ActionResult"] is (answer.status_code == 200)
    assert f"{about['path']}?{about.get('parameters', '')}".removesuffix("?") == f"/api/v1{path}"


def test_what_failed_or_was_not_allowed_is_recorded_with_its_reason(api: Client, producer: FakeProducer) -> None:
    api("POST", "/query", json={"sql": "DROP TABLE http_requests"})
    api("POST", "/query", json={"sql": "SELECT 1 / (n - n) FROM (SELECT count(*) AS n FROM http_requests) AS x"})
    api("POST", "/query", SENDER, json={"sql": SQL})
    found = [(r["ActorID"], r["ActionResult"], dict(r["Metadata"])["problem"]) for r in recorded(api, producer)]
    assert found == [("acme", False, "refused"), ("acme", False, "refused"), ("sender", False, "wrong-scope")]


def test_a_tenant_that_keeps_no_audit_logs_has_no_records_and_is_told(api: Client, producer: FakeProducer) -> None:
    assert api("POST", "/query", GLOBEX, json={"sql": SQL}).status_code == 200
    assert api("GET", "/datasets", GLOBEX).json()["audited"] is False
    assert api("GET", "/datasets").json()["audited"] is True
    assert recorded(api, producer) == []


def test_long_sql_is_cut_and_a_lone_surrogate_costs_no_record(api: Client, producer: FakeProducer) -> None:
    api("POST", "/query", content=b'{"sql": "SELECT \'\\ud800\'"}', headers={"Content-Type": "application/json"})
    api("POST", "/query", json={"sql": f"{SQL} -- {'x' * MOST_TEXT}"})
    first, second = recorded(api, producer)
    assert first["ActionResult"] in (True, False)
    assert dict(second["Metadata"])["sql"].endswith(f"… ({len(SQL) + 4 + MOST_TEXT} characters)")


def test_while_kafka_is_away_questions_are_answered_and_what_is_lost_is_counted(
    made: Made, producer: FakeProducer
) -> None:
    api = made(serve_audit_bytes=100_000)
    producer.away = True
    lost = metrics.total(metrics.EXPLORE_AUDIT_LOST)
    long = f"{SQL} -- {secrets.token_hex(7_500)}"
    for _ in range(20):
        assert api("POST", "/query", json={"sql": long}).status_code == 200
    missing = int(metrics.total(metrics.EXPLORE_AUDIT_LOST) - lost)
    assert 0 < missing < 20
    producer.back()
    assert len(recorded(api, producer)) == 20 - missing


def test_where_records_are_required_nothing_is_done_without_room_for_one(made: Made, producer: FakeProducer) -> None:
    api = made(serve_audit_bytes=100_000, serve_audit="required")
    producer.away = True
    lost = metrics.total(metrics.EXPLORE_AUDIT_LOST)
    long = f"{SQL} -- {secrets.token_hex(7_500)}"
    answers = [api("POST", "/query", json={"sql": long}) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < 20
    assert problem(refused[0]) == (503, "no-record")
    assert refused[0].headers["retry-after"] == "10"
    assert len(api("GET", "/queries").json()["queries"]) == 20 - len(refused)
    assert api("POST", "/query", GLOBEX, json={"sql": SQL}).status_code == 200  # nobody wants its records
    producer.back()
    assert len(recorded(api, producer)) == 20 - len(refused)
    assert metrics.total(metrics.EXPLORE_AUDIT_LOST) == lost


def test_records_wait_in_a_spool_while_kafka_is_away(made: Made, producer: FakeProducer, tmp_path: Path) -> None:
    producer.away = True
    api = made(serve_audit_bytes=100_000, serve_audit_spool_dir=str(tmp_path / "spool"))
    long = f"{SQL} -- {secrets.token_hex(7_500)}"
    done = metrics.total(metrics.EXPLORE_AUDIT)
    for _ in range(30):
        assert api("POST", "/query", json={"sql": long}).status_code == 200
    assert api.audit is not None
    api.audit.close()  # durable, though Kafka has nothing
    assert producer.log == []
    assert metrics.total(metrics.EXPLORE_AUDIT) - done == 30


def test_what_is_not_durable_at_the_end_is_counted_as_lost(made: Made, producer: FakeProducer) -> None:
    api = made(edge_timeout_seconds=0.1)
    producer.away = True
    lost = metrics.total(metrics.EXPLORE_AUDIT_LOST)
    api("GET", "/find/one")
    assert api.audit is not None
    api.audit.close()
    assert metrics.total(metrics.EXPLORE_AUDIT_LOST) == lost + 1


def test_required_records_without_a_place_for_them_are_a_mistake_of_the_settings(made: Made) -> None:
    with pytest.raises(Misconfigured, match="kafka_bootstrap is empty"):
        made(kafka_bootstrap="", serve_audit="required")


def test_an_answer_that_its_client_leaves_is_recorded_as_broken_off(api: Client, producer: FakeProducer) -> None:
    api.leave_at_once("SELECT RayID FROM http_requests")
    [record] = recorded(api, producer)
    assert (record["ActionResult"], dict(record["Metadata"])["outcome"]) == (False, "failed")
