"""The demo's traffic: its ids, its shape, and the story that the walk-through finds in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest

from logflume.demo import scenes
from logflume.demo.traffic import Batch, Shape, Traffic, text_ids
from tests.support.calls import calls

NOW_NS = 1_763_812_800_000_000_000


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(30_000, seed=7, end_ns=NOW_NS)


@pytest.fixture(scope="module")
def batches(traffic: Traffic) -> list[Batch]:
    return list(traffic.batches(chunk_rows=5_000))


def records(batches: list[Batch], dataset: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((b.tenant, orjson.loads(line)) for b in batches if b.dataset == dataset for line in b.records())


def test_the_same_seed_makes_the_same_bytes_and_another_seed_other_ids(batches: list[Batch]) -> None:
    again = list(Traffic(30_000, seed=7, end_ns=NOW_NS).batches(chunk_rows=5_000))
    assert [b.data for b in again] == [b.data for b in batches]
    other = np.concatenate([b.ids for b in Traffic(30_000, seed=8, end_ns=NOW_NS).batches()])
    assert not np.isin(other, np.concatenate([b.ids for b in batches])).any()


def test_every_request_has_an_id_of_its_own_and_it_is_the_one_that_the_batch_names(batches: list[Batch]) -> None:
    ids = np.concatenate([b.ids for b in batches if b.dataset == "http_requests"])
    assert len(np.unique(ids)) == len(ids) == 30_000
    for batch in batches:
        assert [orjson.loads(r)["RayID"] for r in batch.records()] == text_ids(batch.ids).to_pylist()
        assert batch.ends[-1] == len(batch.data)
        assert batch.rows == len(batch.ends) == batch.data.count(b"\n")


def test_every_request_that_a_rule_stopped_has_one_firewall_event_of_its_tenant(batches: list[Batch]) -> None:
    stopped = {
        r["RayID"]: (t, r["SecurityRuleID"]) for t, r in records(batches, "http_requests") if r["SecurityAction"]
    }
    events = {r["RayID"]: (t, r["RuleID"]) for t, r in records(batches, "firewall_events")}
    assert stopped == events
    assert len(events) == sum(b.rows for b in batches if b.dataset == "firewall_events")


def test_tenants_follow_zipf_and_their_hosts_are_their_own(traffic: Traffic, batches: list[Batch]) -> None:
    rows = Counter[str]()
    for batch in batches:
        rows[batch.tenant] += batch.rows
    assert set(rows) == set(traffic.tenants)
    assert len(traffic.tenants) == 50
    assert rows.most_common(1)[0][0] == traffic.tenants[0]
    assert rows[traffic.tenants[0]] > 5 * rows[traffic.tenants[19]]
    assert all(r["ClientRequestHost"] == f"www.{t}.example" for t, r in records(batches, "http_requests"))


def test_the_attacked_tenant_shows_what_the_walk_looks_for(traffic: Traffic, batches: list[Batch]) -> None:
    mine = [r for t, r in records(batches, "http_requests") if t == traffic.attacked]
    likely = [r for r in mine if r["WAFAttackScore"] < 20 and not r["SecurityAction"]]
    from_one = [r for r in likely if r["ClientIP"] == scenes.ATTACKER]
    assert len(from_one) > 0.8 * len(likely) > 100
    assert all(r["OriginResponseBytes"] == 0 for r in mine if r["ClientIP"] == scenes.ATTACKER)
    assert any(r["OriginResponseBytes"] > 0 for r in mine)
    assert any(r["EdgeResponseStatus"] == 403 and r["SecurityAction"] == "block" for r in mine)
    begin, end = (np.datetime64(ms, "ms") for ms in traffic.attack_window_ms)
    times = np.array([r["EdgeStartTimestamp"].removesuffix("Z") for r in from_one], "datetime64[ms]")
    assert begin <= times.min() <= times.max() < end


def test_maps_arrays_and_odd_values_come_only_when_asked_for() -> None:
    plain = Shape(nested_share=0, odd_share=0)
    lines = [orjson.loads(r) for b in Traffic(2_000, seed=1, end_ns=NOW_NS, shape=plain).batches() for r in b.records()]
    assert not any(isinstance(v, list | dict) for line in lines for v in line.values())
    assert not any("DeployTag" in line for line in lines)
    full = Shape(nested_share=0.5, odd_share=0.1)
    lines = [orjson.loads(r) for b in Traffic(2_000, seed=1, end_ns=NOW_NS, shape=full).batches() for r in b.records()]
    assert sum("Cookies" in line for line in lines) > 500
    assert any("DeployTag" in line for line in lines)


def test_ten_thousand_tenants_have_ten_thousand_names() -> None:
    assert len(set(scenes.tenant_names(10_000))) == 10_000


def test_making_traffic_is_never_what_a_demo_waits_for() -> None:
    traffic = Traffic(40_000, seed=3, end_ns=NOW_NS)
    next(iter(traffic.batches(10)))  # the pools are made on first use
    calls(lambda: list(traffic.batches()), most=10_000)  # columns are made, no rows
