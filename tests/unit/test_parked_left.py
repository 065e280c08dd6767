"""How long is left before retention takes what a parked one waits for, and who hears of it."""

from __future__ import annotations

import math
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from logflume import metrics
from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.kafka.position import Position
from logflume.kafka.retention import Retentions
from logflume.model import Outlet
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.parking.parked import FAILING, Parked
from logflume.sink.parking.telling import Telling
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from tests.support.sorted_log import EVENTS, sorted_message

HOUR = 3600.0


class World:
    """A partition of ``hours`` of retention; rows of ``a`` and ``b`` came an hour after each other."""

    def __init__(self, hours: float | None) -> None:
        self.clock = ManualClock()
        self.hours = hours
        pool: Any = SimpleNamespace(settle=lambda *_: True)
        budget = Budget(1 << 30)
        assigned = Assigned(pool, budget, 1 << 40)
        self.partition = Partition(
            "sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), budget, (), None
        )
        assigned.open["sorted", 0] = self.partition
        self.telling = Telling(assigned, lambda topic: None if self.hours is None else self.hours * HOUR, self.clock)
        self.log: list[tuple[int, dict[str, int]]] = []

    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def produce(self, *tenants: str) -> None:
        offset = len(self.log)
        self.log.append((self.now_ms(), dict.fromkeys(tenants, 1)))
        value, headers = sorted_message(self.log[-1][1], offset)
        self.partition.read(offset, self.now_ms(), value, headers, lambda tenant, _: (Outlet(tenant),), 0.0)

    def scan(self) -> None:
        scan = self.partition.behind.scan
        assert scan is not None
        offset = scan.position.offset
        at, tenants = self.log[offset]
        self.partition.read_behind(offset, at, *sorted_message(tenants, offset), 0.0)

    def park(self, tenant: str) -> Parked:
        pair = self.partition.buffers.pair(Outlet(tenant))
        assert pair is not None
        return self.partition.behind.park(pair, FAILING)

    def land(self, tenant: str) -> None:
        pair = self.partition.buffers.pair(Outlet(tenant))
        assert pair is not None
        if pair.flight is None:
            self.partition.take(pair)
        self.partition.landed(pair)

    def after(self, hours: float) -> list[str]:
        """Let so many hours go; returns what is logged."""
        self.clock.advance(hours * HOUR)
        with capture_logs() as logs:
            self.telling.tell()
        return [line["event"] for line in logs]


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    metrics.SINK_PARKED_LEFT.clear()


def left() -> dict[str, float]:
    samples = (sample for family in metrics.SINK_PARKED_LEFT.collect() for sample in family.samples)
    return {sample.labels["dataset"]: round(sample.value / HOUR, 3) for sample in samples}


def test_what_is_left_is_the_retention_less_the_age_of_the_oldest_row_that_a_parked_one_waits_for() -> None:
    world = World(72)
    world.after(0)
    assert left() == {}
    world.produce("a")
    world.after(1)
    world.produce("b")
    world.after(1)
    assert left() == {}  # nobody is parked
    world.park("b")
    world.after(0)
    assert left() == {"events": 71.0}
    world.park("a")
    world.after(1)
    assert left() == {"events": 69.0}
    world.hours = 100.0  # somebody raised it
    world.after(1)
    assert left() == {"events": 96.0}
    world.after(200)
    assert left() == {"events": 0.0}
    for tenant in "ab":
        world.partition.behind.drop(Outlet(tenant))
    world.after(0)
    assert left() == {}


def test_below_a_quarter_it_is_said_first_of_all_and_logged_once_at_each_crossing() -> None:
    world = World(72)
    world.produce("a")
    world.park("a")
    assert world.after(53.9) == []
    assert world.telling.running_out == []
    assert world.after(0.2) == ["sink.parked-running-out"]
    [said] = world.telling.running_out
    assert said.startswith("retention takes rows that parked tables or jobs of sorted[0] wait for in 17.9 h (of 72.0)")
    assert world.after(1) == []
    world.hours = 144.0
    assert world.after(0) == []
    assert world.telling.running_out == []
    world.hours = 72.0
    assert world.after(0) == ["sink.parked-running-out"]


@pytest.mark.parametrize("hours", [None, math.inf])
def test_where_the_retention_is_not_known_or_for_ever_nothing_runs_out(hours: float | None) -> None:
    world = World(hours)
    world.produce("a")
    world.park("a")
    assert world.after(1000) == []
    assert (left(), world.telling.running_out) == ({} if hours is None else {"events": math.inf}, [])


def test_who_is_caught_up_in_part_waits_for_younger_rows_than_before() -> None:
    world = World(72)
    for _ in range(3):
        world.produce("a")
        world.after(1)
    entry = world.park("a")
    world.partition.behind.begin([entry])
    world.scan()
    world.scan()
    world.land("a")
    world.after(0)
    assert left() == {"events": 70.0}  # the second message is durable, and it was taken two hours ago
    world.scan()
    world.park("a")
    world.after(0)
    assert left() == {"events": 71.0}


def test_rows_that_came_during_a_flight_that_failed_do_not_make_the_older_ones_younger() -> None:
    world = World(72)
    world.produce("a")
    world.after(5)
    pair = world.partition.buffers.pair(Outlet("a"))
    assert pair is not None
    world.partition.take(pair)
    world.produce("a")
    world.partition.failed(pair, 0.0, "away")
    world.park("a")
    world.after(0)
    assert left() == {"events": 67.0}


# --- the retention ----------------------------------------------------------------------------------------------------


class Asked:
    """An admin client that is asked for topics' configurations."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def describe_configs(self, resources: list[Any], request_timeout: float) -> dict[Any, Future[Any]]:
        self.futures.append(Future())
        return {resources[0]: self.futures[-1]}

    def answer(self, milliseconds: str) -> None:
        self.futures[-1].set_result({"retention.ms": SimpleNamespace(value=milliseconds)})


def test_the_retention_is_asked_for_again_now_and_then_and_an_answer_is_never_waited_for() -> None:
    admin, clock = Asked(), ManualClock()
    of = Retentions(admin, clock)  # type: ignore[arg-type]
    assert of.seconds("sorted") is None
    assert of.seconds("sorted") is None
    assert len(admin.futures) == 1
    admin.answer("7200000")
    assert of.seconds("sorted") == 7200.0
    assert len(admin.futures) == 1
    clock.advance(301.0)
    assert of.seconds("sorted") == 7200.0
    admin.futures[-1].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    assert of.seconds("sorted") == 7200.0  # the last answer holds
    clock.advance(301.0)
    of.seconds("sorted")
    admin.answer("-1")
    assert of.seconds("sorted") == math.inf
