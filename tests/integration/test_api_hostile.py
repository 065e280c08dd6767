"""Hostile use by HTTP: whatever is sent is answered, with a problem or one's own rows, and the API goes on.

What the SQL checks, the gateway and the sandbox refuse one by one stands in their tests; here all of it is in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from logflume.table.store import Store
from tests.support.api import ACME, GLOBEX, Client, problem
from tests.support.tables import NOON, append
from tests.support.waiting import until

SECRET = "theirs-4711"
BASE = "/datasets/http_requests"
SQL = "SELECT RayID FROM http_requests ORDER BY 1"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["own"])
    append(store, [SECRET], tenant="globex", _src_offset=[77], times=[NOON])
    with asyncio.Runner() as runner:
        client = Client(store, runner, explore_seconds=4.0, explore_memory_bytes="64MB", explore_threads=1)
        client("PUT", f"/saved/{SECRET}", GLOBEX, json={"sql": "SELECT 1"}, headers={"If-None-Match": "*"})
        yield client
        client.close()


@pytest.fixture(autouse=True)
def _goes_on(api: Client) -> Iterator[None]:
    yield
    ask = lambda: api("POST", "/query", json={"sql": SQL})  # noqa: E731
    answer = until(lambda: (said := ask()).status_code == 200 and said, 60, "an answer in time")
    assert answer.json()["rows"] == [{"RayID": "own"}]
    assert api.engine.turns.running == 0


def refused(api: Client, sql: str) -> tuple[int, str]:
    answer = api("POST", "/query", json={"sql": sql})
    assert SECRET not in answer.text
    return problem(answer)


@pytest.mark.parametrize(
    "sql",
    [
        # Path tricks: names that are another's table, a file, an object, a URL.
        'SELECT * FROM "../globex/http_requests"',
        'SELECT * FROM "tables/globex/http_requests"',
        'SELECT * FROM "http_requests/../../globex/http_requests"',
        "SELECT * FROM globex.http_requests",
        "SELECT * FROM datafusion.globex.http_requests",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '/proc/self/environ'",
        'SELECT * FROM "file:///etc/passwd"',
        "SELECT * FROM 's3://logflume/tables/globex/http_requests/*.parquet'",
        "SELECT * FROM 'http://169.254.169.254/latest/meta-data/'",
        # Quoting and comments.
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE http_requests",
        "SELECT RayID FROM http_requests; -- x\nCOPY http_requests TO 'x'",
        "/* SELECT */ DROP TABLE http_requests",
        "SELECT 1 /* ; */ ; /* x */ DELETE FROM http_requests",
        'SELECT * FROM "http_requests"" UNION SELECT * FROM ""globex"',
        "SELECT 'a\\'; DROP TABLE http_requests; --'",
        "SELECT * FROM http_requests WHERE contains_text(x'; SELECT 1, 'y')",
        # System tables and what tells of the engine.
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM pg_catalog.pg_tables",
        "SHOW TABLES",
        "SHOW ALL",
        "DESCRIBE http_requests",
        "EXPLAIN ANALYZE SELECT * FROM http_requests",
        "SET datafusion.execution.batch_size = 1",
        # Functions that read or make rows out of nothing.
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('x.parquet')",
        "SELECT * FROM range(1, 1000000000000)",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT * FROM http_requests, LATERAL read_json('/etc/passwd')",
        # What writes.
        "COPY http_requests TO '/tmp/x.parquet'",
        "COPY (SELECT * FROM http_requests) TO 's3://x/y' STORED AS PARQUET",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'",
        "CREATE TABLE x AS SELECT * FROM http_requests",
        "CREATE VIEW x AS SELECT 1",
        "INSERT INTO http_requests SELECT * FROM http_requests",
        "WITH x AS (DELETE FROM http_requests RETURNING *) SELECT * FROM x",
        "PREPARE x AS SELECT 1",
        "SELECT * INTO x FROM http_requests",
    ],
)
def test_what_is_no_question_to_ones_own_tables_is_refused(api: Client, sql: str) -> None:
    assert refused(api, sql) == (422, "refused")


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        # Huge literals and answers.
        (f"SELECT '{'x' * 100_000}'", {"refused"}),
        (f"SELECT {'(' * 3_000}1{')' * 3_000}", {"refused"}),
        (f"SELECT 1{' + 1' * 20_000}", {"refused", "too-long", "too-large"}),
        ("SELECT repeat('x', 2000000000)", {"too-large", "refused", "store-failed"}),
        ("SELECT lpad('x', 2147483647, 'y') FROM http_requests", {"too-large", "refused", "store-failed"}),
        ("SELECT array_resize([1], 2000000000, 1)", {"too-large", "refused", "store-failed"}),
        # Cross joins.
        (
            "WITH t AS (SELECT n FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) AS v(n)) SELECT sum(a0.n) FROM "
            + ", ".join(f"t AS a{n}" for n in range(14)),
            {"too-long", "too-large"},
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
            {"too-long", "too-large", "refused"},
        ),
        # Regular expressions that other engines choke on.
        ("SELECT regexp_like(RayID, '(((a{1,1000}){1,1000}){1,1000}){1,1000}') FROM http_requests", {"refused"}),
    ],
)
def test_what_would_take_too_much_is_ended(api: Client, sql: str, kinds: set[str]) -> None:
    status, kind = refused(api, sql)
    assert kind in kinds
    assert status in (422, 503)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT regexp_like(repeat('a', 20000), '^(a+)+$') AS x FROM http_requests",
        "SELECT regexp_like(repeat('a', 20000), '(a|a)*b') AS x FROM http_requests",
        f"SELECT repeat('a', 20000) LIKE '{'%a' * 2_000}b' AS x FROM http_requests",
    ],
)
def test_a_pattern_that_backtracks_elsewhere_is_answered_in_time(api: Client, sql: str) -> None:
    assert len(api.ask(sql)["rows"]) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{BASE}/records/topic.0.77.0"),
        ("GET", f"{BASE}/around/topic.0.77.0"),
        ("GET", f"/find/{SECRET}"),
        ("GET", f"/saved/{SECRET}"),
        ("GET", "/saved/..%2F..%2Fglobex%2F0000000001"),
        ("GET", "/query/..%2Fglobex"),
        ("GET", "/datasets/..%2f..%2fglobex%2fhttp_requests/fields"),
        ("GET", "/datasets/%2e%2e/fields"),
        ("GET", "/datasets/http_requests%00/fields"),
        ("GET", "/datasets/HTTP_REQUESTS/histogram"),
        ("GET", "//saved"),
        ("GET", "/../../tenants/globex"),
    ],
)
def test_what_is_anothers_is_not_there_by_any_path(api: Client, method: str, path: str) -> None:
    assert problem(api(method, path))[0] == 404


def test_the_id_of_anothers_query_is_one_that_does_not_exist(api: Client) -> None:
    answer = api("POST", "/query", GLOBEX, json={"sql": SQL})
    assert SECRET in answer.text
    id = answer.headers["logflume-query"]
    assert problem(api("GET", f"/query/{id}")) == (404, "not-found")
    assert problem(api("DELETE", f"/query/{id}")) == (404, "not-found")
    assert id not in api("GET", "/queries").text
    assert SECRET not in api("GET", "/usage").text


_INJECTED = "' OR 1=1 UNION SELECT * FROM globex --"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (f"{BASE}/fields", {"values": f'RayID"{_INJECTED}'}),
        (f"{BASE}/fields", {"values": "RayID", "where": '{"key":"RayID\\" OR 1=1","operator":"eq","value":1}'}),
        (f"{BASE}/histogram", {"by": f'RayID"{_INJECTED}'}),
        (f"{BASE}/histogram", {"width": f"5m{_INJECTED}"}),
        (f"{BASE}/histogram", {"since": f"15m{_INJECTED}"}),
        (f"{BASE}/histogram", {"where": "[" * 5_000}),
        (f"{BASE}/around/topic.0.0.0", {"before": "1e9"}),
        (f"{BASE}/records/topic.0.0.0{_INJECTED.replace('/', '')}", {}),
        (f"{BASE}/records/topic.0.99999999999999999999.0", {}),
        (f"{BASE}/records/topic.-1.0.0", {}),
        ("/usage", {"days": "7; DROP"}),
    ],
)
def test_no_parameter_becomes_sql(api: Client, path: str, parameters: dict[str, str]) -> None:
    answer = api("GET", path, params=parameters)
    assert problem(answer)[0] in (400, 422)
    assert SECRET not in answer.text


@pytest.mark.parametrize("text", [_INJECTED, "\\", "%", "'", '"', "\x00", "\u202e<script>", "$$", "';COPY x TO 'y"])
def test_free_text_and_an_id_are_texts_whatever_stands_in_them(api: Client, text: str) -> None:
    answer = api("POST", "/query", json={"dataset": "http_requests", "q": text})
    assert (answer.status_code, answer.json()["rows"]) == (200, [])
    where = {"key": "RayID", "operator": "eq", "value": text}
    answer = api("POST", "/query", json={"dataset": "http_requests", "where": where})
    assert (answer.status_code, answer.json()["rows"]) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"sql": "SELECT 1", "sql": ["SELECT 1"]}',
        b'{"sql": 1}',
        b'{"sql": "SELECT 1", "limit": 1e400}',
        b'{"sql": "SELECT 1", "limit": 100000000000000000000000000}',
        b'{"sql": "SELECT 1", "limit": true}',
        b'{"dataset": "http_requests", "where": ' + b'{"and": [' * 300 + b"]}" * 300 + b"}",
        b'{"dataset": "http_requests", "fields": ["RayID", "RayID\\" FROM globex --"]}',
        b'{"dataset": "http_requests", "order": "RayID; DROP"}',
        b'{"dataset": "../globex/http_requests"}',
        b'{"dataset": {"a": 1}}',
        b'{"sql": "SELECT 1", "tenant": "globex"}',
        b'\xff\xfe{"sql": "SELECT 1"}',
    ],
)
def test_a_body_that_is_no_question_is_a_problem(api: Client, body: bytes) -> None:
    answer = api("POST", "/query", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer)[0] in (400, 404, 413, 422)


def test_a_body_without_end_is_not_received(api: Client) -> None:
    answer = api("POST", "/query", content=b"x" * 1_100_000, headers={"Content-Type": "application/sql"})
    assert problem(answer) == (413, "not-read")
    answer = api("PUT", "/saved/x", content=b" " * 1_100_000, headers={"Content-Type": "application/json"})
    assert problem(answer) == (413, "not-read")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer  ", f"Basic {ACME}", f"Bearer {ACME}x", f"Bearer {'x' * 5_000}", "Bearer lf_acme_", ACME],
)
def test_what_is_no_token_opens_nothing(api: Client, authorization: str) -> None:
    answer = api("GET", "/datasets", headers={"Authorization": authorization})
    assert problem(answer)[0] in (401, 429)
    assert "acme" not in answer.text


@pytest.mark.parametrize("header", ["x" * 20_000, "text/html", "application/json;q=nan", "*/*;q=0", ",,,;;;"])
def test_what_is_accepted_can_be_anything(api: Client, header: str) -> None:
    answer = api("POST", "/query", json={"sql": SQL}, headers={"Accept": header})
    assert answer.status_code in (200, 406)


def test_a_saved_query_of_ones_own_runs_nothing_by_being_saved(api: Client) -> None:
    body: dict[str, Any] = {"sql": "DROP TABLE http_requests", "note": "<script>alert(1)</script>"}
    made = api("PUT", "/saved/<script>", json=body, headers={"If-None-Match": "*"})
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json"
    assert api("GET", "/saved/<script>").json()["query"] == {"sql": body["sql"]}
