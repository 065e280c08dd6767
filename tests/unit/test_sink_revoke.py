"""What a sink does when partitions are taken from it (its promise I2)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from confluent_kafka import TopicPartition

from logflume.block.schema import sorted_schema
from logflume.kafka.position import Position
from logflume.sink.budget import Budget
from logflume.sink.flushes import Flush, FlushPool
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.worker import Sink
from logflume.table.table import Appended
from tests.support.sorted_log import EVENTS, sorted_message


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


def test_a_revoked_partitions_flush_is_waited_for_and_its_rows_are_committed() -> None:
    partition = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))
    value, headers = sorted_message({"acme": 3}, 0)
    _, [pair] = partition.read(0, 0, value, headers, lambda tenant, dataset: True, 0.0)
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def append(flush: Flush) -> Appended:
        began.set()
        assert go_on.wait(30)
        ended.set()
        return Appended(1, 1, 100, 3, 0)

    pool = FlushPool(1, append)
    pool.submit(Flush(partition, pair, partition.buffers.take(pair, 1), "age", 0.0))
    assert began.wait(30)
    committer, consumer, sink = NoticingCommitter(), FakeConsumer(), object.__new__(Sink)
    vars(sink).update(
        _open={("sorted", 0): partition}, _pool=pool, _committer=committer, _consumer=consumer, _source=FixedSource()
    )
    vars(sink).update(_stops={}, _paused=set(), _commit_error="")
    timer = threading.Timer(0.3, go_on.set)  # the store answers only after the revocation has begun
    timer.start()
    sink._revoke(consumer, [TopicPartition("sorted", 0)])  # type: ignore[arg-type]
    assert ended.is_set()
    assert committer.offsets == [1]
    assert consumer.unassigned == [("sorted", 0)]
    assert partition.closed
    timer.join()
    pool.close()
