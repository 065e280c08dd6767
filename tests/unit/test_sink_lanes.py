"""Turns among flushes: whoever fails or hangs takes none of others', and a tick looks only at who may go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from logflume.block.schema import sorted_schema
from logflume.kafka.position import Position
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.sink import flushes
from logflume.sink.budget import Budget
from logflume.sink.buffers import Lane, Pair
from logflume.sink.flushes import Flush, FlushPool, Rested
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.schedule import Limits, Schedule
from tests.support.sorted_log import EVENTS, sorted_message

JOB = Job("copy", "events", Target("file:///nowhere"), FileFormat.CSV, max_age_seconds=5)
SECONDS = 30


def opened() -> Partition:
    return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))


def read(into: Partition, schedule: Schedule, *tenants: str, now: float = 0.0) -> list[Pair]:
    """Rows of ``tenants``: those with a capital letter go to a job, the others to their tables."""
    offset = into.position.offset
    value, headers = sorted_message(dict.fromkeys(tenants, 1), offset)

    def outlets(tenant: str, dataset: str) -> tuple[Outlet, ...]:
        return (Outlet(tenant, "copy", JOB),) if tenant[0].isupper() else (Outlet(tenant),)

    pairs = into.read(offset, 0, value, headers, outlets, now)[1]
    schedule.added(into, pairs)
    return pairs


@contextmanager
def hanging(threads: int, object_threads: int) -> Iterator[tuple[FlushPool, list[str]]]:
    """A pool whose objects hang until the end, and the tenants whose tables were stored."""
    stored, go_on = [], threading.Event()

    def bring(flush: Flush) -> Rested:
        if flush.pair.outlet.job is not None:
            assert go_on.wait(SECONDS)
        stored.append(flush.pair.tenant)
        return Rested(1, 1, 1, 0)

    pool = FlushPool(threads, bring, object_threads)
    try:
        yield pool, stored
    finally:
        go_on.set()
        pool.settle(None, SECONDS)
        pool.close()


def flush(of: Partition, pair: Pair) -> Flush:
    flight = of.take(pair)
    pair.waiting, pair.flying = False, True
    return Flush(of, pair, flight, "age", 0.0)


def test_objects_that_hang_take_no_tables_turn_and_no_revocation_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flushes, "_OBJECT_SECONDS", 0.1)
    one = opened()
    pairs = read(one, Schedule(Limits(5, 9, 1 << 30)), "A", "B", "C", "d")
    with hanging(threads=1, object_threads=2) as (pool, stored):
        for pair in pairs:
            pool.submit(flush(one, pair))
        assert pool.settle([one], SECONDS)
        assert stored == ["d"]
        assert not pool.settle(None, 0.01)  # when the process ends, Python would wait for the thread


def test_the_flush_that_is_longest_under_way_is_named() -> None:
    one = opened()
    pairs = read(one, Schedule(Limits(5, 9, 1 << 30)), "A", "B")
    with hanging(threads=1, object_threads=2) as (pool, _):
        assert pool.longest(190.0) == ""
        pool.submit(flush(one, pairs[0]))
        pool.submit(replace(flush(one, pairs[1]), taken_at=100.0))
        assert pool.longest(190.0).startswith("a flush of A/events (job copy) is under way since 190 s")


def test_what_failed_gets_at_most_half_of_the_threads_for_objects() -> None:
    one = opened()
    pairs = read(one, Schedule(Limits(5, 9, 1 << 30)), "A", "B", "C", "D")
    with hanging(threads=1, object_threads=4) as (pool, _):
        for pair in pairs[:2]:
            assert pool.room(Lane.AGAIN)
            pair.failures = 1
            assert pair.lane is Lane.AGAIN
            pool.submit(flush(one, pair))
        assert not pool.room(Lane.AGAIN)
        assert pool.room(Lane.OBJECTS)
        assert pool.room(Lane.TABLES)


def test_l4_large_flushes_of_however_many_partitions_leave_a_thread_to_the_small_ones() -> None:
    stored, go_on = [], threading.Event()

    def bring(flush: Flush) -> Rested:
        if flush.pair.tenant == "whale":
            assert go_on.wait(SECONDS)
        stored.append(flush.pair.tenant)
        return Rested(1, 1, 1, 0)

    pool, schedule = FlushPool(2, bring), Schedule(Limits(5, 9, 1 << 30))
    shards, home = [opened() for _ in range(5)], opened()
    for each in shards:
        [pair] = read(each, schedule, "whale")
        pair.bytes += 100 << 20
        assert pair.lane is Lane.LARGE
    read(home, schedule, "minnow", now=1.0)
    try:
        for due in schedule.due(9.0, pool.room):
            pool.submit(flush(due.partition, due.pair))
        assert not pool.room(Lane.LARGE)
        assert pool.settle([home], SECONDS)
        assert stored == ["minnow"]
    finally:
        go_on.set()
    assert pool.settle(None, SECONDS)
    pool.close()


def test_without_room_in_one_lane_the_others_go_on() -> None:
    one, schedule = opened(), Schedule(Limits(5, 9, 1 << 30))
    read(one, schedule, "A", "b")
    assert [due.pair.tenant for due in schedule.due(9.0, lambda lane: lane is Lane.TABLES)] == ["b"]
    assert [due.pair.tenant for due in schedule.due(9.0, lambda lane: lane is Lane.OBJECTS)] == ["A"]


def test_a_cut_that_waits_for_kafka_is_looked_at_again_after_a_commit() -> None:
    one, schedule = opened(), Schedule(Limits(5, 9, 1 << 30))
    [pair] = read(one, schedule, "A")
    [due] = schedule.due(9.0)
    one.take(due.pair)
    schedule.ripen(one, pair, due.cause)
    assert list(schedule.due(9.0)) == []
    pair.waiting = False
    assert list(schedule.due(9.0)) == []
    schedule.wake()
    assert [due.pair for due in schedule.due(9.0)] == [pair]


def test_whoever_is_ripened_while_it_waits_for_its_next_try_waits_on_and_comes_once() -> None:
    one, schedule = opened(), Schedule(Limits(5, 9, 1 << 30))
    [pair] = read(one, schedule, "a")
    [_] = schedule.due(9.0)
    one.buffers.take(pair, 1)
    one.buffers.failed(pair, 20.0, "away")
    for _ in range(9):
        schedule.ripen(one, pair, "drain")
        schedule.wake()
        assert list(schedule.due(19.0)) == []
    assert len(schedule._retries) == 1
    assert [due.pair for due in schedule.due(20.0)] == [pair]
    assert list(schedule.due(20.0)) == []


def test_a_closed_partitions_rows_are_not_kept_by_whoever_waits_for_their_age() -> None:
    one, schedule = opened(), Schedule(Limits(5, 9, 1 << 30))
    [pair] = read(one, schedule, "A")
    one.close()
    assert (pair.segments, pair.flight) == ([], None)
    assert list(schedule.due(9.0)) == []


@pytest.mark.parametrize(("rows", "told"), [(2, 2), (25, 21)])
def test_when_thousands_fail_a_few_are_named(rows: int, told: int) -> None:
    one = opened()
    for pair in read(one, Schedule(Limits(5, 9, 1 << 30)), *(f"t{n:02}" for n in range(rows))):
        one.buffers.take(pair, 1)
        one.buffers.failed(pair, 0.0, "away")
        pair.failures = 3
    assert len(one.troubles()) == told
