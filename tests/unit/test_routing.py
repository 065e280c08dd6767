"""Over how many partitions a tenant's rows go, from which ingest offset on, and what a sorter waits for before."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume import contract
from logflume.block import marker
from logflume.block.sorted import decode_sorted
from logflume.errors import Retryable, Unconfigured
from logflume.model import Route, load
from logflume.model.route import places
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import Cover, Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.routing import Routing
from logflume.sort.transport import Chunk
from tests.support.generations import Generations, generation
from tests.support.ingest import TOPIC_ID, chunk, message
from tests.support.waiting import until

EVENTS = load(contract.find())["events"]
PARTITIONS = 16
ROUTING = Routing("events", PARTITIONS)
BASE = ROUTING.partition("acme")


def go(routes: list[Route], *places: tuple[int, int], routing: Routing = ROUTING) -> list[int]:
    """Where rows of ``acme`` go that came at these (ingest partition, offset)."""
    partitions, offsets = np.array(places).T
    found: list[int] = routing.partitions_of("acme", routes, TOPIC_ID, partitions, offsets).tolist()
    return found


def shard(number: int, of: int) -> int:
    return (BASE + number * (PARTITIONS // of)) % PARTITIONS


def test_a_change_holds_from_its_marker_on_in_each_ingest_partition_by_itself() -> None:
    routes = [Route(7, 4, TOPIC_ID, (10, 0, 5))]
    assert go(routes, (0, 9), (0, 10), (0, 11), (2, 4), (2, 5)) == [BASE, *[shard(0, 4)] * 2, BASE, shard(2, 4)]


def test_the_last_change_that_holds_at_an_offset_counts() -> None:
    routes = [Route(7, 4, TOPIC_ID, (0, 10)), Route(9, 2, TOPIC_ID, (0, 20)), Route(12, 1, TOPIC_ID, (0, 30))]
    assert go(routes, (1, 9), (1, 15), (1, 25), (1, 35)) == [BASE, shard(1, 4), shard(1, 2), BASE]


def test_a_change_does_not_hold_in_a_partition_without_its_marker_nor_in_another_topic() -> None:
    assert go([Route(7, 4, TOPIC_ID, (0, 0))], (2, 99)) == [BASE]
    assert go([Route(7, 4, "another", (0, 0))], (1, 99)) == [BASE]


@pytest.mark.parametrize("shards", range(1, PARTITIONS + 1))
def test_shards_lie_in_partitions_of_their_own(shards: int) -> None:
    routes = [Route(7, shards, TOPIC_ID, tuple([0] * 64))]
    found = go(routes, *[(partition, 1) for partition in range(64)])
    assert len(set(found)) == shards
    assert found[0] == BASE
    assert max(Counter(found).values()) <= -(-64 // shards)


def plain(partition: int, offsets: range, tenants: list[str]) -> Chunk:
    body = json.dumps({"message": "m"}).encode()
    return chunk([message(at, body, tenants[at % len(tenants)].encode(), partition) for at in offsets])


def test_rows_of_one_unit_go_before_and_behind_a_marker_as_each_must_and_others_stay_where_they_are() -> None:
    chunks = [plain(partition, range(20), ["acme", "bell"]) for partition in range(4)]
    covers = [Cover(each.topic_id, each.partition, each.first, each.last) for each in chunks]
    routes = {"acme": (Route(7, 4, TOPIC_ID, (4, 8, 12, 16)),), "gone": (Route(7, 2, TOPIC_ID, (0,)),)}
    regrouper = Regrouper(EVENTS, "ingest.events", TOPIC_ID, "session", ROUTING, 1 << 20)
    [pieces] = regrouper.regroup(Gatherer(EVENTS).gather(chunks), covers, {}, routes)
    found = []
    for piece in pieces:
        meta, batch = decode_sorted(piece.value, piece.headers)
        tenants = np.repeat(meta.runs.tenants, meta.runs.rows).tolist()
        places = zip(batch["_src_partition"].to_pylist(), batch["_src_offset"].to_pylist(), strict=True)
        found += [(tenant, *place, piece.partition) for tenant, place in zip(tenants, places, strict=True)]
    expected = [
        ("acme", p, at, shard(p, 4) if at >= 4 * (p + 1) else BASE) for p in range(4) for at in range(0, 20, 2)
    ] + [("bell", p, at, ROUTING.partition("bell")) for p in range(4) for at in range(1, 20, 2)]
    assert sorted(found) == sorted(expected)


def test_a_marker_is_no_record_and_what_only_looks_like_one_is() -> None:
    records = [
        message(0, b"", headers=marker.headers(7)),
        message(1, None, headers=marker.headers(9)),
        message(2, b'{"message": "m"}', headers=marker.headers(11)),
        message(3, b'{"message": "m"}', headers=[(marker.HEADER, b"-1")]),
        message(4, b'{"message": "m"}', headers=[(marker.HEADER, b"9" * 30)]),
    ]
    gathered = Gatherer(EVENTS).gather([chunk(records)])
    assert gathered.marked == {7, 9}
    assert gathered.offsets.tolist() == [2, 3, 4]
    assert gathered.letters == []


def in_force(source: Generations, newest: Any = lambda: 99, stopping: Any = lambda: False) -> RoutesInForce:
    return RoutesInForce("events", source, newest, stopping)


def test_r1_routes_older_than_a_marker_or_than_the_last_commit_are_waited_for() -> None:
    source = Generations(generation(6))
    found: list[Any] = []
    for passed, marked in ((7, []), (0, [7])):
        source.present = generation(6)
        routes = in_force(source)
        thread = threading.Thread(target=lambda: found.append(routes.at_least(passed, marked)))  # noqa: B023
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        source.present = generation(7, {"acme": (Route(7, 4, TOPIC_ID, (0,)),)})
        thread.join(20)
        assert found.pop() == ({"acme": (Route(7, 4, TOPIC_ID, (0,)),)}, 7)


def test_r2_a_marker_that_nobody_published_holds_nobody_up_and_is_not_noted() -> None:
    looks = iter(range(20))
    routes = in_force(Generations(generation(7)), newest=lambda: 7, stopping=lambda: next(looks, None) is None)
    assert routes.at_least(5, [6, 10**12]).passed == 6


def test_r2_as_long_as_the_configurations_log_cannot_be_read_every_marker_counts() -> None:
    answers = iter([Retryable("no"), None, Retryable("no"), 7])

    def newest() -> int | None:
        answer = next(answers)
        if isinstance(answer, Retryable):
            raise answer
        return answer

    assert in_force(Generations(generation(7)), newest).at_least(0, [10**12]).passed == 0
    assert next(answers, "all asked") == "all asked"


def test_r3_without_a_marker_nothing_is_waited_for() -> None:
    assert in_force(Generations()).at_least(0, []) == ({}, 0)


def test_a_process_that_is_to_end_waits_no_longer() -> None:
    with pytest.raises(Unconfigured, match="generation 7"):
        in_force(Generations(), stopping=lambda: True).at_least(7, [])


def test_who_waits_for_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logflume.sort.routes._TELL_SECONDS", 0.0)
    source = Generations(generation(6))
    routes = in_force(source)
    thread = threading.Thread(target=lambda: routes.at_least(7, []))
    thread.start()
    until(lambda: "generation 7" in routes.waiting and "has generation 6" in routes.waiting, 20, "it says so")
    source.present = generation(7)
    thread.join(20)
    assert not routes.waiting


@given(
    st.lists(st.builds(lambda n, at: Route(7, n, TOPIC_ID, (at,) * 8), st.integers(1, 16), st.integers(0, 99))),
    st.sampled_from(["acme", "bell", "cyan"]),
)
def test_rows_lie_nowhere_but_where_they_are_looked_for(routes: list[Route], tenant: str) -> None:
    ingest, offsets = (each.ravel() for each in np.meshgrid(np.arange(8, dtype=np.int32), np.arange(100)))
    lying = ROUTING.partitions_of(tenant, routes, TOPIC_ID, ingest, offsets)
    assert set(lying.tolist()) <= places("events", tenant, routes, PARTITIONS)
