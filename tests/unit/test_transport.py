"""What the transport changes of Faust, piece by piece; whole processes are tested in tests/integration/test_sort.py."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError
from aiokafka.record import default_records
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from logflume import metrics
from logflume.block.wire import MOST_BYTES
from logflume.sort.batches import Fetched, Torn
from logflume.sort.commit import CommitRule
from logflume.sort.transport import Consumer, ConsumerThread, Transport, _raw_bytes
from tests.support.ingest import message

HERE = TP("ingest.events", 0)


def test_the_private_parts_are_those_that_the_transport_was_checked_against() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka").startswith("0.14.")
    for name in ("_getmany", "_new_offset", "_filter_tps_with_pending_acks", "_add_gap", "ack", "perform_seek"):
        assert name in vars(base.Consumer) or name in vars(base.ThreadDelegateConsumer), name
    for name in ("_create_worker_consumer", "seek_to_committed", "_commit", "_fetch_records"):
        assert name in vars(stock.AIOKafkaConsumerThread), name
    assert "_isolation_level" in aiokafka.AIOKafkaConsumer.__init__.__code__.co_names
    assert "_isolation_level" in aiokafka.AIOKafkaConsumer.start.__code__.co_names
    assert hasattr(GroupCoordinator, "fetch_committed_offsets")
    assert {"MemoryRecords", "FetchResult"} <= vars(fetcher).keys()
    for name in ("_maybe_uncompress", "_read_msg"):
        assert name in vars(default_records._DefaultRecordBatchPy), name


def test_faust_finds_the_transport_by_its_url() -> None:
    from faust.transport import by_url

    assert by_url("logflume://localhost:9092") is Transport


class HeldThread:
    """Stands for the consumer thread: fetches what the test gives it, notes seeks."""

    def __init__(self) -> None:
        self.fetches: list[Any] = []
        self.seeks = 0
        self.during_fetch: Any = None

    async def getmany(self, partitions: Any, timeout: float) -> Any:
        if self.during_fetch:
            await self.during_fetch()
        found = self.fetches.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    async def seek_to_committed(self) -> dict[TP, int]:
        self.seeks += 1
        return {HERE: 0}


def held() -> tuple[Consumer, HeldThread]:
    """A consumer without its app: what it needs of one is set by hand."""
    consumer = object.__new__(Consumer)
    thread = HeldThread()
    vars(consumer).update(
        rule=CommitRule(),
        stopped={},
        lost={},
        routing={},
        joined=False,
        _topic_ids={HERE.topic: "id"},
        _seeks=0,
        _adrift=False,
        _thread=thread,
        _read_offset={},
        _committed_offset={},
        _unacked_messages=set(),
        _waiting_for_ack=None,
        _active_partitions={HERE},
        _paused_partitions=set(),
    )
    return consumer, thread


def fetched(first: int, last: int) -> dict[TP, Any]:
    return {HERE: [message(offset, b"{}") for offset in range(first, last + 1)]}


async def fetch(consumer: Consumer) -> list[tuple[int, int]]:
    found = await consumer._getmany({HERE}, 1.0)
    return [(chunk.first, chunk.last) for chunks in found.values() for chunk in chunks]


def test_a_fetch_is_one_chunk_a_partition_and_known_to_the_commit_rule_at_once() -> None:
    async def play() -> None:
        consumer, thread = held()
        thread.fetches = [fetched(0, 9)]
        assert await fetch(consumer) == [(0, 9)]
        assert consumer.rule.oldest() is not None
        assert list(consumer._filter_tps_with_pending_acks()) == []

    asyncio.run(play())


def test_t7_a_chunk_covers_the_transactions_end_behind_its_last_message_but_believes_no_torn_batch() -> None:
    async def play() -> None:
        consumer, thread = held()
        whole = Fetched(fetched(0, 9)[HERE])
        torn = Fetched([*fetched(11, 12)[HERE], message(2**62, Torn(b"bad"))])
        whole.next_offset, torn.next_offset = 11, 2**40
        thread.fetches = [{HERE: whole}, {HERE: torn}]
        assert await fetch(consumer) == [(0, 10)]
        assert await fetch(consumer) == [(11, 12)]

    asyncio.run(play())


def test_a_fetch_that_was_cut_short_is_followed_by_a_seek_to_what_is_committed() -> None:
    """Its records are gone, but the client's position may lie behind them: going on there would skip them."""

    async def play() -> None:
        consumer, thread = held()
        thread.fetches = [asyncio.CancelledError(), fetched(0, 9)]
        with pytest.raises(asyncio.CancelledError):
            await fetch(consumer)
        assert thread.seeks == 0
        assert await fetch(consumer) == [(0, 9)]
        assert thread.seeks == 1

    asyncio.run(play())


def test_a_fetch_that_a_seek_overtook_is_thrown_away_and_followed_by_another_seek() -> None:
    async def play() -> None:
        consumer, thread = held()
        thread.fetches = [fetched(50, 59), fetched(0, 9)]
        thread.during_fetch = consumer.perform_seek
        assert await fetch(consumer) == []
        thread.during_fetch = None
        assert await fetch(consumer) == [(0, 9)]
        assert thread.seeks == 2

    asyncio.run(play())


def test_a_seek_makes_everything_fetched_before_count_no_more() -> None:
    async def play() -> None:
        consumer, thread = held()
        thread.fetches = [fetched(0, 9)]
        [chunk] = (await consumer._getmany({HERE}, 1.0))[HERE]
        await consumer.perform_seek()
        chunk.range.done = True
        assert consumer._new_offset(HERE) is None

    asyncio.run(play())


def test_a_stopped_partition_hands_out_nothing() -> None:
    async def play() -> None:
        consumer, thread = held()
        consumer.stopped[HERE] = "committed offset 9 lies beyond the log's end 3"
        thread.fetches = [fetched(3, 5)]
        assert await fetch(consumer) == []

    asyncio.run(play())


def test_a_batch_that_fails_its_checksum_stops_its_partition_and_loses_nothing_before_it() -> None:
    async def play() -> None:
        consumer, thread = held()
        torn = message(2**62, Torn(b"the batch at offset 3 fails its checksum"))
        thread.fetches = [{HERE: [*fetched(0, 2)[HERE], torn]}, {HERE: [torn]}, fetched(9, 9)]
        assert await fetch(consumer) == [(0, 2)]
        assert consumer.stopped == {HERE: "the batch at offset 3 fails its checksum"}
        assert HERE in consumer._paused_partitions
        assert await fetch(consumer) == []
        await consumer.perform_seek()
        assert HERE not in consumer._paused_partitions

    asyncio.run(play())


def place(committed: OffsetAndMetadata | None, beginning: int, end: int) -> tuple[int, dict[TP, str]]:
    consumer, _ = held()
    thread = object.__new__(ConsumerThread)
    vars(thread)["consumer"] = consumer
    return thread._place(TopicPartition(*HERE), committed, beginning, end), consumer.stopped


def test_a_new_group_starts_at_the_beginning() -> None:
    assert place(None, 5, 9) == (5, {})


def test_a_group_goes_on_at_its_commit() -> None:
    assert place(OffsetAndMetadata(7, "id"), 5, 9) == (7, {})


def test_an_offset_of_a_topic_that_was_made_again_is_not_taken_for_the_new_ones() -> None:
    assert place(OffsetAndMetadata(7, "another id"), 0, 9) == (0, {})


def test_an_offset_beyond_the_end_stops_the_partition_and_says_so() -> None:
    offset, stopped = place(OffsetAndMetadata(70, "id"), 0, 9)
    assert offset == 9
    assert "70 lies beyond the log's end 9" in stopped[HERE]
    assert metrics.SORT_STOPPED._value.get() == 1


def test_a_range_lost_to_retention_is_recorded_with_the_next_chunk() -> None:
    async def play() -> None:
        consumer, thread = held()
        consumer.lost[HERE] = (2, 4)
        thread.fetches = [fetched(5, 6), fetched(7, 8)]
        first = (await consumer._getmany({HERE}, 1.0))[HERE][0]
        second = (await consumer._getmany({HERE}, 1.0))[HERE][0]
        assert (first.lost, second.lost) == ((2, 4), None)

    asyncio.run(play())


def test_a_block_is_weighed_by_what_it_says_and_never_below_its_value() -> None:
    def weight(value: bytes, *headers: tuple[str, bytes]) -> int:
        return _raw_bytes(message(0, value, headers=headers))

    assert weight(b"12345") == 5
    assert weight(b"{}\n" * 7) == 700
    assert weight(b"12345", ("bytes", b"9000")) == 9000
    assert weight(b"12345", ("bytes", b"1")) == 5
    assert weight(b"12345", ("bytes", b"-1")) == 5
    assert weight(b"12345", ("bytes", b"9" * 11)) == MOST_BYTES


class Acked:
    """Stands for Faust's message when its chunk is done."""

    acked = False
    tp = HERE

    def __init__(self, value: Any) -> None:
        self.value = value


def routing(committed: OffsetAndMetadata | None, place: int, newest: Any = None) -> int:
    consumer, _ = held()
    answers = iter(newest or ())

    def asked() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    vars(consumer)["newest"] = asked
    thread = object.__new__(ConsumerThread)
    vars(thread)["consumer"] = consumer
    return asyncio.run(thread._routing(committed, place))


def test_t8_who_goes_on_at_a_commit_asks_for_the_configuration_that_it_notes() -> None:
    assert routing(OffsetAndMetadata(7, "id 12"), 7) == 12
    assert routing(OffsetAndMetadata(7, "id"), 7) == 0
    assert routing(None, 0) == 0


def test_t8_where_retention_may_have_removed_markers_the_newest_configuration_is_asked_for() -> None:
    assert routing(OffsetAndMetadata(7, "id 12"), 20, [15]) == 15
    assert routing(None, 20, [15]) == 15
    assert routing(None, 20, [None]) == 0


def test_t8_what_a_chunk_asked_for_is_noted_with_its_commit_and_asked_for_by_the_next_one() -> None:
    async def play() -> None:
        consumer, thread = held()
        consumer.routing[HERE] = 5
        thread.fetches = [fetched(0, 9), fetched(10, 19)]
        first = (await consumer._getmany({HERE}, 1.0))[HERE][0]
        assert first.routing == 5
        first.routing = 7
        consumer.ack(Acked(first))
        assert consumer.note(HERE) == "id 7"
        assert (await consumer._getmany({HERE}, 1.0))[HERE][0].routing == 7

    asyncio.run(play())


class RebalancingKafka:
    """Takes a partition away, and gives another, while the places of those that it had are looked up."""

    def __init__(self) -> None:
        self.assigned = {TopicPartition(*HERE), TopicPartition(HERE.topic, 1)}
        self.seeks: list[TopicPartition] = []
        self._coordinator = self

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self.assigned)

    async def fetch_committed_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, Any]:
        return {partition: OffsetAndMetadata(3, "id") for partition in partitions}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.assigned = {TopicPartition(*HERE), TopicPartition(HERE.topic, 2)}
        return dict.fromkeys(partitions, 9)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert partition in self.assigned, "aiokafka raises here, which ends the worker"
        self.seeks.append(partition)


def test_t5_a_rebalance_while_places_are_looked_up_leaves_no_partition_unplaced_and_no_foreign_one_touched() -> None:
    consumer, _ = held()
    kafka, thread = RebalancingKafka(), object.__new__(ConsumerThread)
    vars(thread).update(consumer=consumer, _consumer=kafka)
    placed = asyncio.run(thread._seek_to_committed())
    assert placed.keys() == {HERE, TP(HERE.topic, 2)}
    assert set(kafka.seeks) == kafka.assigned


class RecordingKafka:
    """Stands for AIOKafkaConsumer when offsets are committed."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.commits: list[dict[TopicPartition, OffsetAndMetadata]] = []

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.refuse:
            raise CommitFailedError("the group has rebalanced")
        self.commits.append(offsets)


def commit(kafka: RecordingKafka) -> bool:
    consumer, _ = held()
    thread = object.__new__(ConsumerThread)
    vars(thread).update(consumer=consumer, _consumer=kafka, assignment=lambda: {HERE})
    return asyncio.run(thread._commit({HERE: 10, TP("ingest.events", 1): 20}))


def test_commits_carry_the_topics_id_and_only_what_is_assigned() -> None:
    kafka = RecordingKafka()
    assert commit(kafka)
    assert kafka.commits == [{TopicPartition(*HERE): OffsetAndMetadata(10, "id")}]


def test_a_commit_that_the_group_refuses_is_no_commit_and_no_crash() -> None:
    assert not commit(RecordingKafka(refuse=True))
