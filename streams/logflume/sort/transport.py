"""A transport for Faust that hands out chunks of a partition, and commits exactly what is done.

Faust pays about 75 µs a message; aiokafka does not. So an agent gets one event a *chunk*: all messages that were
fetched of one ingest partition together. Registered as ``logflume://`` in the group ``faust.transports``.

This file, ``sort.batches`` and ``sort.membership`` use private parts of Faust and aiokafka (faust-streaming 0.15.3
and aiokafka 0.14; tests fail when they move). What it changes, and the loss that each change prevents:

T1  Commits follow ``CommitRule``. Faust's own takes a hole between acknowledged messages for done.
T2  A fetch that was cut short, or that a seek overtook, is followed by a seek to what is committed: the records of
    such a fetch may be gone while the client's position lies behind them.
T3  ``read_committed``: aiokafka returns the records of aborted transactions by default.
T4  Commits carry the topic's id. An offset of a topic that was deleted and made again is never taken for the new one.
T5  A partition without a committed offset is placed at its beginning, by name; ``auto.offset.reset`` stays "none". A
    range that retention removed before it was read is recorded exactly; an offset beyond the log's end stops the
    partition.
T6  A batch may hold anything: see ``sort.batches``. One that can't be unpacked is one ``Unreadable`` in a chunk, and
    one whose checksum is wrong stops its partition before it; aiokafka fails on both, and skips what it had read.
T7  A chunk covers the ends of transactions behind its last message: nobody ever reads these, and a commit before one
    would look like a message of lag until the next one comes.
T8  Commits carry the newest generation of the configuration that the rows before them asked for: who goes on there must
    not route by an older one. Where retention may have removed the markers that say so, it is the newest of all.
T9  An orderly end commits all that is done. Faust's last commit only waits when the periodic one is under way, which
    began before the last chunks were done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
from aiokafka.consumer import consumer as client
from aiokafka.consumer import fetcher
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from logflume import metrics
from logflume.block.wire import MOST_BYTES
from logflume.errors import Fatal, Retryable
from logflume.sort.batches import BoundedRecords, CountedResult, Fetched, Torn
from logflume.sort.commit import CommitRule, Range
from logflume.sort.membership import Member

log = structlog.get_logger(__name__)

_LINE_BYTES = 100
"""What a line of a plain message weighs at least: its row's coordinates and its place in every column."""

_LAST_COMMITS = 3
"""At an orderly end: one may have been under way, one begun since; what the group then refuses is read again."""


@dataclass(eq=False, slots=True)
class Chunk:
    """Messages of one ingest partition that were fetched together, in order; the value of an agent's event."""

    topic: str
    topic_id: str
    partition: int
    records: list[ConsumerRecord]
    raw_bytes: int
    """Bytes of its records about as they came to the edge: what decoding them takes."""
    range: Range
    lost: tuple[int, int] | None = None
    """First and last offset of what retention removed right before it."""
    routing: int = 0
    """The generation of the configuration that the rows before it asked for; once it is sorted, its own rows too."""

    @property
    def first(self) -> int:
        """Offset of the first message."""
        return self.range.first

    @property
    def last(self) -> int:
        """Offset of the last message, or of the transaction's end behind it (T7)."""
        return self.range.last


class ConsumerThread(stock.AIOKafkaConsumerThread):
    """The thread that talks to Kafka: explicit placing, commits with the topic's id."""

    @property
    def _owner(self) -> Consumer:
        return cast("Consumer", self.consumer)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # T3; read when the consumer starts
        fetcher.MemoryRecords = BoundedRecords  # T6
        fetcher.FetchResult = CountedResult  # T7
        client.GroupCoordinator = partial(Member, expelled=self._owner.expelled)
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to what its group has committed (T5)."""
        found: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> Mapping[TP, int]:
        kafka = self._ensure_consumer()
        while True:
            assigned = kafka.assignment()
            places = await self._places(kafka, assigned)
            if kafka.assignment() == assigned:  # no rebalance was quicker, and from here on nothing waits
                for partition, place in places.items():
                    kafka.seek(TopicPartition(*partition), place)
                return places

    async def _places(self, kafka: Any, assigned: Iterable[Any]) -> dict[TP, int]:
        """Look up where each partition begins (T5), and what the rows before that asked for (T8)."""
        partitions = [TopicPartition(*partition) for partition in assigned]
        if not partitions:
            return {}
        committed = await kafka._coordinator.fetch_committed_offsets(partitions)
        beginnings = await kafka.beginning_offsets(partitions)
        ends = await kafka.end_offsets(partitions)
        places: dict[TP, int] = {}
        for partition in partitions:
            place = self._place(partition, committed.get(partition), beginnings[partition], ends[partition])
            self._owner.routing[TP(*partition)] = await self._routing(committed.get(partition), place)
            places[TP(*partition)] = place
        return places

    async def _routing(self, committed: OffsetAndMetadata | None, place: int) -> int:
        """Return the generation that was asked for by the rows before ``place`` (T8)."""
        if committed is not None and (place == committed.offset or place == 0):
            return _read_note(committed.metadata)[1]
        while place:  # what lay before was not read, or is not there any more
            try:
                return await asyncio.to_thread(self._owner.newest) or 0
            except Retryable as error:
                log.warning("the configuration's log can't be read", error=str(error))
                await asyncio.sleep(1.0)
        return 0

    def _place(self, partition: TopicPartition, committed: OffsetAndMetadata | None, beginning: int, end: int) -> int:
        topic_id = self._owner.topic_id(partition.topic)
        where = {"topic": partition.topic, "partition": partition.partition, "topic_id": topic_id}
        self._owner.stopped.pop(TP(*partition), None)
        metrics.SORT_STOPPED.set(len(self._owner.stopped))
        if committed is None or committed.offset < 0:
            log.debug("group placed at the beginning of a partition", offset=beginning, **where)
            return beginning
        noted = _read_note(committed.metadata)[0]
        if noted and noted != topic_id:
            log.warning("topic was made again: starting at its beginning", old_topic_id=noted, **where)
            return beginning
        if committed.offset > end:
            reason = f"committed offset {committed.offset} lies beyond the log's end {end}"
            log.error("partition stopped", reason=reason, **where)
            self._owner.stopped[TP(*partition)] = reason
            metrics.SORT_STOPPED.set(len(self._owner.stopped))
            return end
        if committed.offset < beginning:
            log.error("range lost to retention", first=committed.offset, last=beginning - 1, **where)
            self._owner.lost[TP(*partition)] = (committed.offset, beginning - 1)
            return beginning
        return int(committed.offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        kafka = self._ensure_consumer()
        mine = {
            TopicPartition(*tp): OffsetAndMetadata(offset, self._owner.note(tp))
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if not mine:
            return False
        try:
            await kafka.commit(mine)
        except (CommitFailedError, IllegalStateError) as error:
            # The group has moved on without us: whoever owns the partitions now reads the range again.
            log.warning("commit refused", error=str(error), offsets={str(tp): o for tp, o in offsets.items()})
            return False
        except KafkaError as error:
            await self.crash(error)
            return False
        return True


class Consumer(stock.Consumer):
    """Faust's consumer, with chunks for messages and the commit rule of ``sort.commit``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rule = CommitRule()
        self.stopped: dict[TP, str] = {}
        """Partitions that are not read any further, and why."""
        self.lost: dict[TP, tuple[int, int]] = {}
        """What retention removed unread; the next chunk takes it along, to be recorded before the commit passes it."""
        self.routing: dict[TP, int] = {}
        """The generation that a partition's rows ask for, as far as they are sorted (T8)."""
        self.joined = False
        self._topic_ids: dict[str, str] = {}
        self._seeks = 0
        self._adrift = False

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def topic_id(self, topic: str) -> str:
        """Return the id that Kafka gave the topic when it was made."""
        if topic not in self._topic_ids:
            raise Fatal(f"the id of topic {topic} is not known: it was made after this worker had started")
        return self._topic_ids[topic]

    def expelled(self, why: str) -> None:
        """End the process: Kafka knows another member by its name (``sort.membership``, N1)."""
        cast(Any, self.app).stage.expelled(why)

    def note(self, tp: TP) -> str:
        """Return what a commit says beside its offset (T4, T8)."""
        topic_id, routing = self.topic_id(tp.topic), self.routing.get(tp, 0)
        return f"{topic_id} {routing}" if routing else topic_id

    def newest(self) -> int | None:
        """Return the generation that the configuration's log ends with; blocks."""
        found: int | None = cast(Any, self.app).stage.newest()
        return found

    async def on_start(self) -> None:
        """Learn the topics' ids before the first message is read; they stay for the life of this consumer."""
        self._topic_ids = await cast(Any, self.app).stage.prepare()
        await super().on_start()

    # Fetching: T2

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Chunk]]:
        if self._adrift:
            await self.perform_seek()
        seeks, self._adrift = self._seeks, True
        try:
            fetched = await super()._getmany(active_partitions, timeout)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
            # aiokafka looks for positions by itself at a rebalance, and may be quicker than our placing; retention, or
            # a topic made again, may have taken a position away. Placing anew says which (T5). What was fetched of
            # other partitions is gone with the error.
            log.warning("a partition has no position: going back to what is committed", error=str(error))
            return {}  # still adrift: the next fetch seeks first
        if fetched and seeks != self._seeks:
            log.info("a seek overtook a fetch: going back to what is committed")
            return {}  # still adrift: the next fetch seeks first
        self._adrift = False
        return {TP(*tp): [self._chunk(TP(*tp), records)] for tp, records in self._readable(fetched)}

    def _readable(self, fetched: Mapping[Any, list[ConsumerRecord]]) -> Iterator[tuple[Any, list[ConsumerRecord]]]:
        for tp, records in fetched.items():
            if not records or TP(*tp) in self.stopped:
                continue
            if isinstance(records[-1].value, Torn):
                self._stop(TP(*tp), str(records.pop().value, "utf-8"))
                records = list(records)  # how far it reaches is the torn batch's word (K4)
            if records:
                yield tp, records

    def _stop(self, tp: TP, reason: str) -> None:
        """Read the partition no further than what was fetched of it, until it is placed anew (T6)."""
        log.error("partition stopped", topic=tp.topic, partition=tp.partition, reason=reason)
        self.stopped[tp] = reason
        metrics.SORT_STOPPED.set(len(self.stopped))
        self.pause_partitions({tp})

    def _chunk(self, tp: TP, records: list[ConsumerRecord]) -> Chunk:
        last = records.last if isinstance(records, Fetched) else records[-1].offset
        fetched = self.rule.fetched(tp, records[0].offset, last, time.monotonic())
        size = sum(_raw_bytes(record) for record in records)
        lost, routing = self.lost.pop(tp, None), self.routing.get(tp, 0)
        return Chunk(tp.topic, self.topic_id(tp.topic), tp.partition, records, size, fetched, lost, routing)

    def _to_message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        newest = chunk.records[-1]
        return ConsumerMessage(
            chunk.topic,
            chunk.partition,
            chunk.last,
            newest.timestamp / 1000.0,
            newest.timestamp_type,
            [],
            None,
            cast(Any, chunk),
            None,
            -1,
            chunk.raw_bytes,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Go back to what is committed: everything fetched so far counts no more (C3)."""
        self._seeks += 1
        self.rule.forget()
        if self.stopped:
            self.resume_partitions(set(self.stopped))  # they are placed anew; what stopped one is found again
        await super().perform_seek()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Read nothing before the partitions are placed: aiokafka's own idea of where to begin knows no topic ids."""
        self._seeks += 1
        self._adrift = True
        await super().on_partitions_assigned(assigned, generation_id)
        self.joined = True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let running work end and be committed, then forget the partitions."""
        await super().on_partitions_revoked(revoked)
        self.rule.forget(revoked)
        for tp in revoked:
            self.stopped.pop(tp, None)
        metrics.SORT_STOPPED.set(len(self.stopped))

    # Committing: T1

    def ack(self, message: Any) -> bool:
        """Note that the whole chunk is done; only ``CommitRule`` decides what that means."""
        if message.acked:
            return False
        message.acked = True
        self.routing[message.tp] = max(self.routing.get(message.tp, 0), message.value.routing)
        message.value.range.done = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._ready() if topics is None or tp in topics or tp.topic in topics])

    def _ready(self) -> Iterable[TP]:
        return (tp for tp in self.rule.ready() if isinstance(tp, TP))

    def _new_offset(self, tp: TP) -> int | None:
        return self.rule.committable(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return True  # Faust takes a refused commit for made; the rule knows what is new

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        made: bool = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        if made:
            for tp, offset in offsets.items():
                self.rule.committed(tp, offset)
        return made

    async def commit_and_end_transactions(self) -> None:
        """Commit what is done, whoever else commits at this moment (T9)."""
        await super().commit_and_end_transactions()
        for _ in range(_LAST_COMMITS):
            if not self.rule.ready():
                return
            await self.commit()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: gaps between chunks need no list of their own."""


class Transport(stock.Transport):
    """``logflume://host:port`` as a Faust broker URL."""

    Consumer = Consumer


def _read_note(metadata: str) -> tuple[str, int]:
    """Read ``Consumer.note``: a topic's id, and a generation."""
    topic_id, _, routing = metadata.partition(" ")
    return topic_id, int(routing) if routing.isdigit() else 0


def _raw_bytes(record: ConsumerRecord) -> int:
    """Bytes of a message's records as they came; a block says so itself, but it is never less than its value."""
    value = record.value or b""
    size = max(len(value), _LINE_BYTES * value.count(b"\n"))
    said = dict(record.headers).get("bytes", b"") if record.headers else b""
    return min(max(size, int(said)), MOST_BYTES) if said.isdigit() and len(said) < 12 else size
