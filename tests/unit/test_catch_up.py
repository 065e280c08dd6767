"""Parked outlets in the worker: who is parked when, what the one scan reads, and how it yields and hands over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.errors import Retryable
from logflume.kafka.position import Position
from logflume.model import Outlet
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import Pair
from logflume.sink.flushes import FlushPool
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.catchup import CatchUp
from logflume.sink.parking.destinations import Destinations, destination
from logflume.sink.parking.parked import FAILING, Parked, Phase
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.schedule import Limits, Schedule
from tests.support.sorted_log import EVENTS, sorted_message

PLACE = ("sorted", 0)


class FakeError:
    def code(self) -> int:
        return KafkaError._AUTO_OFFSET_RESET

    def name(self) -> str:
        return "reset"

    def str(self) -> str:
        return "gone"


class FakeMessage:
    """A message of the log, or what librdkafka says instead."""

    def __init__(self, offset: int, tenants: dict[str, int], error: FakeError | None = None) -> None:
        self._offset, self._error = offset, error
        self._value, self._headers = sorted_message(tenants, offset)

    def topic(self) -> str:
        return PLACE[0]

    def partition(self) -> int:
        return PLACE[1]

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 0, 0

    def error(self) -> FakeError | None:
        return self._error


class FakeConsumer:
    """Reads a log from where it is assigned; ``first`` is where that begins. A pause outlives the assignment."""

    def __init__(self, log: list[dict[str, int]]) -> None:
        self.log = log
        self.at: int | None = None
        self.first = 0
        self.paused = False
        self.read: list[int] = []

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None:
        assert self.at is None
        self.at = places[0].offset

    def incremental_unassign(self, places: Sequence[TopicPartition]) -> None:
        assert self.at is not None
        self.at = None

    def pause(self, places: Sequence[TopicPartition]) -> None:
        self.paused = True

    def resume(self, places: Sequence[TopicPartition]) -> None:
        self.paused = False

    def poll(self, seconds: float) -> FakeMessage | None:
        assert seconds == 0
        if self.at is None or self.paused or self.at >= len(self.log):
            return None
        if self.at < self.first:
            return FakeMessage(self.at, {"x": 1}, FakeError())
        self.read.append(self.at)
        self.at += 1
        return FakeMessage(self.at - 1, self.log[self.at - 1])

    def close(self) -> None:
        self.at = None


class World:
    """One worker's catching up, with one partition and a log that both readers read."""

    def __init__(self, *, budget_bytes: int = 1 << 30, new_a_minute: int = 100, start: Start | None = None) -> None:
        self.log: list[dict[str, int]] = []
        self.now = 0.0
        self.budget = Budget(budget_bytes)
        self.consumer = FakeConsumer(self.log)
        self.destinations = Destinations(1)
        self.schedule = Schedule(Limits(1e9, 1 << 30, 1 << 60))
        pool = FlushPool(1, lambda flush: pytest.fail("nobody flushes here"))
        self.assigned = Assigned(pool, self.budget, 1 << 40)
        caps = Caps(1000, new_a_minute, lambda: True)
        start = start or Start(Position(0))
        self.partition = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, self.budget, (), caps)
        self.assigned.open[PLACE] = self.partition
        connect: Any = lambda: self.consumer  # noqa: E731
        self.catch_up = CatchUp(
            Settings(sink_park_seconds=20.0),
            self.assigned,
            self.schedule,
            self.budget,
            self.destinations,
            caps,
            lambda topic, number: self.consumer.first,
            lambda topic: None,
            ManualClock(),
            connect,
        )

    def produce(self, *tenants: str, rows: int = 1) -> None:
        """One message; the main reader takes it."""
        self.log.append(dict.fromkeys(tenants, rows))
        offset = self.partition.position.offset
        self.partition.read(offset, 0, *sorted_message(self.log[offset], offset), outlets, self.now)

    def pair(self, tenant: str, job: str = "") -> Pair:
        pair = self.partition.buffers.pair(Outlet(tenant, job))
        assert pair is not None
        return pair

    def fail(self, tenant: str, seconds: float = 30.0, *, refused: bool = False) -> None:
        pair = self.pair(tenant)
        if pair.flight is None:
            self.partition.take(pair)
        self.partition.failed(pair, self.now, str(Retryable("away")), self.now, refused=refused)
        self.tick(seconds)

    def land(self, tenant: str) -> None:
        pair = self.pair(tenant)
        if pair.flight is None:
            self.partition.take(pair)
        self.partition.landed(pair)
        self.destinations.landed(destination(pair.outlet))

    def commit(self) -> None:
        position = self.partition.committable()
        if position is not None:
            self.partition.commit(position, self.partition.changes(position), self.partition.parkings())

    def tick(self, seconds: float = 0.3) -> None:
        self.now += seconds
        self.catch_up.tick(self.now)

    def scan(self, most: int = 100) -> None:
        self.catch_up.turn(most, self.now)

    def entry(self, tenant: str) -> Parked:
        entry = self.partition.behind.parking.get(Outlet(tenant))
        assert entry is not None
        return entry


def outlets(tenant: str, dataset: str) -> tuple[Outlet, ...]:
    return (Outlet(tenant),)


def parked(world: World) -> list[str]:
    return [entry.outlet.tenant for entry in world.partition.behind.parking]


# --- who is parked ----------------------------------------------------------------------------------------------------


def test_who_fails_for_long_is_parked_and_holds_neither_memory_nor_the_commit() -> None:
    world = World()
    world.produce("a", "b")
    world.land("b")
    world.fail("a", 19.0)
    assert (parked(world), world.partition.buffers.held) == ([], 0)
    world.tick(2.0)
    assert parked(world) == ["a"]
    assert world.partition.buffers.held is None
    assert world.budget.used == 0
    position = world.partition.committable()
    assert position is not None
    assert position.offset == 1
    [change] = world.partition.parkings()
    assert change.cursor is not None
    assert (change.cursor.tenant, change.cursor.position.offset) == ("a", 0)


def test_who_is_being_written_is_not_parked_under_the_writer() -> None:
    world = World()
    world.produce("a")
    world.fail("a", 1.0)
    world.partition.take(world.pair("a"))
    world.tick(30.0)
    assert parked(world) == []


def test_y3_when_almost_all_of_much_fails_nobody_is_parked() -> None:
    for budget_bytes, who in ((1 << 16, []), (1 << 40, ["a", "b"])):
        world = World(budget_bytes=budget_bytes)
        world.produce("a", "b")
        world.fail("a", 0.0)
        world.fail("b", 30.0)
        assert parked(world) == who
    world = World(budget_bytes=1 << 16)
    world.produce("a", "b", "c")
    world.fail("a", 0.0)
    world.land("b")
    world.land("c")
    world.tick(30.0)
    assert parked(world) == ["a"]


def test_y3_a_whale_that_fails_alone_is_parked_as_others_would_wait_for_it() -> None:
    world = World(budget_bytes=1 << 16)
    world.produce("whale", rows=5000)
    world.produce("a", "b")
    world.fail("whale", 0.0)
    world.land("a")
    world.tick(30.0)
    assert parked(world) == ["whale"]


# --- the scan ---------------------------------------------------------------------------------------------------------


def test_q1_the_scan_gives_who_is_parked_its_rows_again_and_the_main_reader_goes_on_where_they_meet() -> None:
    world = World()
    for _ in range(3):
        world.produce("a", "b")
    world.fail("a")
    world.produce("a", "b")
    assert world.pair("b").rows == 4
    assert world.partition.buffers.pair(Outlet("a")) is None
    world.commit()
    world.tick(60.0)
    assert world.entry("a").phase is Phase.CATCHING
    world.scan(2)
    assert (world.pair("a").rows, world.consumer.read) == (2, [0, 1])
    world.scan()
    assert (world.pair("a").rows, world.entry("a").phase) == (4, Phase.LIVE)
    assert world.partition.behind.scan is None
    world.tick()
    assert world.consumer.at is None
    world.produce("a")
    assert world.pair("a").rows == 5
    assert world.pair("a").flight is None
    flight = world.partition.take(world.pair("a"))
    assert (flight.table()["message"].to_pylist(), flight.upto) == (["m0.0", "m1.0", "m2.0", "m3.0", "m4.0"], 5)


def test_q3_the_record_goes_with_the_first_commit_that_needs_it_no_more() -> None:
    world = World()
    for _ in range(3):
        world.produce("a", "b")
    world.fail("a")
    world.land("b")
    world.commit()
    world.tick(60.0)
    world.scan()
    world.produce("a", "b")
    # Handed over at 3 and not durable: the commit goes to the handover and no further, and the record stays.
    world.land("b")
    position = world.partition.committable()
    assert position is None
    assert world.partition.progress.committable(world.partition.buffers.held).offset == 3
    assert parked(world) == ["a"]
    world.land("a")
    [change] = world.partition.parkings()
    assert change.cursor is None
    world.commit()
    assert parked(world) == []


def test_z1_one_goes_first_and_when_it_comes_to_rest_all_others_follow() -> None:
    world = World()
    world.produce("a", "b", "c")
    for tenant in "abc":
        world.fail(tenant, 0.0)
    world.tick(30.0)
    assert parked(world) == ["a", "b", "c"]
    world.tick(60.0)
    phases = Counter(entry.phase for entry in world.partition.behind.parking)
    assert phases == {Phase.CATCHING: 1, Phase.WAITING: 2}
    world.scan()
    world.land("a")
    world.commit()
    world.tick()
    world.scan()
    assert sorted(pair.tenant for pair in world.partition.buffers) == ["b", "c"]
    assert world.consumer.read == [0, 0]


def test_z1_a_probe_that_fails_is_parked_at_once_and_the_next_one_is_another() -> None:
    world = World()
    world.produce("a", "b")
    world.fail("a", 0.0)
    world.fail("b", 30.0)
    world.tick(60.0)
    world.scan()
    assert [pair.tenant for pair in world.partition.buffers] == ["a"]
    world.fail("a", 0.3)
    assert world.partition.buffers.pair(Outlet("a")) is None
    world.tick(400.0)
    world.scan()
    assert [pair.tenant for pair in world.partition.buffers] == ["b"]


def test_after_a_restart_a_probe_goes_first() -> None:
    world = World()
    world.produce("a", "b")
    for tenant in "ab":
        world.partition.behind.park(world.pair(tenant), FAILING)
    world.commit()
    records = tuple(entry.stored for entry in world.partition.behind.parking if entry.stored is not None)
    successor = World(start=Start(Position(1), stored=True, parked=records))
    successor.log.append(world.log[0])
    successor.catch_up.opened(successor.partition, 0.0)
    successor.tick()
    successor.scan()
    assert [pair.tenant for pair in successor.partition.buffers] == ["a"]


def test_y2_the_scan_yields_while_memory_presses_and_goes_on_after() -> None:
    world = World()
    for _ in range(4):
        world.produce("a")
    world.fail("a")
    world.commit()
    world.tick(60.0)
    world.scan(1)
    world.budget.charge(700 << 20)
    world.tick()
    world.scan()
    assert (world.consumer.read, world.consumer.paused, world.partition.meeting) == ([0], True, False)
    world.budget.free(700 << 20)
    world.tick()
    assert world.partition.meeting  # and the main reader waits for it, as it is near
    world.scan()
    assert world.consumer.read == [0, 1, 2, 3]
    world.tick()
    assert not world.partition.meeting


def test_a_scan_that_ended_while_it_was_paused_does_not_keep_the_next_one_from_reading() -> None:
    world = World()
    world.produce("a")
    world.produce("a")
    world.fail("a")
    world.commit()
    world.tick(60.0)
    world.scan(1)
    world.budget.charge(700 << 20)
    world.tick()
    assert world.consumer.paused
    world.partition.behind.park(world.pair("a"), FAILING)
    world.tick()
    assert world.consumer.at is None
    world.budget.free(700 << 20)
    world.destinations.landed(("store",))
    world.tick(60.0)
    world.scan()
    assert world.pair("a").rows == 2


def test_who_is_due_later_joins_the_scan_that_has_not_passed_its_cursor() -> None:
    world = World()
    for _ in range(3):
        world.produce("a")
    world.fail("a")
    world.produce("b")
    world.commit()
    world.tick(60.0)
    world.scan(1)
    world.partition.behind.park(world.pair("b"), FAILING)
    world.destinations.landed(("store",))
    world.tick()
    assert {entry.phase for entry in world.partition.behind.parking} == {Phase.CATCHING}
    world.scan()
    assert {pair.tenant: pair.rows for pair in world.partition.buffers} == {"a": 3, "b": 1}
    assert world.consumer.read == [0, 1, 2, 3]


def test_new_ones_that_were_parked_begin_when_there_is_room() -> None:
    world = World(new_a_minute=2)
    world.produce("a", "b", "c", "d")
    assert parked(world) == ["c", "d"]
    world.tick()
    assert world.partition.behind.scan is None
    world.tick(30.0)
    assert world.partition.behind.scan is None  # one of two: a scan is for as many as there are, up to fifty
    world.destinations.failed(("store",), world.now)
    world.partition.behind.park(world.pair("a"), FAILING)
    world.destinations.landed(("store",))
    world.tick()
    world.scan()
    assert sorted(pair.tenant for pair in world.partition.buffers) == ["a", "b", "c"]
    world.tick(60.0)
    world.scan()
    assert sorted(pair.tenant for pair in world.partition.buffers) == ["a", "b", "c", "d"]


# --- what is gone -----------------------------------------------------------------------------------------------------


def letters(world: World) -> list[tuple[bytes | None, bytes | None, bytes]]:
    found = []
    for letter in world.partition.letters(Position(1 << 40)):
        [message] = letter.messages
        fields = dict(message.headers)
        found.append((fields["reason"], fields["tenant"], fields["detail"] or b""))
    return found


def test_what_retention_took_from_under_the_scan_is_recorded_for_whom_it_was_lost() -> None:
    world = World()
    for _ in range(4):
        world.produce("a", "b")
    world.fail("a")
    world.land("b")
    world.commit()
    world.consumer.first = 2
    world.tick(60.0)
    world.scan()
    assert world.pair("a").rows == 2
    [(reason, tenant, detail)] = letters(world)
    assert (reason, tenant) == (b"retention", b"a")
    assert b"offsets 0 to 1 of sorted[0]" in detail
    assert b"the table of a" in detail
    assert world.partition.behind.scan is None


def test_a_gap_that_is_not_of_retentions_making_stops_the_partition_and_loses_nobody_rows() -> None:
    world = World()
    for _ in range(4):
        world.produce("a")
    world.fail("a")
    world.commit()
    world.tick(60.0)
    later = FakeMessage(2, {"a": 1})
    world.consumer.poll = lambda seconds: later  # type: ignore[method-assign]
    world.scan(1)
    assert world.assigned.stops == {}  # it may be a message of an assignment before
    world.scan(1)
    assert world.assigned.stops[PLACE].reason == "gap"
    assert letters(world) == []
    assert world.entry("a").cursor.offset == 0


def test_what_retention_took_before_a_start_is_recorded_with_the_commit_that_moves_the_cursor() -> None:
    world = World()
    world.produce("a")
    world.partition.behind.park(world.pair("a"), FAILING)
    world.commit()
    records = tuple(entry.stored for entry in world.partition.behind.parking if entry.stored is not None)
    successor = World(start=Start(Position(9), stored=True, parked=records, first=5))
    position = successor.partition.committable()
    assert position is not None
    assert [detail[:14] for _, _, detail in letters(successor)] == [b"offsets 0 to 4"]
    [change] = successor.partition.parkings()
    assert change.cursor is not None
    assert change.cursor.position.offset == 5
    successor.commit()
    assert letters(successor) == []


def test_a_partition_whose_parked_range_cannot_be_read_again_stops_and_says_so() -> None:
    world = World()
    world.produce("a")
    world.fail("a")
    world.tick(60.0)
    broken = FakeMessage(0, {"a": 1})
    broken._value = b"none"
    world.consumer.poll = lambda seconds: broken  # type: ignore[method-assign]
    world.scan(1)
    assert world.assigned.stops[PLACE].reason == "refused"
    assert world.consumer.at is None
