"""The levels of pressure over any course of shares (J1 to J3 of watch/level.py), and ages without reading (AG1)."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from logflume.kafka.status import Level
from logflume.watch.ages import Ages
from logflume.watch.level import Marks, State, factor, step
from tests.support.schedules import examples
from tests.support.walks import often

MARKS = Marks(hold_seconds=10.0)
RANK = {Level.NONE: 0, Level.SLOW: 1, Level.STOP: 2}
ON = {Level.SLOW: MARKS.slow_on, Level.STOP: MARKS.stop_on}
OFF = {Level.SLOW: MARKS.slow_off, Level.STOP: MARKS.stop_off}
Look = tuple[float, float, State, State]
"""Time, share, the state before and the state after."""
looks = st.lists(st.tuples(st.floats(0, 1.3), st.floats(0.1, 15.0)), min_size=1, max_size=60)


def course(found: list[tuple[float, float]], state: State | None = None) -> list[Look]:
    state, now, seen = state or State(), 100.0, []
    for share, pause in found:
        now += pause
        before, state = state, step(state, share, now, MARKS)
        seen.append((now, share, before, state))
    return seen


@given(looks)
def test_j1_at_a_limit_the_level_holds_at_once(found: list[tuple[float, float]]) -> None:
    holds_at_once(course(found))


def holds_at_once(seen: list[Look]) -> None:
    for _, share, before, after in seen:
        for level, on in ON.items():
            if share >= on:
                assert RANK[after.level] >= RANK[level]
        if RANK[after.level] > RANK[before.level]:
            assert share >= ON[after.level], "and it never rises without one"


@given(looks)
def test_j2_it_falls_one_level_at_a_time_and_only_when_it_was_low_for_all_of_the_hold(
    found: list[tuple[float, float]],
) -> None:
    falls_by_one_after_the_hold(course(found))


def falls_by_one_after_the_hold(seen: list[Look]) -> None:
    for at, (now, _, before, after) in enumerate(seen):
        if RANK[after.level] < RANK[before.level]:
            assert RANK[before.level] - RANK[after.level] == 1
            lately = [(when, share) for when, share, _, _ in seen[: at + 1] if now - when <= MARKS.hold_seconds]
            assert all(share <= OFF[before.level] for _, share in lately)
            assert now - before.since >= MARKS.hold_seconds


def test_j1_and_j2_hold_in_long_courses() -> None:
    happened = Counter[str]()
    for seed in range(examples(40)):
        random, share, found = Random(seed), 0.5, []
        for _ in range(200):
            share = min(1.3, max(0.0, share + random.gauss(0, 0.15)))
            found.append((share, random.choice([1.0, 3.0, 6.0, 15.0])))
        seen = course(found)
        holds_at_once(seen)
        falls_by_one_after_the_hold(seen)
        for _, _, before, after in seen:
            change = RANK[after.level] - RANK[before.level]
            happened[f"{before.level} to {after.level}"] += change != 0
            happened["a hold was broken off"] += not change and before.low_since is not None and not after.low_since
    often(
        happened,
        {
            "none to slow": 40,
            "none to stop": 20,
            "slow to stop": 40,
            "stop to slow": 40,
            "slow to none": 40,
            "a hold was broken off": 80,
        },
    )


@given(
    st.sampled_from(list(Level)),
    st.lists(st.tuples(st.floats(MARKS.slow_off + 1e-9, MARKS.slow_on - 1e-9), st.floats(0.1, 15.0)), max_size=80),
)
def test_j3_what_wobbles_within_the_band_never_makes_the_level_flap(
    start: Level, found: list[tuple[float, float]]
) -> None:
    levels = [after.level for _, _, _, after in course(found, State(start, 100.0))]
    changes = sum(one is not other for one, other in zip([start, *levels], levels, strict=False))
    assert changes <= (start is Level.STOP), "a stop may become slow there, once; nothing else moves"


@given(st.floats(0, 2))
def test_an_edge_keeps_more_of_its_pace_the_further_the_limit_is(share: float) -> None:
    kept = factor(Level.SLOW, share, MARKS)
    assert MARKS.least <= kept <= 1.0
    assert kept <= factor(Level.SLOW, max(0.0, share - 0.05), MARKS)
    assert factor(Level.STOP, share, MARKS) == 0
    assert factor(Level.NONE, share, MARKS) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.5, 5.0)), min_size=1, max_size=150), st.integers(0, 400))
def test_ag1_an_age_is_never_too_small_and_too_large_by_two_notes_or_a_tenth(
    steps: list[tuple[int, float]], offset: int
) -> None:
    ages, now, end = Ages(), 0.0, 0
    ages.note(("t", 0), 0, now)
    came: list[float] = []  # when each record did: right after a note
    longest = 0.0
    for count, pause in steps:
        came += [now] * count
        now += pause
        longest = max(longest, pause)
        end += count
        ages.note(("t", 0), end, now)
        ages.forget(now)
    found = ages.seconds(("t", 0), offset, now)
    if offset >= end:
        assert found == 0.0
    else:
        age = now - came[offset]
        assert age - 1e-6 <= found <= age * 1.12 + 2 * longest
