"""The sink's guards: a gap stops its partition, a topic made again stores and commits nothing, memory is counted."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.kafka.identity import TopicChanged
from logflume.kafka.position import Position
from logflume.model import Configuration, FileFormat, Job, Outlet, Target, Tenant
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import Lane
from logflume.sink.commit import Committer
from logflume.sink.flushes import Flush, FlushPool
from logflume.sink.flushing import Flushing
from logflume.sink.generations import Generations
from logflume.sink.health import Health
from logflume.sink.held import Run, hold
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.destinations import Destinations
from logflume.sink.partition import Partition
from logflume.sink.placing import Start, Stop
from logflume.sink.rests import Rests
from logflume.sink.schedule import Limits, Schedule
from logflume.sink.worker import Sink
from logflume.table.store import Store
from tests.support.sorted_log import EVENTS, sorted_message

SCHEMA = sorted_schema(EVENTS)
PLACE = ("sorted", 0)


class MadeAgain:
    """Knows only topics that were made again."""

    def check(self, topic: str, topic_id: str, since: float) -> None:
        raise TopicChanged(topic, "it is another now")


class FakeMessage:
    """A sorted message at an offset."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._value, self._headers = sorted_message({"a": 1}, offset)

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


class IdlePool(FlushPool):
    """Notes what it is given and does nothing."""

    def __init__(self) -> None:
        self.given: list[Flush] = []

    def room(self, lane: Lane) -> bool:
        return True

    def submit(self, flush: Flush) -> None:
        self.given.append(flush)

    def longest(self, now: float) -> str:
        return "a flush hangs"

    def settle(self, partitions: Collection[Partition] | None, seconds: float) -> bool:
        return True


def sink(pool: FlushPool, behind_bytes: int = 1 << 30) -> tuple[Sink, Partition]:
    """A worker with one open partition, outside of Kafka. Rows don't grow old."""
    budget = Budget(1 << 30)
    partition = Partition(*PLACE[:1], "id", PLACE[1], EVENTS, SCHEMA, Start(Position(0)), budget)
    configuration = SimpleNamespace(generation=1, outlets=lambda tenant, dataset: (Outlet(tenant),))
    made = object.__new__(Sink)
    schedule, settings = Schedule(Limits(1e9, 1 << 30, 1 << 30)), Settings(sink_behind_bytes=behind_bytes)
    assigned = Assigned(pool, budget, behind_bytes)
    assigned.open[PLACE] = partition
    vars(made).update(
        _generations=Generations(SimpleNamespace(current=lambda: configuration), 60.0),
        _clock=ManualClock(),
        _pool=pool,
        _budget=budget,
        _schedule=schedule,
        _assigned=assigned,
        _flushing=Flushing(
            settings, pool, schedule, budget, assigned, Destinations(1), Caps(1, 1, lambda: False), ManualClock(), 1
        ),
        _catch_up=SimpleNamespace(telling=SimpleNamespace(running_out=[], troubles=[])),
        _draining=False,
    )
    return made, partition


def take(worker: Sink, *offsets: int) -> None:
    for offset in offsets:
        worker._take(FakeMessage(offset))  # type: ignore[arg-type]


def test_a_gap_in_the_log_stops_its_partition_before_it_is_read_past() -> None:
    worker, partition = sink(IdlePool())
    take(worker, 0, 2, 3)
    assert worker._assigned.stops[PLACE].reason == "gap"
    assert partition.stopped
    assert partition.position.offset == 1


@pytest.mark.parametrize(("behind_bytes", "causes"), [(1 << 30, []), (1, ["behind"])])
def test_whoever_holds_the_commit_back_is_flushed_when_too_much_lies_behind_it(
    behind_bytes: int, causes: list[str]
) -> None:
    pool = IdlePool()
    worker, _ = sink(pool, behind_bytes)
    take(worker, 0)
    worker._flushing.launch(0.0)
    assert [flush.cause for flush in pool.given] == causes


def test_of_a_topic_made_again_nothing_is_stored() -> None:
    worker, partition = sink(pool := IdlePool(), behind_bytes=1)
    take(worker, 0)
    worker._flushing.launch(0.0)
    same: Any = MadeAgain()
    with pytest.raises(TopicChanged):
        Rests(Settings(), Store("file:///nowhere"), same, ManualClock()).bring(pool.given[0])
    assert partition.buffers.held == 0


def test_of_a_topic_made_again_nothing_is_committed() -> None:
    _, partition = sink(IdlePool())
    committer = object.__new__(Committer)
    vars(committer).update(_same=MadeAgain(), _clock=ManualClock())  # and no producer to commit with
    with pytest.raises(TopicChanged):
        committer.commit([partition], None, 1)  # type: ignore[arg-type]
    assert partition.committable() == Position(0)


def test_a_held_batch_counts_with_what_its_columns_and_segments_cost_beside_their_values() -> None:
    worker, partition = sink(IdlePool())
    budget = Budget(1 << 30)
    take(worker, 0)
    [pair] = partition.buffers
    batch = pair.segments[0].batch()
    hold(batch, 0, [Run("a", 0, 1)], budget)
    assert budget.used >= batch.get_total_buffer_size() + 250 * batch.num_columns + 300


@pytest.mark.parametrize(("age", "troubles"), [(110.0, 0), (410.0, 0), (430.0, 1)])
def test_rows_that_wait_for_their_object_to_be_full_are_no_stall(age: float, troubles: int) -> None:
    worker = telling(IdlePool())
    take(worker, 0)
    worker._tell(age)
    told = (worker.health.ready() or "").splitlines()
    assert told == ["nothing was committed for 430 s: a flush hangs"][:troubles]


def test_what_runs_out_stands_first_on_ready_and_in_the_status_which_has_room_for_ten_lines() -> None:
    worker = telling(IdlePool())
    worker._catch_up.telling.running_out = ["retention takes rows"]
    worker._catch_up.telling.troubles = [f"{number} is parked" for number in range(20)]
    worker._assigned.stop(("other", 0), Stop("gap", "a gap"))
    worker._tell(0.0)
    assert (worker.health.ready() or "").startswith("retention takes rows\n")


def telling(pool: Any) -> Sink:
    worker, _ = sink(pool)
    job = Job("copy", "events", Target("file:///nowhere"), FileFormat.CSV, max_age_seconds=300)
    configuration = Configuration(1, "", {"a": Tenant("a", {}, {"copy": job})})
    clock = ManualClock()
    vars(worker).update(
        _settings=Settings(stall_seconds=120.0),
        _generations=Generations(SimpleNamespace(current=lambda: configuration), 60.0),
        _joined=True,
        _commit_error="",
        health=Health(clock),
    )
    return worker
