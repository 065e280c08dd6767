"""A producer in memory. tests/contract/test_producer.py shows that it behaves as Kafka's does, as far as we use it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError

# Whoever polls in a loop hears only in between that it shall end: hundreds of tests would wait for that.
_PATIENCE_SECONDS = 0.01

Report = Callable[[KafkaError | None, Any], None]


@dataclass
class Stored:
    """A message in the log."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int = -1
    at: int = -1

    def offset(self) -> int:
        """Where it stands in its partition; those for which none was asked stand in one of their own."""
        return self.at


@dataclass
class FakeProducer:
    """Keeps what was produced in ``log``; reports come from ``poll`` only, as with librdkafka."""

    queue: int = 100_000
    """Messages without a served report that fit in."""
    limit: int = 4 << 20
    """Bytes of a value above which the broker refuses the message, in its report."""
    missing: set[str] = field(default_factory=set)
    """Topics that do not exist."""
    away: bool = False
    """While True no broker answers: nothing is stored and nothing reported."""
    failing: list[int] = field(default_factory=list)
    """Error codes for the next messages, one each."""
    log: list[Stored] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting: deque[tuple[Stored, Report | None]] = deque()
        self._changed = threading.Condition()

    def __call__(self, config: dict[str, Any]) -> FakeProducer:
        """Stand in for the class ``Producer``: the client makes its producer from a configuration."""
        self.config = config
        return self

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: Report | None = None,
        headers: Any = None,
    ) -> None:
        with self._changed:
            if len(self._waiting) >= self.queue:
                raise BufferError("Local: Queue full")
            self._waiting.append((Stored(topic, key, value, list(headers or ()), partition), on_delivery))
            self._changed.notify_all()

    def poll(self, timeout: float) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting and not self.away, min(timeout, _PATIENCE_SECONDS))
            if self.away:
                return 0
            served = [(message, report, self._judge(message)) for message, report in self._waiting]
            self._waiting.clear()
        for message, report, error in served:
            if report is not None:
                report(error, message)
        return len(served)

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def __bool__(self) -> bool:
        return True

    def purge(self) -> None:
        with self._changed:
            purged, self._waiting = list(self._waiting), deque()
        for message, report in purged:
            if report is not None:
                report(KafkaError(KafkaError._PURGE_QUEUE), message)

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next message of a partition gets."""
        return sum((message.topic, message.partition) == (topic, partition) for message in self.log)

    def back(self) -> None:
        """The broker answers again."""
        with self._changed:
            self.away = False
            self._changed.notify_all()

    def _judge(self, message: Stored) -> KafkaError | None:
        if self.failing:
            return KafkaError(self.failing.pop(0))
        if message.topic in self.missing:
            return KafkaError(KafkaError._UNKNOWN_TOPIC)
        if len(message.value or b"") > self.limit:
            return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        message.at = self.end(message.topic, message.partition)
        self.log.append(message)
        return None
