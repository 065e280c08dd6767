"""The partitions that a worker has: those that are open, those that it reads no more, and which of them are paused."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from confluent_kafka import Consumer, TopicPartition

from logflume.kafka.identity import TopicChanged
from logflume.sink.budget import Budget
from logflume.sink.flushes import FlushPool
from logflume.sink.opening import Place
from logflume.sink.partition import Partition
from logflume.sink.pausing import overburdened
from logflume.sink.placing import Stop

_log = structlog.get_logger(__name__)


class Assigned:
    """The state between assignment and revocation, of all partitions. Used by the worker's thread alone."""

    def __init__(self, pool: FlushPool, budget: Budget, behind_limit: int) -> None:
        """``behind_limit``: bytes behind the commit, above which partitions that can't be stored pause."""
        self._pool = pool
        self._budget = budget
        self._behind_limit = behind_limit
        self.open: dict[Place, Partition] = {}
        self.stops: dict[Place, Stop] = {}
        """Why a partition is read no more; its rows in memory are stored and committed as ever."""
        self._paused: set[Place] = set()

    @property
    def count(self) -> int:
        """Partitions that this worker has."""
        return len(self.open.keys() | self.stops.keys())

    @property
    def paused_share(self) -> float:
        """Which part of them is paused."""
        return len(self._paused) / self.count if self.count else 0.0

    @property
    def behind_bytes(self) -> int:
        """What was read and is not committed."""
        return sum(partition.progress.behind_bytes for partition in self.open.values())

    def oldest(self) -> float | None:
        """When the oldest message was read that is not committed; None when all is."""
        times = [p.progress.oldest for p in self.open.values() if p.progress.oldest is not None]
        return min(times, default=None)

    def stop(self, at: Place, stop: Stop) -> None:
        """Read no more of this partition; the others go on."""
        self.stops[at] = stop
        if (partition := self.open.get(at)) is not None:
            partition.stopped = True
        _log.error("sink.stopped", topic=at[0], partition=at[1], reason=stop.reason, detail=stop.detail)

    def stopped_by(self, reason: str) -> list[Place]:
        """Return the partitions that are not open for this reason."""
        return [at for at, stop in self.stops.items() if stop.reason == reason and at not in self.open]

    def topic_ids(self) -> dict[str, str]:
        """Return the id of each topic of which a partition is open."""
        return {partition.topic: partition.topic_id for partition in self.open.values()}

    def drop_topics(self, errors: Iterable[TopicChanged]) -> None:
        """``drop_topic`` for each."""
        for error in errors:
            self.drop_topic(error)

    def drop_topic(self, error: TopicChanged) -> None:
        """Forget all that was read of a topic that is not the same any more; nothing of it is committed."""
        for at in [at for at in self.open if at[0] == error.topic]:
            self._close(at)
            self.stop(at, Stop("topic-changed", str(error)))

    def forget(self, places: Iterable[Place]) -> None:
        """Let go of partitions; flushes of them that have not begun are taken back (I2)."""
        for at in places:
            self.stops.pop(at, None)
            self._paused.discard(at)
            self._close(at)

    def steer(self, consumer: Consumer, *, draining: bool) -> None:
        """Pause and resume so that memory, and what a restart reads again, stay bounded. Who waits for a newer
        configuration, or to be met by its scan, gets nothing more.
        """
        full = overburdened(self.open.values(), self._budget, self._behind_limit)
        wanted = {at for at, p in self.open.items() if draining or p.ahead or p.meeting or p in full} | set(self.stops)
        if pause := wanted - self._paused:
            consumer.pause([TopicPartition(*at) for at in pause])
        if resume := self._paused - wanted:
            consumer.resume([TopicPartition(*at) for at in resume])
        self._paused = wanted

    def troubles(self) -> list[str]:
        """Say what an operator should look at."""
        stopped = [
            f"{topic}[{number}] is stopped ({s.reason}): {s.detail}" for (topic, number), s in self.stops.items()
        ]
        return stopped + [trouble for partition in self.open.values() for trouble in partition.troubles()]

    def _close(self, at: Place) -> None:
        if (partition := self.open.pop(at, None)) is not None:
            self._pool.settle([partition], 0)
            partition.close()
