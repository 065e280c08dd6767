"""``/usage``: what the tables' logs say by day, and dead letters as they were counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from logflume.api import usage
from logflume.api.rejected import Key, Rejected
from logflume.care.look import Carer
from logflume.clock import ManualClock
from logflume.errors import Retryable
from logflume.model import Datasets
from logflume.settings import Settings
from logflume.table import log
from logflume.table.store import Store
from tests.support.api import GLOBEX, Client, problem
from tests.support.tables import DAY, NOON, SMALL, append

# The clock of ``Client`` stands at noon of 2025-11-28.


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two event days; arrivals on the 25th and 26th, and across midnight of the 27th."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["a", "b"], upto=2)
    append(store, ["c"], upto=3, times=[NOON + DAY], _received=[NOON + DAY])
    return store


@pytest.fixture
def api(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    client = Client(store, runner)
    yield client
    client.close()


class Counted(Rejected):
    """Dead letters that are known already, or not to be had."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble

    def of(self, tenant: str) -> dict[Key, tuple[int, int]]:
        if self.trouble:
            raise self.trouble
        days = date(2025, 11, 28), date(2025, 11, 10)
        found = {Key("acme", "http_requests", day, "not-json"): (3, 120) for day in days}
        return found | {Key("acme", "events", days[0], "unwanted"): (1, 9)} if tenant == "acme" else {}


def test_what_is_stored_is_told_by_event_day_and_what_came_by_arrival(api: Client) -> None:
    told = api("GET", "/usage").json()
    assert (told["tenant"], told["since"]) == ("acme", "2025-11-22")
    [dataset] = told["datasets"]
    assert (dataset["dataset"], dataset["rows"], dataset["files"]) == ("http_requests", 3, 2)
    assert [(day["day"], day["rows"], day["files"]) for day in dataset["stored"]] == [
        ("2025-11-25", 2, 1),
        ("2025-11-26", 1, 1),
    ]
    assert sum(day["bytes"] for day in dataset["stored"]) == dataset["bytes"] > 0
    assert dataset["received"] == [
        {"day": "2025-11-25", "records": 2, "bytes": 2 * (1 + 8), "at_least": False},
        {"day": "2025-11-26", "records": 1, "bytes": 1 + 8, "at_least": False},
    ]
    assert api("GET", "/queries").json()["queries"] == []  # its log alone told it


def test_days_bound_what_is_told_of_arrivals(api: Client) -> None:
    [dataset] = api("GET", "/usage?days=3").json()["datasets"]
    assert [day["day"] for day in dataset["received"]] == ["2025-11-26"]
    for days in ("0", "91", "x", "-1"):
        assert problem(api("GET", f"/usage?days={days}")) == (400, "not-read")


def test_days_that_retention_has_begun_to_take_are_a_lower_bound(api: Client) -> None:
    api.clock.advance(4 * 86_400)  # the tenant keeps a week
    [dataset] = api("GET", "/usage?days=10").json()["datasets"]
    assert [(day["day"], day["at_least"]) for day in dataset["received"]] == [
        ("2025-11-25", True),
        ("2025-11-26", False),
    ]


def test_files_that_reach_over_midnight_are_counted_by_a_query(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["a", "b", "c"], times=[NOON] * 3, _received=[NOON, NOON + DAY, NOON + DAY])
    client = Client(store, runner)
    [dataset] = client("GET", "/usage").json()["datasets"]
    assert [(day["day"], day["records"]) for day in dataset["received"]] == [("2025-11-25", 2 - 1), ("2025-11-26", 2)]
    assert [day["rows"] for day in dataset["stored"]] == [3]
    [query] = client("GET", "/queries").json()["queries"]
    assert query["state"] == "done"
    client.close()


def test_a_tenant_without_rows_has_nothing_and_anothers_is_not_told(api: Client) -> None:
    [dataset] = api("GET", "/usage", GLOBEX).json()["datasets"]
    assert (dataset["rows"], dataset["bytes"], dataset["stored"], dataset["received"]) == (0, 0, [], [])


def test_rejected_records_are_told_by_day_and_reason(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.made, "_rejected", Counted())
    api.renew()
    told = api("GET", "/usage").json()
    assert told["rejections"] == {"since": "2025-11-22", "known": True, "because": None}
    first, other = told["datasets"]
    assert first["rejected"] == [{"day": "2025-11-28", "reason": "not-json", "records": 3, "bytes": 120}]
    assert (other["dataset"], other["rejected"][0]["reason"]) == ("events", "unwanted")
    assert api("GET", "/usage", GLOBEX).json()["datasets"][0]["rejected"] == []


def test_without_kafka_the_rest_is_told_and_what_is_missing_is_said(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api("GET", "/usage").json()["rejections"]["known"] is False
    monkeypatch.setattr(api.made, "_rejected", Counted(Retryable("away: broker-7:9092")))
    api.renew()
    told = api("GET", "/usage").json()
    assert (told["rejections"]["known"], told["datasets"][0]["rows"]) == (False, 3)
    assert "broker-7" not in str(told)


def test_letters_that_take_long_to_read_are_not_waited_for(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(api.made, "_rejected", Counted())
    api.renew()
    assert "still being read" in api("GET", "/usage").json()["rejections"]["because"]


def test_bytes_are_the_same_after_a_checkpoint_and_a_merge_and_not_known_of_files_that_do_not_say(
    tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"file://{tmp_path}")
    path = store.table("acme", "http_requests")
    for number in range(4):
        append(store, [f"ray-{number}"], upto=number + 1, EdgeResponseStatus=[200], _extra=['{"a":"é"}'])

    def told() -> list[int | None]:
        client = Client(store, runner)
        try:
            [dataset] = client("GET", "/usage").json()["datasets"]
            return [day["bytes"] for day in dataset["received"]]
        finally:
            client.close()

    each = len("ray-0") + 8 + 8 + len('{"a":"é"}'.encode())
    assert told() == [4 * each]
    log.checkpoint(store, path)
    append(store, ["x"], upto=5)
    assert told() == [4 * each + 1 + 8]
    clock = ManualClock(NOON)
    carer = Carer(Settings(care_fan_in=2), Datasets({SMALL.name: SMALL}), store, clock, lambda: NOON / 1e9)
    assert carer.look("acme", "http_requests", None).merged_files == 5
    log.forget(store, path)
    assert told() == [4 * each + 1 + 8]
    monkeypatch.setattr(log, "VALUE_BYTES", "another")
    append(store, ["old"], upto=6)
    assert told() == [None]
