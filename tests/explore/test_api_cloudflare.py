"""The published API of logs, asked by the client that Cloudflare publishes for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import AsyncCloudflare

from logflume.api.cloudflare.spelling import spelt
from logflume.errors import Refused
from logflume.table.store import Store
from tests.support.api import ACME, GLOBEX, SENDER, Client
from tests.support.tables import NOON, SMALL, append

NOW = NOON + 3 * 86_400_000_000_000
MINUTE = 60_000_000_000
START = NOW - 30 * MINUTE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Of acme a record that arrived in each of 20 minutes, and two with one id long before; one of globex."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(
        store,
        [f"ray-{n}" for n in range(20)],
        upto=20,
        times=[NOON + 1_500_000_000 + n * 1000 for n in range(20)],
        _received=[START + n * MINUTE for n in range(20)],
        ClientRequestHost=["${jndi:x}", *["a.example"] * 19],
        EdgeResponseStatus=[None, *[200] * 19],
    )
    append(store, ["twice", "twice"], upto=22)
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture
def api(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    client = Client(store, runner, explore_rows=100_000)
    yield client
    client.close()


Ask = Callable[[Callable[[AsyncCloudflare], Awaitable[Any]]], Any]


def asking(api: Client, token: str = ACME) -> Ask:
    """Call with the published client, which parses strictly, and does not try again."""

    def ask(call: Callable[[AsyncCloudflare], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            transport = httpx.AsyncClient(transport=httpx.ASGITransport(api.api))
            async with AsyncCloudflare(
                api_token=token, base_url="http://logflume/client/v4", max_retries=0, http_client=transport
            ) as client:
                return await call(client)

        return api.runner.run(asked())

    return ask


@pytest.fixture
def ask(api: Client) -> Ask:
    return asking(api)


def received(ask: Ask, **asked: Any) -> list[dict[str, Any]]:
    within = {"start": START // 1_000_000_000, "end": (START + 20 * MINUTE) // 1_000_000_000}
    text = ask(lambda c: c.logs.received.get(zone_id="acme", **(within | asked)))
    return [json.loads(line) for line in text.splitlines()]


def test_sql_gives_its_rows_as_the_result(ask: Ask) -> None:
    sql = b"SELECT RayID, EdgeStartTimestamp FROM http_requests WHERE RayID >= 'ray-8' ORDER BY RayID LIMIT 2;"
    page = ask(lambda c: c.logs.log_explorer.query.sql(sql, account_id="acme"))
    assert page.result == [
        {"RayID": "ray-8", "EdgeStartTimestamp": "2025-11-25T12:00:01.500008Z"},
        {"RayID": "ray-9", "EdgeStartTimestamp": "2025-11-25T12:00:01.500009Z"},
    ]
    assert ask(lambda c: c.logs.log_explorer.query.sql(sql, zone_id="acme")).result == page.result


def test_sql_may_be_a_parameter_too_and_a_cut_is_told(api: Client) -> None:
    url = "http://logflume/client/v4/zones/acme/logs/explorer/query/sql"
    told = api("GET", url, params={"query": "SELECT unnest(range(0, 10001)) AS n"}).json()
    assert (told["success"], told["errors"], len(told["result"])) == (True, [], 10_000)
    assert "more rows than the 10000" in told["messages"][0]
    told = api("GET", url, params={"query": "SELECT 1 AS n"}).json()
    assert told == {"result": [{"n": 1}], "success": True, "errors": [], "messages": []}


def test_fields_may_be_written_in_any_case_and_keep_the_querys_in_the_answer(ask: Ask) -> None:
    sql = b"""SELECT rayid, clientRequestHost, count(*) AS EdgeResponseStatus, 'rayid' AS t FROM http_requests
              WHERE edgestarttimestamp > now() - INTERVAL '30' YEAR AND date >= '2025-11-01' AND rayid = 'ray-1'
              GROUP BY rayid, clientrequesthost ORDER BY EdgeResponseStatus, rayid"""
    page = ask(lambda c: c.logs.log_explorer.query.sql(sql, account_id="acme"))
    assert page.result == [{"rayid": "ray-1", "clientRequestHost": "a.example", "EdgeResponseStatus": 1, "t": "rayid"}]
    inner = b"SELECT DISTINCT rayid FROM (SELECT rayid FROM http_requests h JOIN http_requests g USING (rayid)) x"
    assert len(ask(lambda c: c.logs.log_explorer.query.sql(inner, account_id="acme")).result) == 21


def test_only_names_that_are_surely_fields_are_spelt_anew() -> None:
    def told(sql: str) -> str:
        return spelt(sql, {"http_requests": SMALL})

    same = "SELECT \"rayid\", 'rayid', rayid(RayID) FROM http_requests rayid -- rayid"
    assert told(same) == same
    alias = "SELECT count(*) AS rayid FROM http_requests GROUP BY RayID ORDER BY rayid"
    assert told(alias) == alias
    assert told("SELECT 1 FROM http_requests WHERE h.rayid = 'x' ") == (
        "SELECT 1 FROM http_requests WHERE h.\"RayID\" = 'x' "
    )
    with pytest.raises(Refused, match="only SELECT"):
        told("DROP TABLE http_requests")


def test_datasets_are_listed_told_and_described(ask: Ask) -> None:
    [summary] = ask(lambda c: c.logs.log_explorer.datasets.list(account_id="acme")).result
    assert (summary.dataset, summary.object_id, summary.object_type) == ("http_requests", "acme", "account")
    assert summary.enabled
    dataset = ask(lambda c: c.logs.log_explorer.datasets.get(summary.dataset_id, zone_id="acme"))
    assert (dataset.object_type, [f.name for f in dataset.fields]) == ("zone", [f.name for f in SMALL.fields])
    [available] = ask(lambda c: c.logs.log_explorer.datasets.available.list(zone_id="acme")).result
    assert (available.dataset, available.timestamp_field) == ("http_requests", "EdgeStartTimestamp")
    kinds = {name: about["type"] for name, about in available.schema_.properties.items()}
    assert (kinds["EdgeStartTimestamp"], kinds["EdgeResponseStatus"]) == ("string", "integer")


def test_a_record_is_in_the_minute_of_its_arrival_and_in_no_other(ask: Ask) -> None:
    def minute(n: int) -> list[str]:
        start = datetime.fromtimestamp((START + n * MINUTE) / 1e9, UTC)
        end = start + timedelta(minutes=1)
        return [
            row["RayID"]
            for row in received(
                ask, start=start.isoformat().replace("+00:00", "Z"), end=end.isoformat(), fields="RayID"
            )
        ]

    assert [minute(n) for n in range(3)] == [["ray-0"], ["ray-1"], ["ray-2"]]
    nanoseconds = received(ask, start=START, end=START + 1000, fields="RayID")
    assert nanoseconds == [{"RayID": "ray-0"}]
    assert received(ask, start=START - 20 * MINUTE, end=START) == []


def test_the_fields_are_those_that_are_asked_for_or_the_published_ones(ask: Ask) -> None:
    [row] = received(ask, count=1, fields="EdgeResponseStatus,RayID,RayID")
    assert set(row) == {"RayID", "EdgeResponseStatus"}
    published = {"RayID", "EdgeStartTimestamp", "ClientRequestHost", "EdgeResponseStatus"}
    assert {frozenset(row) for row in received(ask)} == {frozenset(published)}
    described = ask(lambda c: c.logs.received.fields.get(zone_id="acme"))
    assert set(described.model_extra) == {field.name for field in SMALL.fields}


@pytest.mark.parametrize(
    ("timestamps", "told"),
    [
        (None, 1_764_072_001_500_001_000),
        ("unixnano", 1_764_072_001_500_001_000),
        ("unix", 1_764_072_001),
        ("rfc3339", "2025-11-25T12:00:01.500001Z"),
    ],
)
def test_times_come_as_they_are_asked_for(ask: Ask, timestamps: Any, told: Any) -> None:
    more = {"timestamps": timestamps} if timestamps else {}
    text = ask(lambda c: c.logs.rayid.get("ray-1", zone_id="acme", fields="EdgeStartTimestamp", **more))
    assert json.loads(text) == {"EdgeStartTimestamp": told}


def test_count_is_of_those_told_and_a_sample_is_about_as_large_as_said(api: Client, ask: Ask) -> None:
    assert len(received(ask, count=7)) == 7
    many = [f"many-{n}" for n in range(4000)]
    append(api.store, many, upto=5000, _received=[NOW - 100 * MINUTE] * 4000)
    around = {"start": NOW - 101 * MINUTE, "end": NOW - 99 * MINUTE, "fields": "RayID"}
    assert 280 < len(received(ask, sample=0.1, **around)) < 520  # 400 +- 6 standard deviations
    assert len(received(ask, sample=0.1, count=5, **around)) == 5
    assert len(received(ask, sample=1, **around)) == 4000


def test_what_a_shell_may_look_up_is_redacted_when_asked_for(ask: Ask) -> None:
    [row] = received(ask, count=1, end=(START + MINUTE) // 10**9, extra_query={"CVE-2021-44228": "true"})
    assert row["ClientRequestHost"] == "x{jndi:x}"
    [row] = received(ask, count=1, end=(START + MINUTE) // 10**9)
    assert row["ClientRequestHost"] == "${jndi:x}"


def test_an_id_has_none_one_or_more_records(ask: Ask) -> None:
    def found(id: str) -> list[str]:
        text: str = ask(lambda c: c.logs.rayid.get(id, zone_id="acme", fields="RayID"))
        return text.splitlines()

    assert [len(found(id)) for id in ("nowhere", "ray-3", "twice", "theirs", "x' OR '1'='1")] == [0, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"start": "soon"}, "start is a time"),
        ({"start": ""}, "start is a time"),
        ({"start": "2025-11-28"}, "start is a time"),
        ({"end": START // 10**9}, "end must be later than start"),
        ({"end": NOW // 10**9}, "at least 60 seconds before now"),
        ({"start": START // 10**9 - 3600}, "not be more than one hour apart"),
        ({"count": 0}, "count is a number from 1"),
        ({"sample": 0.0001}, "sample is a number from 0.001 to 1"),
        ({"sample": "nan"}, "sample is a number from 0.001 to 1"),
        ({"fields": "RayID,_extra"}, "has no field '_extra'"),
        ({"fields": 'RayID" FROM x --'}, "has no field"),
        ({"timestamps": "iso"}, "timestamps is one of unixnano, unix, rfc3339"),
        ({"extra_query": {"limit": 1}}, "there is no parameter 'limit'"),
    ],
)
def test_a_mistake_is_told_in_the_envelope(ask: Ask, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(cloudflare.BadRequestError) as told:
        received(ask, **asked)
    [error] = told.value.errors
    assert error.code == 400
    assert why in str(error.message)


def test_anothers_account_is_not_found_and_what_is_not_allowed_is_told_as_published(api: Client) -> None:
    def refused(kind: type[cloudflare.APIStatusError], token: str, call: Any) -> int | None:
        with pytest.raises(kind) as told:
            asking(api, token)(call)
        body: Any = told.value.body
        assert (body["success"], body["result"], body["messages"]) == (False, None, [])
        return told.value.errors[0].code

    def list(c: AsyncCloudflare) -> Any:
        return c.logs.log_explorer.datasets.list(account_id="acme")

    def sql(text: bytes) -> Any:
        return lambda c: c.logs.log_explorer.query.sql(text, account_id="acme")

    assert refused(cloudflare.NotFoundError, GLOBEX, list) == 7003
    assert refused(cloudflare.NotFoundError, GLOBEX, lambda c: c.logs.rayid.get("theirs", zone_id="acme")) == 7003
    assert refused(cloudflare.NotFoundError, GLOBEX, sql(b"SELECT 1")) == 7003
    assert refused(cloudflare.AuthenticationError, "lf_none_" + "A" * 43, list) == 10000
    assert refused(cloudflare.PermissionDeniedError, SENDER, list) == 9109
    assert refused(cloudflare.UnprocessableEntityError, ACME, sql(b"COPY http_requests TO '/tmp/x'")) == 422
    assert refused(cloudflare.UnprocessableEntityError, ACME, sql(b"SELECT nothing FROM http_requests")) == 422
    assert refused(cloudflare.BadRequestError, ACME, sql(b"\xff")) == 400
    nothing = "http_requests2"
    assert (
        refused(cloudflare.NotFoundError, ACME, lambda c: c.logs.log_explorer.datasets.get(nothing, account_id="acme"))
        == 7003
    )
    delete = refused(
        cloudflare.APIStatusError,
        ACME,
        lambda c: c.logs.log_explorer.datasets.delete("http_requests", account_id="acme"),
    )
    assert delete == 405
    assert refused(cloudflare.NotFoundError, ACME, lambda c: c.zones.get(zone_id="acme")) == 7003


def test_an_answer_that_is_cut_without_having_been_asked_to_be_breaks_off(store: Store, runner: asyncio.Runner) -> None:
    few = Client(store, runner, explore_rows=5)
    try:
        ask = asking(few)
        assert len(received(ask, count=5)) == 5
        with pytest.raises(cloudflare.APIConnectionError) as broken:
            received(ask)
        assert "more than the 5 records" in str(broken.value.__cause__)
    finally:
        runner.run(few.engine.close())


def test_nothing_at_rest_is_no_record(tmp_path: Path, runner: asyncio.Runner) -> None:
    empty = Client(Store(f"file://{tmp_path}"), runner)
    try:
        ask = asking(empty)
        assert received(ask) == []
        assert ask(lambda c: c.logs.rayid.get("x", zone_id="acme")) == ""
    finally:
        runner.run(empty.engine.close())
