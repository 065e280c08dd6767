"""What a sink does when partitions are taken from it (its promise I2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.errors import Fatal
from logflume.kafka.identity import TopicChanged
from logflume.kafka.position import Position
from logflume.model import Outlet
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import Pair
from logflume.sink.flushes import Flush, FlushPool, Rested
from logflume.sink.flushing import Flushing
from logflume.sink.generations import Generations
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.destinations import Destinations
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.schedule import Limits, Schedule
from logflume.sink.worker import Sink
from tests.support.sorted_log import EVENTS, sorted_message
from tests.support.waiting import until


class NoticingCommitter:
    """Notes how far each partition could be committed."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def commit(self, partitions: Iterable[Partition], consumer: Any, generation: int) -> bool:
        for partition in partitions:
            position = partition.committable()
            self.offsets.append(position.offset if position else -1)
        return True


class FakeConsumer:
    """Notes what is given back."""

    def __init__(self) -> None:
        self.unassigned: list[tuple[str, int]] = []

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.unassigned += [(p.topic, p.partition) for p in partitions]


class FixedSource:
    """A configuration of generation 1."""

    def current(self) -> Any:
        return type("Configuration", (), {"generation": 1})


def sink_of(partition: Partition, pool: FlushPool, **more: Any) -> Sink:
    sink = object.__new__(Sink)
    assigned = Assigned(pool, Budget(1 << 30), 1 << 30)
    assigned.open[("sorted", 0)] = partition
    vars(sink).update(
        _assigned=assigned,
        _pool=pool,
        _generations=Generations(FixedSource(), 60.0),
        _ending=False,
        _commit_error="",
        **more,
    )
    schedule, clock = Schedule(Limits(1e9, 1 << 30, 1 << 30)), ManualClock()
    flushing = Flushing(
        Settings(), pool, schedule, Budget(1 << 30), assigned, Destinations(1), Caps(1, 1, lambda: False), clock, 1
    )
    vars(sink).update(_schedule=schedule, _clock=clock, _flushing=flushing)
    vars(sink).update(_catch_up=SimpleNamespace(forget=lambda places: None))
    return sink


def with_two_tenants() -> tuple[Partition, list[Pair]]:
    partition = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))
    value, headers = sorted_message({"acme": 3, "zen": 1}, 0)
    return partition, partition.read(0, 0, value, headers, lambda tenant, dataset: (Outlet(tenant),), 0.0)[1]


@pytest.mark.parametrize(
    "give_up",
    [
        lambda sink: sink._abandon(FakeConsumer(), [TopicPartition("sorted", 0)]),
        lambda sink: sink._assigned.drop_topic(TopicChanged("sorted", "made again")),
    ],
    ids=["lost", "topic-changed"],
)
def test_no_flush_of_a_partition_that_was_given_up_begins(give_up: Callable[[Sink], None]) -> None:
    partition = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))
    value, headers = sorted_message({"acme": 3, "bell": 1, "zen": 1}, 0)
    pairs = partition.read(0, 0, value, headers, lambda tenant, dataset: (Outlet(tenant),), 0.0)[1]
    began, go_on, stored = threading.Semaphore(0), threading.Event(), []

    def append(flush: Flush) -> Rested:
        stored.append(flush.pair.tenant)
        began.release()
        assert go_on.wait(30)
        return Rested(3, 1, 100, 0)

    pool = FlushPool(1, append)  # and one more thread for small flushes
    for pair in pairs:
        pool.submit(Flush(partition, pair, partition.buffers.take(pair, 1), "age", 0.0))
    assert began.acquire(timeout=30)
    assert began.acquire(timeout=30)
    give_up(sink_of(partition, pool))
    go_on.set()
    until(lambda: pool.landings() is not None and not pool.busy, 30)
    assert sorted(stored) == ["acme", "bell"]
    assert partition.closed
    pool.close()


def test_a_flush_that_would_outlive_its_revocation_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logflume.sink.worker._REVOKE_SECONDS", 0.05)
    partition, [pair, _] = with_two_tenants()
    began, go_on = threading.Event(), threading.Event()

    def append(flush: Flush) -> Rested:
        began.set()
        assert go_on.wait(30)
        return Rested(3, 1, 100, 0)

    pool = FlushPool(1, append)
    pool.submit(Flush(partition, pair, partition.buffers.take(pair, 1), "age", 0.0))
    assert began.wait(30)
    committer, consumer = NoticingCommitter(), FakeConsumer()
    sink = sink_of(partition, pool, _committer=committer, _consumer=consumer)
    with pytest.raises(Fatal, match="still runs"):
        sink._revoke(consumer, [TopicPartition("sorted", 0)])  # type: ignore[arg-type]
    sink._ending = True  # as when it leaves the group: it ends anyway, and what is durable is committed
    sink._revoke(consumer, [TopicPartition("sorted", 0)])  # type: ignore[arg-type]
    assert committer.offsets == [0]
    go_on.set()
    assert pool.settle(None, 30)
    pool.close()


def test_a_revoked_partitions_flush_is_waited_for_and_its_rows_are_committed() -> None:
    partition = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))
    value, headers = sorted_message({"acme": 3}, 0)
    _, [pair] = partition.read(0, 0, value, headers, lambda tenant, dataset: (Outlet(tenant),), 0.0)
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def append(flush: Flush) -> Rested:
        began.set()
        assert go_on.wait(30)
        ended.set()
        return Rested(3, 1, 100, 0)

    pool = FlushPool(1, append)
    pool.submit(Flush(partition, pair, partition.buffers.take(pair, 1), "age", 0.0))
    assert began.wait(30)
    committer, consumer = NoticingCommitter(), FakeConsumer()
    sink = sink_of(partition, pool, _committer=committer, _consumer=consumer)
    timer = threading.Timer(0.3, go_on.set)  # the store answers only after the revocation has begun
    timer.start()
    sink._revoke(consumer, [TopicPartition("sorted", 0)])  # type: ignore[arg-type]
    assert ended.is_set()
    assert committer.offsets == [1]
    assert consumer.unassigned == [("sorted", 0)]
    assert partition.closed
    timer.join()
    pool.close()
