"""``GET /tail``, where it is a problem before anything is followed; and how rows are spelt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from logflume.api.tail import records
from logflume.table import parquet
from logflume.table.store import Store
from tests.support.api import SENDER, Client, problem
from tests.support.tables import SMALL, rows

WHERE = '{"key": "nothing", "operator": "eq", "value": "x"}'


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("store")
    with asyncio.Runner() as runner:
        client = Client(Store(f"file://{folder}"), runner)
        yield client
        client.close()


@pytest.mark.parametrize(
    ("asked", "expected", "says"),
    [
        ({"dataset": "nothing"}, (404, "not-found"), "there is no dataset"),
        ({"dataset": ""}, (404, "not-found"), "there is no dataset"),
        ({"sample": "0"}, (400, "not-read"), "sample is a number"),
        ({"sample": "nan"}, (400, "not-read"), "sample is a number"),
        ({"where": "{"}, (400, "not-read"), "where is no JSON"),
        ({"where": WHERE}, (422, "refused"), "has no field"),
        ({"q": "x" * 1001}, (400, "not-read"), "q has at most"),
        ({"since": "1h"}, (400, "not-read"), "no parameter"),
        ({}, (503, "unconfigured"), "no Kafka"),
    ],
)
def test_what_can_not_be_followed_is_a_problem(
    api: Client, asked: dict[str, str], expected: tuple[int, str], says: str
) -> None:
    answer = api("GET", "/tail", params={"dataset": "http_requests", **asked})
    assert problem(answer) == expected
    assert says in answer.json()["detail"]


def test_nobody_follows_without_a_token_that_allows_it(api: Client) -> None:
    assert problem(api("GET", "/tail", SENDER, params={"dataset": "http_requests"})) == (403, "wrong-scope")


def test_what_stands_behind_last_event_id_must_be_coordinates(api: Client) -> None:
    answer = api("GET", "/tail", params={"dataset": "http_requests"}, headers={"Last-Event-ID": "7"})
    assert problem(answer) == (400, "not-read")


def test_a_row_is_told_with_the_fields_that_it_has(api: Client) -> None:
    [record] = records(parquet.at_rest(rows(["a"], RequestHeaders=[[("x", "y")]]), SMALL))
    assert set(record) == {
        *("RayID", "EdgeStartTimestamp", "RequestHeaders", "_received"),
        *("_src_topic", "_src_partition", "_src_offset", "_src_row"),
    }
    assert json.loads(json.dumps(record["RequestHeaders"])) == {"x": "y"}
