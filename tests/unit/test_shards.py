"""Changes of shards: who gets a route, from where on, and for how long it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from logflume.config import shards
from logflume.config.shards import Ingest, Plan, planned
from logflume.errors import Misconfigured
from logflume.model import Configuration, Retired, Route, Tenant, TenantDataset
from tests.support.generations import generation


def ingest(*begins: int, topic_id: str = "e") -> dict[str, Ingest]:
    return {"events": Ingest("ingest.events", topic_id, begins, 16)}


def wanting(**wanted: int) -> dict[str, Tenant]:
    """Tenants that want ``events`` over so many partitions, whatever routes they think they have."""
    stale = (Route(1, 63, "e", (0, 0)),)
    return {name: Tenant(name, {"events": TenantDataset("events", 30, n, stale)}) for name, n in wanted.items()}


def route(generation: int, shards: int, *starts: int, topic_id: str = "e") -> Route:
    return Route(generation, shards, topic_id, starts)


def changed(plan: Plan) -> Mapping[str, int]:
    assert set(plan.changes) <= {"events"}
    return plan.changes.get("events", {})


def routes_of(tenants: Mapping[str, Tenant], name: str = "acme") -> tuple[Route, ...]:
    return tenants[name].datasets["events"].routes


def test_h1_only_who_wants_another_number_than_is_in_force_gets_a_route() -> None:
    before = generation(3, {"acme": (route(2, 4, 10, 10),), "bell": (), "cyan": (route(2, 4, 10, 10),)})
    plan = planned(before, wanting(acme=4, bell=2, cyan=1, dune=1), ingest(0, 0))
    assert changed(plan) == {"bell": 2, "cyan": 1}


def test_h1_partitions_added_since_and_a_topic_made_again_want_new_markers() -> None:
    before = generation(3, {"acme": (route(2, 4, 10, 10),), "bell": ()})
    assert changed(planned(before, wanting(acme=4, bell=1), ingest(0, 0, 0))) == {"acme": 4}
    assert changed(planned(before, wanting(acme=4, bell=1), ingest(0, 0, topic_id="other"))) == {"acme": 4}


def test_h2_routes_are_those_in_force_whatever_the_wanted_tenant_brings_along() -> None:
    """To go back to a generation brings its shards back, not its routes: rows behind later markers keep theirs."""
    mine = (route(2, 4, 10, 10), route(3, 8, 20, 20))
    plan = planned(generation(3, {"acme": mine}), wanting(acme=4, bell=1), ingest(0, 0))
    tenants, _ = plan.begun(4, {("ingest.events", 0): 30, ("ingest.events", 1): 31})
    assert routes_of(tenants) == (*mine, route(4, 4, 30, 31))
    assert routes_of(tenants, "bell") == ()


def test_h3_a_route_is_kept_until_the_log_begins_behind_the_next_one_in_every_partition() -> None:
    mine = (route(2, 4, 10, 10), route(3, 8, 20, 20), route(4, 2, 30, 30))
    before = generation(4, {"acme": mine})
    for begins, kept in (((19, 25), mine), ((20, 20), mine[1:]), ((40, 29), mine[1:]), ((99, 99), mine[2:])):
        plan = planned(before, wanting(acme=2), ingest(*begins))
        assert (routes_of(plan.tenants), changed(plan)) == (kept, {})


def test_h3_when_the_log_begins_behind_the_change_to_one_no_route_is_left() -> None:
    before = generation(4, {"acme": (route(2, 4, 10, 10), route(3, 1, 20, 20))})
    assert len(routes_of(planned(before, wanting(acme=1), ingest(20, 19)).tenants)) == 2
    assert routes_of(planned(before, wanting(acme=1), ingest(20, 20)).tenants) == ()


def test_h3_a_route_that_holds_in_more_partitions_than_the_next_is_kept() -> None:
    mine = (route(2, 4, 10, 10, 10), route(3, 8, 20, 20))
    assert routes_of(planned(generation(3, {"acme": mine}), wanting(acme=8), ingest(50, 50, 50)).tenants) == mine


def test_h3_routes_outlive_the_tenant_and_come_back_with_it() -> None:
    mine = (route(2, 4, 10, 10),)
    plan = planned(generation(3, {"acme": mine, "bell": ()}), wanting(bell=1), ingest(0, 0))
    assert changed(plan) == {"acme": 1}
    tenants, retired = plan.begun(4, {("ingest.events", 0): 30, ("ingest.events", 1): 31})
    assert retired == (Retired("acme", "events", (*mine, route(4, 1, 30, 31))),)
    after = Configuration(4, "", tenants, 0, retired)
    assert after.routes("events") == {"acme": retired[0].routes}
    again = planned(after, wanting(acme=2, bell=1), ingest(0, 0))
    assert (routes_of(again.tenants), again.retired, changed(again)) == (retired[0].routes, (), {"acme": 2})
    assert planned(after, wanting(bell=1), ingest(30, 31)).retired == ()


def test_h4_one_marker_a_partition_serves_all_changes_of_a_dataset() -> None:
    plan = planned(None, wanting(acme=4, bell=2), ingest(0, 0))
    assert list(plan.markers()) == [("ingest.events", 0), ("ingest.events", 1)]
    tenants, _ = plan.begun(1, {("ingest.events", 0): 7, ("ingest.events", 1): 9})
    assert (routes_of(tenants), routes_of(tenants, "bell")) == ((route(1, 4, 7, 9),), (route(1, 2, 7, 9),))


def test_who_has_no_shards_costs_no_question_to_kafka() -> None:
    tenants = {"acme": Tenant("acme", {"events": TenantDataset("events", 30)})}
    nobody: Any = None
    plan = shards.plan(nobody, nobody, generation(3), tenants)
    assert (dict(plan.tenants), list(plan.markers()), plan.retired) == (tenants, [], ())


def test_more_shards_than_partitions_are_a_mistake() -> None:
    with pytest.raises(Misconfigured, match=r"acme: datasets\.events\.shards: 17 is more than the 16"):
        planned(None, wanting(acme=17), ingest(0))


def test_a_plan_leaves_the_tenants_that_it_was_given_as_they_are() -> None:
    tenants = wanting(acme=4)
    copy = {name: replace(each) for name, each in tenants.items()}
    planned(None, tenants, ingest(0)).begun(1, {("ingest.events", 0): 7})
    assert tenants == copy
