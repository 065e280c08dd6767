"""Caps on who is new: those that are there flow on, the others are parked before their first row."""

from __future__ import annotations

from logflume.block.schema import sorted_schema
from logflume.kafka import known
from logflume.kafka.known import hash_of
from logflume.kafka.position import Position
from logflume.model import Outlet
from logflume.settings import Settings
from logflume.sink.budget import Budget
from logflume.sink.parking.caps import Caps, Known
from logflume.sink.parking.parked import NEW
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from tests.support.sorted_log import EVENTS, sorted_message


def caps(new_a_minute: int, active: int = 100, pressed: bool = True) -> Caps:
    return Caps(active, new_a_minute, lambda: pressed)


def opened(of: Caps, start: Start | None = None, now: float = 0.0) -> Partition:
    start = start or Start(Position(0))
    return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, Budget(1 << 30), (), of, now)


def read(into: Partition, *tenants: str, now: float = 0.0) -> None:
    offset = into.position.offset
    value, headers = sorted_message(dict.fromkeys(tenants, 1), offset)
    into.read(offset, 7, value, headers, lambda tenant, _: (Outlet(tenant),), now)


def tenants(of: Partition) -> list[str]:
    return [pair.tenant for pair in of.buffers]


def parked(of: Partition) -> dict[str, tuple[str, int]]:
    return {entry.outlet.tenant: (entry.reason, entry.cursor.offset) for entry in of.behind.parking}


def test_v2_tokens_come_evenly_and_four_times_as_fast_without_pressure() -> None:
    hard, easy = caps(60), caps(60, 1000, pressed=False)
    assert (hard.grant(100, 0.0), easy.grant(100, 0.0)) == (60, 60)
    assert (hard.grant(100, 10.0), easy.grant(100, 10.0)) == (10, 40)
    assert hard.grant(100, 1000.0) == 60


def test_v2_new_ones_begin_together_or_not_at_all_when_that_is_asked() -> None:
    few = caps(60)
    assert few.grant(58, 0.0) == 58
    assert few.grant(100, 0.0, at_least=50) == 0
    assert few.grant(100, 0.0) == 2


def test_v2_who_asks_for_more_together_than_there_will_ever_be_gets_what_there_is() -> None:
    """They would wait until retention takes their rows."""
    assert caps(10).grant(60, 0.0, at_least=50) == 10
    assert caps(100, active=30).grant(60, 0.0, at_least=50) == 30


def test_v2_who_has_begun_is_active_before_its_first_rows_are_at_rest() -> None:
    one = opened(caps(60, active=2))
    read(one, "a", "b", "c")
    assert tenants(one) == ["a", "b"]
    assert list(parked(one)) == ["c"]


def test_v2_there_are_no_more_active_ones_than_the_cap_until_some_are_quiet() -> None:
    two = caps(60, active=2)
    two.seen("sorted[0]", [Outlet("a"), Outlet("b")], 0.0)
    assert two.grant(5, 1.0) == 0
    assert two.grant(5, 700.0) == 2


def test_v1_v3_who_is_there_flows_on_and_who_has_no_room_is_parked_before_its_first_row() -> None:
    one = opened(caps(2))
    read(one, "a", "b")
    read(one, "a", "c")
    read(one, "a", "b", "c")
    assert tenants(one) == ["a", "b"]
    assert parked(one) == {"c": (NEW, 1)}
    assert one.buffers.held == 0
    [change] = one.parkings()
    assert change.cursor is not None
    assert (change.cursor.tenant, change.cursor.position.offset, change.cursor.since_ms) == ("c", 1, 7)


def test_v1_after_a_restart_nobody_who_was_stored_before_is_new() -> None:
    one = opened(caps(1), Start(Position(4), stored=True, known=frozenset({hash_of("a", ""), hash_of("b", "")})))
    read(one, "a", "b", "c", "d")
    assert tenants(one) == ["a", "b", "c"]
    assert list(parked(one)) == ["d"]


def test_v1_a_group_that_kept_no_record_takes_those_for_known_who_come_in_the_first_minute() -> None:
    one = opened(caps(1), Start(Position(4), stored=True), now=100.0)
    read(one, "a", "b", "c", now=130.0)
    read(one, "a", "d", "e", now=170.0)
    assert tenants(one) == ["a", "b", "c", "d"]
    assert list(parked(one)) == ["e"]


def test_the_record_is_stored_when_it_changed_and_not_all_the_time() -> None:
    some = Known(frozenset(), worked_before=True, now=0.0)
    assert some.to_store(0.0) is None
    some.add(Outlet("a"))
    assert some.to_store(0.0) == {hash_of("a", "")}
    some.stored(0.0)
    some.add(Outlet("a"))
    assert some.to_store(100.0) is None
    some.add(Outlet("a", "copy"))
    assert some.to_store(29.0) is None
    assert some.to_store(30.0) == {hash_of("a", ""), hash_of("a", "copy")}


def test_a_group_that_has_just_begun_stores_that_it_knows_nobody_so_that_a_restart_learns_nobody() -> None:
    """Idle for days, then a surge comes with a restart: all of it would pass for known."""
    assert Known(None, worked_before=False, now=0.0).to_store(0.0) == set()
    one = opened(caps(1), Start(Position(0), stored=True, known=frozenset()))
    read(one, "a", "b")
    assert list(parked(one)) == ["b"]


def test_v1_while_a_group_learns_whom_it_knows_nothing_is_stored_by_which_the_others_were_new() -> None:
    some = Known(None, worked_before=True, now=0.0)
    assert some.has(Outlet("a"), 10.0)
    assert some.to_store(10.0) is None
    assert some.to_store(60.0) == {hash_of("a", "")}


def test_the_record_comes_back_as_it_was() -> None:
    codec = known.Codec(Settings())
    hashes = frozenset(hash_of(f"t{n}", "") for n in range(100))
    value = codec.encode("sorted", "id", 3, hashes)
    assert codec.decode(value) == ("id", hashes)
    assert len(value) < 900
