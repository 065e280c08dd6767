"""One who follows: what it gets, what it loses, and that nobody waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from logflume.explore.match import Match
from logflume.explore.tail.follower import Follower, Lost, Wants, behind
from logflume.explore.tail.sample import sampled
from logflume.table import parquet
from tests.support.tables import SMALL
from tests.support.tables import rows as sorted_rows

ANY = Match(None, "", SMALL)


class Woken:
    """A clock, and how often somebody was woken."""

    def __init__(self) -> None:
        self.now = 100.0
        self.count = 0

    def __call__(self) -> float:
        return self.now

    def wake(self) -> None:
        self.count += 1


@pytest.fixture
def woken() -> Woken:
    return Woken()


def follower(woken: Woken, match: Match = ANY, share: float = 1, pace: float = 1e9, room: int = 1 << 30) -> Follower:
    return Follower("acme", "http_requests", Wants(match, share, pace, room), woken.wake, woken)


def rows(first: int, count: int, width: int = 10) -> pa.Table:
    ids = [f"{number:0{width}}" for number in range(first, first + count)]
    return parquet.at_rest(sorted_rows(ids, _src_offset=list(range(first, first + count))), SMALL)


def taken(follower: Follower) -> Sequence[int | Lost]:
    """The rows by their offsets, and what was lost between them."""
    found: list[int | Lost] = []
    while (each := follower.take()) is not None:
        found += [each] if isinstance(each, Lost) else each["_src_offset"].to_pylist()
    return found


def lost(rows: int) -> Lost:
    return Lost(rows, "more came than were taken")


def test_rows_come_in_the_order_in_which_they_were_offered(woken: Woken) -> None:
    each = follower(woken)
    each.offer(rows(0, 3))
    each.offer(rows(3, 2))
    assert woken.count == 2
    assert taken(each) == [0, 1, 2, 3, 4]
    assert taken(each) == []


def test_only_what_matches_is_held(woken: Woken) -> None:
    each = follower(woken, Match({"key": "RayID", "operator": "endsWith", "value": "7"}, "", SMALL))
    each.offer(rows(0, 5))
    assert (woken.count, taken(each)) == (0, [])
    each.offer(rows(5, 20))
    assert taken(each) == [7, 17]


def test_fo1_what_there_is_no_room_for_is_lost_and_counted_in_its_place(woken: Woken) -> None:
    each = follower(woken, room=int(rows(0, 100).nbytes))
    for first in range(0, 400, 50):
        each.offer(rows(first, 50))
    *held, gap = taken(each)
    assert held == [*range(len(held))]
    assert 50 < len(held) <= 100
    assert gap == lost(400 - len(held))
    each.offer(rows(400, 5))
    assert taken(each) == [400, 401, 402, 403, 404]


def test_once_full_it_takes_more_when_half_is_free(woken: Woken) -> None:
    each = follower(woken, room=int(rows(0, 10).nbytes) * 4)
    for first in range(0, 60, 10):
        each.offer(rows(first, 10))
    first_piece = each.take()
    assert isinstance(first_piece, pa.Table)
    each.offer(rows(60, 5))  # would have room
    assert taken(each) == [*range(10, 40), lost(25)]
    each.offer(rows(65, 5))
    assert taken(each) == [*range(65, 70)]


def test_fo2_one_row_that_is_larger_than_all_the_room_comes_alone(woken: Woken) -> None:
    each = follower(woken, room=1000)
    each.offer(rows(0, 3, width=5000))
    each.offer(rows(3, 1))
    assert taken(each) == [0, lost(3)]


def test_a_follower_gets_so_many_rows_a_second_and_the_rest_is_counted(woken: Woken) -> None:
    each = follower(woken, pace=100)
    each.offer(rows(0, 150))
    each.offer(rows(150, 10))
    woken.now += 0.5
    each.offer(rows(160, 100))
    assert taken(each) == [*range(100), lost(60), *range(160, 210), lost(50)]
    woken.now += 60
    each.offer(rows(260, 150))
    assert taken(each) == [*range(260, 360), lost(50)]


def test_what_nobody_counted_is_told_by_itself(woken: Woken) -> None:
    each = follower(woken, pace=1)
    each.lose(Lost(None, "Kafka was away"))
    each.offer(rows(0, 3))
    assert taken(each) == [Lost(None, "Kafka was away"), 0, lost(2)]


def test_a_sample_is_the_same_whoever_asks_and_in_whatever_pieces() -> None:
    whole = rows(0, 5_000)
    kept = sampled(whole, 0.1)
    assert 400 < kept.sum() < 600
    assert [*sampled(whole.slice(0, 1_234), 0.1), *sampled(whole.slice(1_234), 0.1)] == kept.tolist()
    more = sampled(whole, 0.5)
    assert not (kept & ~more).any()
    assert sampled(whole, 1.0).all()


def test_each_part_of_the_coordinates_counts_for_the_sample() -> None:
    whole = rows(0, 1_000)
    kept = sampled(whole, 0.5)
    for name, value in (("_src_topic", "another"), ("_src_partition", 7), ("_src_row", 3)):
        at = whole.schema.get_field_index(name)
        other = whole.set_column(at, name, pa.array([value] * 1_000, whole.schema.field(name).type))
        assert 300 < (sampled(other, 0.5) != kept).sum() < 700, name


def test_the_place_behind_a_row_is_found_by_all_its_coordinates() -> None:
    some = rows(5, 10)
    assert behind(some, ("topic", 0, 7, 0)) == 3
    assert behind(some, ("topic", 0, 99, 0)) is None
    assert behind(some, ("another", 0, 7, 0)) is None
    assert behind(some, ("topic", 1, 7, 0)) is None
    assert behind(some, ("topic", 0, 7, 1)) is None


def test_fo2_what_is_held_is_what_was_counted_and_not_the_block_that_it_came_in(woken: Woken) -> None:
    block = rows(0, 1_000, width=1_000)
    each = follower(woken)
    each.offer(block.slice(10, 2))
    part = each.take()
    assert isinstance(part, pa.Table)
    assert part.get_total_buffer_size() < block.get_total_buffer_size() / 100
