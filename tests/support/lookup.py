"""Answers about the log of a producer in memory, as Kafka gives them about its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from logflume.block.wire import SPOOL_HEADER
from logflume.edge.spool.lookup import Seen, Topic
from logflume.errors import Misconfigured, Retryable
from tests.support.producer import FakeProducer


@dataclass
class FakeLookup:
    """See ``edge.spool.lookup.Lookup``."""

    producer: FakeProducer
    partitions: int = 4
    ids: dict[str, str] = field(default_factory=dict)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Where a log begins, after retention."""
    leaderless: set[int] = field(default_factory=set)
    """Partitions that nobody answers for."""
    asked: int = 0
    renewed: int = 0

    def renew(self) -> None:
        self.renewed += 1

    def topic(self, name: str) -> Topic:
        self.asked += 1
        if self.producer.away:
            raise Retryable("nobody there")
        if name in self.producer.missing:
            raise Misconfigured(f"no topic {name}")
        ends = {part: self.producer.end(name, part) for part in range(self.partitions) if part not in self.leaderless}
        return Topic(self.ids.get(name, f"id of {name}"), ends, frozenset(self.leaderless))

    def seen(self, topic: str, partition: int, start: int, barrier: int, prefix: str) -> Seen:
        if self.producer.away:
            raise Retryable("nobody there")
        begin = self.starts.get((topic, partition), 0)
        tags = {}
        for message in list(self.producer.log):
            if (message.topic, message.partition) == (topic, partition) and max(begin, start) <= message.at <= barrier:
                tag = (dict(message.headers).get(SPOOL_HEADER) or b"").decode()
                if tag.startswith(prefix):
                    tags[tag] = message.at
        return Seen(begin, tags)
