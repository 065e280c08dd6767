"""The API over tables on a local folder: asked without a network, its queries in processes of their own."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logflume.explore.engine.engine import TooLong
from logflume.table.store import Store
from tests.support.api import ACME, ENDED, GLOBEX, SENDER, Client, problem
from tests.support.tables import DAY, NOON, append


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three days of acme, four rows each, and one row of globex."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    for day in range(3):
        append(
            store,
            [f"{day}-{n}" for n in range(4)],
            upto=4 * day + 4,
            times=[NOON + day * DAY + 1000 * n for n in range(4)],
            EdgeResponseStatus=[200, 403, 200, None],
            ClientRequestHost=["a.example", "=1+1", "<script>", None],
        )
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture
def api(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    client = Client(store, runner)
    yield client
    client.close()


def test_sql_is_answered_with_columns_rows_and_what_was_read(api: Client) -> None:
    told = api.ask("SELECT RayID, EdgeStartTimestamp FROM http_requests WHERE _date = '2025-11-26' ORDER BY 1 LIMIT 2")
    assert [column["name"] for column in told["columns"]] == ["RayID", "EdgeStartTimestamp"]
    assert told["rows"][0] == {"RayID": "1-0", "EdgeStartTimestamp": "2025-11-26T12:00:00Z"}
    assert told["row_count"] == 2
    assert (told["scanned"]["files"], told["scanned"]["of_files"]) == (1, 3)
    assert told["state"] == "done"


def test_a_filter_is_answered_newest_first(api: Client) -> None:
    where = {
        "or": [
            {"key": "RayID", "operator": "endsWith", "value": "-3"},
            {"key": "EdgeResponseStatus", "operator": "eq", "value": 403},
        ]
    }
    asked = {"dataset": "http_requests", "where": where, "fields": ["RayID"], "limit": 3}
    told = api("POST", "/query", json=asked).json()
    assert [row["RayID"] for row in told["rows"]] == ["2-3", "2-1", "1-3"]
    assert (told["limited"], told["limit"]) == (True, 3)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"key": "EdgeResponseStatus", "operator": "!eq", "value": 200}, ["2-1", "2-3"]),
        ({"key": "EdgeResponseStatus", "operator": "lt", "value": 300}, ["2-0", "2-2"]),
        ({"key": "ClientRequestHost", "operator": "!contains", "value": "."}, ["2-1", "2-2", "2-3"]),
        ({"key": "ClientRequestHost", "operator": "startsWith", "value": "a."}, ["2-0"]),
        ({"key": "RayID", "operator": "!in", "value": ["2-0", "2-1"]}, ["2-2", "2-3"]),
        ({"key": "EdgeStartTimestamp", "operator": "geq", "value": "2025-11-27T12:00:00.000002Z"}, ["2-2", "2-3"]),
        ({"key": "BotTags", "operator": "!contains", "value": "api"}, ["2-0", "2-1", "2-2", "2-3"]),
        ({"key": "ClientRequestHost", "operator": "eq", "value": "' OR '1'='1"}, []),
        ({"key": "ClientRequestHost", "operator": "isNull"}, ["2-3"]),
        ({"key": "ClientRequestHost", "operator": "!isNull"}, ["2-0", "2-1", "2-2"]),
        ({"key": "RequestHeaders", "operator": "isNull"}, ["2-0", "2-1", "2-2", "2-3"]),
    ],
)
def test_operators_mean_what_logpush_says(api: Client, condition: dict[str, object], found: list[str]) -> None:
    asked = {
        "dataset": "http_requests",
        "where": condition,
        "fields": ["RayID"],
        "order": "RayID",
        "since": "2025-11-27",
    }
    told = api("POST", "/query", json=asked).json()
    assert [row["RayID"] for row in told["rows"]] == found


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"key": "RayId", "operator": "eq", "value": "x"}, "did you mean RayID?"),
        ({"key": "EdgeResponseStatus", "operator": "contains", "value": 2}, "has no operator 'contains'"),
        ({"key": "EdgeResponseStatus", "operator": "eq", "value": "2"}, "is no int64"),
        ({"key": "EdgeResponseStatus", "operator": "!lt", "value": 2}, "has no operator '!lt'"),
        ({"key": "EdgeResponseStatus", "operator": "isNull", "value": 2}, "'isNull' has no value"),
        ({"key": "EdgeResponseStatus", "operator": "eq"}, "'eq' has a value"),
        ({"and": []}, "where.and: a list of conditions"),
        ({"and": [{"key": "RayID"}]}, 'where.and[0]: a condition has "key"'),
        ({"key": 'RayID" = "RayID', "operator": "eq", "value": "x"}, "has no field"),
    ],
)
def test_a_wrong_filter_is_told_by_its_place(api: Client, asked: object, says: str) -> None:
    answer = api("POST", "/query", json={"dataset": "http_requests", "where": asked})
    assert problem(answer) == (422, "refused")
    assert says in answer.json()["detail"]


def test_a_time_range_bounds_what_is_seen_and_read(api: Client) -> None:
    sql = "SELECT count(*) AS n FROM http_requests"
    assert api.ask(sql)["rows"] == [{"n": 12}]
    told = api.ask(sql, since="36h", until="now")  # the clock stands at noon three days after the first row
    assert told["rows"] == [{"n": 4}]
    assert (told["scanned"]["files"], told["scanned"]["of_files"]) == (1, 3)
    assert api.ask(sql, since="2025-11-25T12:00:00.000001Z", until="2025-11-25T12:00:00.000003Z")["rows"] == [{"n": 2}]
    assert problem(api("POST", "/query", json={"sql": sql, "since": "yesterday"})) == (422, "refused")
    assert problem(api("POST", "/query", json={"sql": sql, "since": "1h", "until": "2h"})) == (422, "refused")


def test_answers_come_in_the_form_that_is_accepted(api: Client) -> None:
    sql = "SELECT RayID, ClientRequestHost, EdgeResponseStatus FROM http_requests WHERE _date = '2025-11-25' ORDER BY 1"

    def get(accept: str) -> httpx.Response:
        answer = api("POST", "/query", json={"sql": sql}, headers={"Accept": accept})
        assert answer.headers["content-type"].partition(";")[0] in accept
        return answer

    lines = get("application/x-ndjson").text.splitlines()
    assert json.loads(lines[1]) == {"RayID": "0-1", "ClientRequestHost": "=1+1", "EdgeResponseStatus": 403}
    rows = list(csv.reader(io.StringIO(get("text/csv").text)))
    assert rows[:3] == [
        ["RayID", "ClientRequestHost", "EdgeResponseStatus"],
        ["0-0", "a.example", "200"],
        ["0-1", "'=1+1", "403"],
    ]
    stream = pa.ipc.open_stream(get("application/vnd.apache.arrow.stream").content).read_all()
    file = pq.read_table(io.BytesIO(get("application/vnd.apache.parquet").content))
    assert (
        stream.column("EdgeResponseStatus").to_pylist()
        == file.column("EdgeResponseStatus").to_pylist()
        == [200, 403, 200, None]
    )
    best = api("POST", "/query", json={"sql": sql}, headers={"Accept": "image/png, text/csv;q=0.5, */*;q=0.1"})
    assert best.headers["content-type"].startswith("text/csv")
    assert problem(api("POST", "/query", json={"sql": sql}, headers={"Accept": "image/png"})) == (406, "not-acceptable")


def test_sql_may_be_the_whole_body(api: Client) -> None:
    answer = api(
        "POST", "/query?limit=1", content="SELECT RayID FROM http_requests", headers={"Content-Type": "text/plain"}
    )
    assert answer.json()["row_count"] == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "either"),
        ({"sql": "SELECT 1", "dataset": "http_requests"}, "either"),
        ({"sql": "SELECT 1", "where": {}}, "say it in the SQL"),
        ({"sql": "SELECT 1", "limit": 0}, "limit is a number"),
        ({"sql": "SELECT 1", "live": "yes"}, "live is true or false"),
        ({"sql": "SELECT 1", "limit": True}, "limit is a number"),
        ({"sql": "SELECT 1", "tenant": "globex"}, "no 'tenant' in a query"),
        ({"sql": 7}, "sql is a text"),
        ({"dataset": "http_requests", "fields": ["x"]}, "no field 'x'"),
        ({"dataset": "http_requests", "order": 'RayID" --'}, "order is a field"),
        ([], "a JSON object"),
    ],
)
def test_a_body_that_is_no_query_is_told(api: Client, body: object, says: str) -> None:
    answer = api("POST", "/query", json=body)
    assert problem(answer) == (400, "not-read")
    assert says in answer.json()["detail"]


def test_what_must_not_run_is_refused_at_its_place(api: Client) -> None:
    answer = api("POST", "/query", json={"sql": "SELECT 1;\nDROP TABLE http_requests"})
    assert problem(answer) == (422, "refused")
    answer = api("POST", "/query", json={"sql": "SELECT *\nFROM secrets"})
    assert "at line 2, column 6" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", (401, "no-token")),
        ("lf_nobody_" + "A" * 43, (401, "no-token")),
        (ACME[:-1] + "B", (401, "no-token")),
        (ENDED, (401, "no-token")),
        (SENDER, (403, "wrong-scope")),
    ],
)
def test_nobody_asks_without_a_token_that_allows_it(api: Client, token: str, expected: tuple[int, str]) -> None:
    about = [("GET", f"/datasets/http_requests/{rest}") for rest in ("fields", "histogram", "records/x", "around/x")]
    for method, path in (("POST", "/query"), ("GET", "/datasets"), ("GET", "/find/1-1"), ("GET", "/queries"), *about):
        assert problem(api(method, path, token)) == expected


def test_a_tenant_sees_its_own_rows_queries_and_ids_alone(api: Client) -> None:
    sql = "SELECT RayID FROM http_requests"
    assert [row["RayID"] for row in api.ask(sql, GLOBEX)["rows"]] == ["theirs"]
    id = api.ask(sql)["id"]
    assert api("GET", f"/query/{id}").json()["row_count"] == 12
    for method in ("GET", "DELETE"):
        assert problem(api(method, f"/query/{id}", GLOBEX)) == (404, "not-found")
    assert [query["sql"] for query in api("GET", "/queries", GLOBEX).json()["queries"]] == [sql]
    assert api("GET", "/find/1-1").json()["records"][0]["record"]["EdgeResponseStatus"] == 403
    assert problem(api("GET", "/find/1-1", GLOBEX)) == (404, "not-found")


def test_the_datasets_are_told_with_their_fields(api: Client) -> None:
    told = api("GET", "/datasets").json()
    assert [(each["name"], each["retention_days"], each["id_field"]) for each in told["datasets"]] == [
        ("http_requests", 7, "RayID")
    ]


def test_a_dataset_without_rows_and_an_unconfigured_server_say_so(
    api: Client, runner: asyncio.Runner, tmp_path: Path
) -> None:
    empty = Client(Store(f"file://{tmp_path}"), runner)
    assert problem(empty("POST", "/query", json={"sql": "SELECT * FROM http_requests"})) == (404, "no-rows")
    runner.run(empty.engine.close())
    api.source.now = None
    answer = api("GET", "/datasets")
    assert problem(answer) == (503, "unconfigured")
    assert answer.headers["retry-after"]


_TENS = "WITH a AS (SELECT * FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) AS t(n)) "
ENDLESS = f"{_TENS} SELECT sum(a0.n * a1.n % a2.n) AS n FROM {', '.join(f'a AS a{n}' for n in range(12))}"


def test_a_query_that_runs_is_seen_and_cancelled(api: Client) -> None:
    async def play() -> tuple[httpx.Response, Any]:
        asking = asyncio.create_task(api.send("POST", "/query", json={"sql": ENDLESS}))
        async with asyncio.timeout(30):
            while not (seen := (await api.send("GET", "/queries")).json()["queries"]):
                await asyncio.sleep(0.01)
            while (await api.send("GET", f"/query/{seen[0]['id']}")).json()["state"] == "waiting":
                await asyncio.sleep(0.01)
            await api.send("DELETE", f"/query/{seen[0]['id']}")
            answer = await asking
        return answer, (await api.send("GET", f"/query/{seen[0]['id']}")).json()

    answer, about = api.runner.run(play())
    assert problem(answer) == (422, "refused")
    assert "cancelled" in answer.json()["detail"]
    assert about["state"] == "cancelled"
    assert api.engine.turns.running == 0


@pytest.mark.parametrize("path", ["/query", "/datasets/http_requests/histogram?q=x"])
def test_a_client_that_goes_away_ends_its_query_before_its_first_row(
    api: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("logflume.api.dataset.histogram.when", lambda _: f"(SELECT n FROM ({ENDLESS}) AS endless)")

    async def queries() -> Any:
        return (await api.send("GET", "/queries")).json()["queries"]

    async def play() -> tuple[list[int], Any]:
        body = json.dumps({"sql": ENDLESS}).encode()
        told = [{"type": "http.request", "body": body if path == "/query" else b"", "more_body": False}]
        answered: list[int] = []

        async def receive() -> dict[str, Any]:
            if told:
                return told.pop()
            async with asyncio.timeout(30):
                while not (seen := await queries()) or seen[0]["state"] != "running":
                    await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            answered.append(message.get("status", 0))

        place, _, parameters = path.partition("?")
        headers = {"authorization": f"Bearer {ACME}", "content-type": "application/json"}
        scope = {
            "type": "http",
            "method": "POST" if path == "/query" else "GET",
            "path": f"/api/v1{place}",
            "query_string": parameters.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        async with asyncio.timeout(30):
            await api.api(scope, receive, send)
        return answered, (await queries())[0]

    answered, about = api.runner.run(play())
    assert answered[0] == 499
    assert (about["state"], about["problem"]["detail"]) == ("failed", "the client has gone away")
    assert api.engine.turns.running == 0


def test_one_that_takes_too_long_is_ended_and_says_so(store: Store, runner: asyncio.Runner) -> None:
    hasty = Client(store, runner, explore_seconds=0.5)
    assert problem(hasty("POST", "/query", json={"sql": ENDLESS})) == (422, "too-long")
    assert hasty.ask("SELECT 1 AS one")["rows"] == [{"one": 1}]
    runner.run(hasty.engine.close())


def test_what_fails_before_its_first_row_is_a_problem(api: Client) -> None:
    sql = "SELECT 1 / (EdgeResponseStatus - 200) FROM http_requests"
    assert problem(api("POST", "/query", json={"sql": sql})) == (422, "refused")
    [query] = api("GET", "/queries").json()["queries"]
    assert (query["state"], query["problem"]["type"]) == ("failed", "urn:logflume:refused")


def test_what_fails_while_it_is_written_breaks_the_answer_off(store: Store, runner: asyncio.Runner) -> None:
    hasty = Client(store, runner, explore_seconds=0.5, explore_rows=100_000_000)
    many = f"{_TENS} SELECT a0.n FROM {', '.join(f'a AS a{n}' for n in range(12))} LIMIT 100000000"
    with pytest.raises(TooLong):  # so a server cuts the connection
        hasty("POST", "/query", json={"sql": many}, headers={"Accept": "application/vnd.apache.arrow.stream"})
    [query] = hasty("GET", "/queries").json()["queries"]
    assert (query["state"], query["problem"]["type"]) == ("failed", "urn:logflume:too-long")
    assert query["row_count"] > 0
    runner.run(hasty.engine.close())


def test_a_query_whose_answer_nobody_begins_to_read_gives_its_turn_back(api: Client) -> None:
    api.leave_at_once("SELECT RayID FROM http_requests")
    assert api.engine.turns.running == 0
    [query] = api("GET", "/queries").json()["queries"]
    assert query["state"] == "failed"


def test_what_is_found_by_an_id_is_a_query_among_the_others(api: Client) -> None:
    assert api("GET", "/find/1-1").status_code == 200
    [query] = api("GET", "/queries").json()["queries"]
    assert (query["state"], query["row_count"]) == ("done", 1)


def test_other_paths_and_methods_are_problems_too(api: Client) -> None:
    assert problem(api("GET", "/nothing")) == (404, "not-found")
    assert problem(api("PUT", "/query")) == (405, "not-found")
