"""Whose query runs next (TU1 to TU4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.explore.engine.turns import Busy, Turns


class Asked:
    """One query that asks for its turn, and holds it until ``finish``."""

    def __init__(self, turns: Turns, tenant: str, served: list[Asked]) -> None:
        self.tenant = tenant
        self._turns = turns
        self._served = served
        self._done = asyncio.Event()
        self.runs = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._turns.of(self.tenant):
            self._served.append(self)
            self.runs = True
            try:
                await self._done.wait()
            finally:
                self.runs = False

    def finish(self) -> None:
        self._done.set()


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 30))


def test_tu1_no_more_run_than_may_and_of_one_tenant_no_more_than_its_part() -> None:
    async def go() -> None:
        turns, served = Turns(3, 2, 10), list[Asked]()
        asked = [Asked(turns, tenant, served) for tenant in ("a", "a", "a", "b", "b")]
        await settle()
        assert [each.runs for each in asked] == [True, True, False, True, False]
        assert (turns.running, turns.waiting) == (3, 2)
        for each in asked:
            each.finish()
        await asyncio.gather(*(each.task for each in asked))
        assert (turns.running, turns.waiting) == (0, 0)

    run(go())


def test_tu2_the_tenant_that_was_served_longest_ago_comes_next_and_its_own_in_their_order() -> None:
    async def go() -> None:
        turns, served = Turns(1, 1, 10), list[Asked]()
        asked = [Asked(turns, tenant, served) for tenant in ("a", "a", "a", "a", "b", "b", "c")]
        await settle()
        for at in range(len(asked)):
            served[at].finish()
            await settle()
        assert "".join(each.tenant for each in served) == "abcabaa"
        assert [each for each in served if each.tenant == "a"] == asked[:4]

    run(go())


def test_tu2_who_was_just_served_waits_behind_who_came_later_and_never_was() -> None:
    async def go() -> None:
        turns, served = Turns(1, 1, 10), list[Asked]()
        first = Asked(turns, "a", served)
        await settle()
        asked = [Asked(turns, "a", served), Asked(turns, "b", served)]
        await settle()
        first.finish()
        await settle()
        assert [each.runs for each in asked] == [False, True]
        for each in reversed(asked):
            each.finish()
        await asyncio.gather(*(each.task for each in asked))

    run(go())


def test_tu3_one_more_than_may_wait_is_refused_at_once_and_no_other_tenant_is() -> None:
    async def go() -> None:
        turns, served = Turns(1, 1, 2), list[Asked]()
        asked = [Asked(turns, "a", served) for _ in range(3)]
        await settle()
        with pytest.raises(Busy, match="2 queries of a wait already"):
            async with turns.of("a"):
                pass
        asked.append(Asked(turns, "b", served))
        await settle()
        assert turns.waiting == 3
        for each in asked:
            each.finish()
        await asyncio.gather(*(each.task for each in asked))
        assert turns.running == 0

    run(go())


@pytest.mark.parametrize("cancelled", ["before", "meanwhile", "after"])
def test_tu4_who_is_cancelled_in_the_moment_of_its_turn_leaves_none_taken(cancelled: str) -> None:
    """Before it is told to go, before it has said that it is cancelled, and after it is told, before it goes."""

    async def go() -> None:
        turns, served = Turns(1, 1, 10), list[Asked]()
        first, second, third = (Asked(turns, tenant, served) for tenant in "abc")
        await settle()
        if cancelled == "before":
            second.task.cancel()
            first.finish()
        else:
            first.finish()
            if cancelled == "after":
                await asyncio.sleep(0)  # it gives its turn back: the second is told, and has not run yet
            second.task.cancel()
        await settle()
        assert second.task.cancelled()
        assert third.runs
        third.finish()
        await third.task
        assert (turns.running, turns.waiting) == (0, 0)

    run(go())


def test_tu4_who_fails_while_it_runs_gives_its_turn_back() -> None:
    async def go() -> None:
        turns = Turns(1, 1, 1)
        with pytest.raises(ZeroDivisionError):
            async with turns.of("a"):
                raise ZeroDivisionError
        async with turns.of("a"):
            assert turns.running == 1

    run(go())


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "finish", "cancel", "let"]), st.integers(0, 50), st.sampled_from("abcd")),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150)
@given(STEPS, st.integers(1, 4), st.integers(1, 3))
def test_tu_all_hold_whatever_comes_in_between(steps: list[tuple[str, int, str]], most: int, of_one: int) -> None:
    async def go() -> None:
        turns, served, asked = Turns(most, of_one, 100), list[Asked](), list[Asked]()
        for what, number, tenant in steps:
            left = [each for each in asked if not each.task.done()]
            if what == "ask":
                asked.append(Asked(turns, tenant, served))
            elif left and what == "finish":
                left[number % len(left)].finish()
            elif left and what == "cancel":
                left[number % len(left)].task.cancel()
            else:
                await settle()
                waits = Counter(each.tenant for each in asked if not each.task.done() and not each.runs)
                runs = Counter(each.tenant for each in asked if each.runs)
                assert (turns.running, turns.waiting) == (runs.total(), waits.total())
                assert runs.total() <= most
                assert max(runs.values(), default=0) <= of_one
                assert runs.total() == most or all(runs[each] == of_one for each in waits)  # none waits for nothing
        while left := [each for each in asked if not each.task.done()]:
            for each in left:
                each.finish()
            await settle()
        assert (turns.running, turns.waiting) == (0, 0)
        ended = await asyncio.gather(*(each.task for each in asked), return_exceptions=True)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in ended)

    run(go())


@settings(max_examples=60)
@given(st.lists(st.sampled_from("aaaab"), min_size=2, max_size=30))
def test_tu2_whoever_asks_most_a_tenant_waits_for_one_query_of_each_other_at_most(tenants: list[str]) -> None:
    async def go() -> None:
        turns, served = Turns(1, 1, 100), list[Asked]()
        asked = [Asked(turns, tenant, served) for tenant in tenants]
        await settle()
        while len(served) < len(asked):
            served[-1].finish()
            await settle()
        served[-1].finish()
        order = "".join(each.tenant for each in served)
        waits = min(order.count("a"), order.count("b"))
        assert "aa" not in order[: 2 * waits].removeprefix("a")
        assert "bb" not in order[: 2 * waits].removeprefix("b")
        await asyncio.gather(*(each.task for each in asked))

    run(go())
