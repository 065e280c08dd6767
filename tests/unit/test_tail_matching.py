"""Which rows followers want is looked at in turns: no filter keeps another tenant's tail waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from logflume.explore import filters
from logflume.explore.match import Mask, Match
from logflume.explore.tail import matching as matchings
from logflume.explore.tail.follower import Follower, Lost, Wants
from logflume.explore.tail.matching import Matching
from logflume.table import parquet
from tests.support.tables import SMALL
from tests.support.tables import rows as sorted_rows
from tests.support.waiting import until


class Asked(Match):
    """A filter of so many conditions that matches all, notes when it is asked, and waits for leave if it shall."""

    def __init__(self, name: str, order: list[tuple[str, int]], conditions: int = 1) -> None:
        super().__init__(None, "", SMALL)
        self.conditions = conditions
        self.leave: threading.Semaphore | None = None
        self._name = name
        self._order = order

    def __call__(self, rows: pa.Table) -> Mask | None:
        """All match."""
        if self.leave is not None:
            assert self.leave.acquire(timeout=30)
        self._order.append((self._name, rows.num_rows))
        return None


@pytest.fixture
def matching() -> Iterator[Matching]:
    matching = Matching()
    yield matching
    matching.close()


def follower(match: Match, tenant: str = "acme") -> Follower:
    return Follower(tenant, "http_requests", Wants(match, 1, 1e9, 1 << 30), lambda: None)


def block(count: int, first: int = 0) -> pa.Table:
    numbers = range(first, first + count)
    return parquet.at_rest(sorted_rows([f"{n}" for n in numbers], _src_offset=list(numbers)), SMALL)


def offsets(follower: Follower) -> list[int | Lost]:
    found: list[int | Lost] = []
    while (what := follower.take()) is not None:
        found += [what] if isinstance(what, Lost) else what["_src_offset"].to_pylist()
    return found


def test_ma2_tenants_take_turns_and_many_conditions_have_fewer_rows_a_turn(matching: Matching) -> None:
    order: list[tuple[str, int]] = []
    heavy, same, light = (
        follower(Asked("heavy", order, 200)),
        follower(Asked("same", order)),
        follower(Asked("light", order), "globex"),
    )
    for each in (heavy, same, light):
        matching.offer(each, block(1_200))
    matching.start()
    until(lambda: len(order) == 5, 10)
    assert order == [("heavy", 500), ("light", 1_200), ("same", 1_200), ("heavy", 500), ("heavy", 200)]
    until(lambda: not matching._turns, 10)
    assert offsets(heavy) == offsets(light) == list(range(1_200))


def test_ma2_another_tenants_tail_waits_for_one_turn_of_a_slow_filter(matching: Matching) -> None:
    """A busy tenant has ten followers with a filter that takes its time, and rows for hours."""
    order: list[tuple[str, int]] = []
    slow = [Asked("slow", order, 200) for _ in range(10)]
    leave = threading.Semaphore(0)
    for each in slow:
        each.leave = leave
    followers = [follower(each) for each in slow]
    quick = follower(Asked("quick", order), "globex")
    matching.start()
    for each in followers:
        for first in range(0, 8_000, 4_000):
            matching.offer(each, block(4_000, first))
    for number in range(3):
        matching.offer(quick, block(1, number))
        leave.release(2)  # the turn that had begun, and one more
        until(lambda number=number: ("quick", 1) in order[-3:] and order.count(("quick", 1)) == number + 1, 10)
    assert offsets(quick) == [0, 1, 2]
    leave.release(1_000)


def test_ma3_whose_filter_is_slower_than_its_rows_loses_some_with_a_count(
    matching: Matching, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = block(100)
    monkeypatch.setattr(matchings, "MOST_BYTES", int(2.5 * rows.nbytes))
    slow, other = follower(Asked("slow", [])), follower(Asked("other", []), "globex")
    for number in range(9):
        matching.offer(slow, block(100, 100 * number))
    matching.miss(slow, "Kafka was away")
    matching.offer(slow, block(7, 900))
    matching.offer(other, block(1))
    matching.start()
    until(lambda: not matching._turns, 10)
    *got, lost, away, last = offsets(slow)
    assert got == list(range(300))
    assert isinstance(lost, Lost)
    assert (lost.rows, "takes longer than the rows come" in lost.why) == (600, True)
    assert away == Lost(None, "Kafka was away")
    assert last == Lost(7, lost.why), "half must be free before it takes more: few gaps instead of many"
    assert offsets(other) == [0]
    matching.offer(slow, block(5, 907))
    until(lambda: not matching._turns, 10)
    assert offsets(slow) == list(range(907, 912))


def test_a_filter_that_fails_ends_its_own_follower_and_nobody_else(matching: Matching) -> None:
    class Broken(Match):
        def __call__(self, rows: pa.Table) -> Mask | None:
            return np.zeros(1, bool)  # of other rows

    broken, sound = follower(Broken(None, "", SMALL)), follower(Asked("sound", []), "globex")
    with capture_logs() as told:
        matching.start()
        matching.offer(broken, block(3))
        matching.offer(sound, block(3))
        until(lambda: offsets(sound) == [0, 1, 2], 10)
    assert "its filter failed here" in broken.ended
    assert told[0]["event"] == "explore.tail-not-matched"


def test_who_has_left_is_not_asked_any_more(matching: Matching) -> None:
    order: list[tuple[str, int]] = []
    left, stays = follower(Asked("left", order)), follower(Asked("stays", order))
    for each in (left, stays):
        matching.offer(each, block(2))
    matching.leave(left)
    matching.start()
    until(lambda: not matching._turns, 10)
    assert order == [("stays", 2)]


def test_a_filter_knows_how_many_conditions_it_asks() -> None:
    one = {"key": "RayID", "operator": "eq", "value": "x"}
    both = {"and": [one, {"or": [one, one]}]}
    found = [Match(where, text, SMALL).conditions for where, text in ((None, ""), (None, "x"), (one, ""), (both, "x"))]
    assert found == [1, 1, 1, 4]
    assert filters.MOST_CONDITIONS == 200
