"""One commit: what was done to the partitions since the last, put together as one transaction.

Positions, the jobs' cursors and intents, the cursors of who is parked, the dead letters below them, the configuration's
generation and the group's offsets move together or not at all (DESIGN §6c).
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from logflume import crash, metrics
from logflume.clock import Clock
from logflume.kafka import cursors, intents, known, parked, topics
from logflume.kafka.cursors import Cursor
from logflume.kafka.identity import SameTopics
from logflume.kafka.position import Position
from logflume.kafka.topics import Topic
from logflume.kafka.transaction import Outgoing, Transactions, membership
from logflume.settings import Settings
from logflume.sink.cuts import Change
from logflume.sink.parking.parked import ParkedChange
from logflume.sink.partition import Partition


class Committer:
    """Commits partitions. Used by the worker's thread."""

    def __init__(self, settings: Settings, cursors_topic: Topic, same: SameTopics, clock: Clock) -> None:
        self._group = settings.sink_group
        self._cursors = cursors_topic
        self._letters = topics.deadletter_topic(settings)
        self._codec = cursors.Codec(settings)
        self._job_codec = intents.Codec(settings)
        self._parked_codec = parked.Codec(settings)
        self._known_codec = known.Codec(settings)
        self._transactions = Transactions(settings)
        self._same = same
        self._clock = clock

    def commit(self, partitions: Iterable[Partition], consumer: Consumer, generation: int) -> bool:
        """Commit what is durable of ``partitions``; returns whether there was anything new.

        Raises what ``Transactions.commit`` does, and ``TopicChanged``: nothing was committed then.
        """
        moved = [(p, at, p.changes(at), p.parkings()) for p in partitions if (at := p.committable()) is not None]
        if not moved:
            return False
        began = self._clock.monotonic()
        for partition, *_ in moved:
            self._same.check(partition.topic, partition.topic_id, began)
        messages = [
            message
            for partition, position, changes, parkings in moved
            for message in self._messages(partition, position, changes, parkings, generation, began)
        ]
        offsets = [TopicPartition(partition.topic, partition.number, at.offset) for partition, at, *_ in moved]
        crash.point("sink.before-transaction")
        self._transactions.commit(messages, offsets, lambda: membership(consumer))
        seconds = self._clock.monotonic() - began
        for partition, position, changes, parkings in moved:
            partition.commit(position, changes, parkings)
            partition.traced.committed(position.offset, seconds)
            if partition.known.to_store(began) is not None:
                partition.known.stored(began)
        metrics.SINK_TRANSACTION_SECONDS.observe(seconds)
        return True

    def close(self) -> None:
        """Let go of the producer."""
        self._transactions.close()

    def _messages(
        self,
        partition: Partition,
        position: Position,
        changes: Iterable[Change],
        parkings: Iterable[ParkedChange],
        generation: int,
        now: float,
    ) -> list[Outgoing]:
        of = cursors.key(self._group, partition.topic, partition.number)
        cursor = Cursor(partition.topic, partition.topic_id, partition.number, position, generation)
        home = cursors.home(of, self._cursors.partitions)
        letters = partition.letters(position)
        return [
            Outgoing(self._cursors.name, home, of, self._codec.encode(cursor)),
            *(self._job(home, change) for change in changes),
            *(self._parked(home, change) for change in parkings),
            *self._known(home, partition, now),
            *(Outgoing(self._letters, None, *message) for letter in letters for message in letter.messages),
        ]

    def _job(self, home: int, change: Change) -> Outgoing:
        of = intents.key(self._group, change.about)
        value = None if change.cursor is None else self._job_codec.encode(change.cursor)
        return Outgoing(self._cursors.name, home, of, value)

    def _parked(self, home: int, change: ParkedChange) -> Outgoing:
        of = parked.key(self._group, change.about)
        value = None if change.cursor is None else self._parked_codec.encode(change.cursor)
        return Outgoing(self._cursors.name, home, of, value)

    def _known(self, home: int, partition: Partition, now: float) -> Iterable[Outgoing]:
        if (hashes := partition.known.to_store(now)) is not None:
            of = known.key(self._group, partition.topic, partition.number)
            value = self._known_codec.encode(partition.topic, partition.topic_id, partition.number, hashes)
            yield Outgoing(self._cursors.name, home, of, value)
