"""Reading the topic ``status``: a consumer that belongs to no group, and what the records say taken together.

V1  Foreign bytes cost a count and a log line, never more; ``_MOST_WORKERS`` workers are remembered, the latest ones.
V2  A record's age is the time since it arrived here, by the monotonic clock; of those that lay in the log already, also
    how old they were then, by Kafka's time against ours. So a clock that is wrong matters at the start alone.
V3  A pressure counts for three of its periods (``stale_seconds``). Without one that counts there is none.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import Refused, Retryable
from logflume.kafka import client
from logflume.kafka.status.outbox import SILENT
from logflume.kafka.status.record import (
    NO_PRESSURE,
    PRESSURE_KEY,
    SCHEMA_HEADER,
    Codec,
    Pressure,
    Status,
    is_worker,
    stale_seconds,
    topic,
)
from logflume.settings import Settings

MakeConsumer = Callable[[dict[str, Any]], Any]

_MOST_WORKERS: Final = 10_000
_STAMPS: Final = 16
"""So many messages that came last say how Kafka's clock stands: the way here takes each one another time."""
_MOST_AT_ONCE: Final = 1000
_END_SECONDS: Final = 10.0
_FETCH_BYTES: Final = 256 * 1024
_LOG = logging.getLogger("logflume.status")


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the topic; ``live``: it came after the reader had seen the log's end. ``schema``: of its value.

    ``appended``: the time is the broker's, of when it appended it; else it is whatever the producer said.
    """

    key: bytes
    value: bytes | None
    timestamp_ms: int
    live: bool
    schema: bytes = b""
    appended: bool = True


class Reader:
    """The topic's messages in their order, from its start or from its end. One thread's."""

    def __init__(self, settings: Settings, *, from_start: bool, make_consumer: MakeConsumer = Consumer) -> None:
        """Nothing is asked of Kafka yet."""
        self._topic = topic(settings)
        self.caught_up = not from_start
        """Whether all is read that lay in the log at the start."""
        config = client.consumer_config(
            settings,
            client.reader_group(settings, "status"),
            client_id="logflume-status",
            enable_partition_eof=from_start,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_message_max_bytes=_FETCH_BYTES,
            message_max_bytes=_FETCH_BYTES,  # librdkafka wants it no larger than a fetch
            queued_max_messages_kbytes=1024,
            fetch_wait_max_ms=1000,
        )
        self._consumer = make_consumer(config | SILENT)
        self._end: int | None = None
        self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING if from_start else OFFSET_END)])

    def poll(self, seconds: float) -> Iterator[Entry]:
        """Wait for the next message, ``seconds`` at most, and yield it and those that are here already.

        Raises what ``kafka.client.typed`` makes of an error that is more than a broker away; make a new reader then.
        """
        if not self.caught_up and self._end is None:
            self._end = self._find_end()
        for _ in range(_MOST_AT_ONCE):
            message = self._consumer.poll(seconds)
            if message is None:
                return
            seconds = 0.0
            error = message.error()
            if error is None:
                key, (kind, timestamp) = message.key(), message.timestamp()
                live = self.caught_up
                self.caught_up = (
                    live or message.offset() + 1 >= self._end
                )  # where somebody always writes, no fetch comes back empty
                if key is not None:
                    stamped = kind == TIMESTAMP_LOG_APPEND_TIME
                    yield Entry(key, message.value(), timestamp, live, _schema(message.headers()), stamped)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.caught_up = True
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise Retryable(f"{self._topic} was emptied or made again: {error.str()}")
            elif not isinstance(failure := client.typed(error, f"reading {self._topic}"), Retryable):
                raise failure

    def close(self) -> None:
        """Let go of Kafka."""
        self._consumer.close()

    def _find_end(self) -> int:
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_END_SECONDS)
        except KafkaException as error:
            raise client.typed(error, f"the end of {self._topic}") from error
        self.caught_up = end == 0
        return int(end)


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker's last word, and how old it is; ``stale``: it should have said something since."""

    status: Status
    age_seconds: float

    @property
    def stale(self) -> bool:
        """Whether it is silent for too long."""
        return self.age_seconds > stale_seconds(self.status.period_seconds)


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    """When it was written, on our monotonic clock."""
    status: Status


class View:
    """See V1 to V3. One thread's."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._codec = Codec(settings)
        self._clock = clock
        self._workers: dict[bytes, _Kept] = {}
        self._pressure = NO_PRESSURE
        self._pressure_at = float("-inf")
        self._ahead: deque[float] = deque(maxlen=_STAMPS)

    @property
    def behind_seconds(self) -> float:
        """How far our clock is behind Kafka's, at least: by so much was stamped in the future what came last."""
        return max(self._ahead, default=0.0)

    def take(self, entry: Entry) -> None:
        """Take a message in."""
        if entry.appended:
            self._ahead.append(max(0.0, entry.timestamp_ms / 1e3 - self._clock.now_ns() / 1e9))
        try:
            if entry.key == PRESSURE_KEY:
                self._pressure = (
                    NO_PRESSURE if entry.value is None else self._codec.read_pressure(entry.value, entry.schema)
                )
                self._pressure_at = self._at(entry)
            elif is_worker(entry.key):
                before = self._workers.pop(entry.key, None)
                if entry.value is not None:
                    status = self._codec.read_status(entry.key, entry.value, entry.schema)
                    self._workers[entry.key] = _Kept(self._at(entry), status)
                elif before is None:
                    return
                while len(self._workers) > _MOST_WORKERS:
                    del self._workers[next(iter(self._workers))]
        except Refused as error:
            metrics.STATUS_ERRORS.labels("read").inc()
            _LOG.warning("a record of %r on the status topic is passed over: %s", entry.key[:100], error)

    def workers(self) -> list[Seen]:
        """Every worker's last word, by kind and id."""
        now = self._clock.monotonic()
        seen = [Seen(kept.status, max(0.0, now - kept.at)) for kept in self._workers.values()]
        return sorted(seen, key=lambda each: (each.status.worker.kind, each.status.worker.id))

    def pressure(self) -> Pressure:
        """The pressure that counts now (V3)."""
        age = self._clock.monotonic() - self._pressure_at
        return self._pressure if age <= stale_seconds(self._pressure.period_seconds) else NO_PRESSURE

    def _at(self, entry: Entry) -> float:
        lay = 0.0 if entry.live else max(0.0, self._clock.now_ns() / 1e9 - entry.timestamp_ms / 1e3)
        return self._clock.monotonic() - lay


def read(settings: Settings, clock: Clock, timeout_seconds: float = 30.0) -> View:
    """Return what the topic says now; ``Retryable`` when it can't be read to its end in time."""
    view = View(settings, clock)
    reader = Reader(settings, from_start=True)
    deadline = time.monotonic() + timeout_seconds
    try:
        while not reader.caught_up:
            for entry in reader.poll(0.2):
                view.take(entry)
            if time.monotonic() > deadline:
                raise Retryable(f"{topic(settings)} could not be read within {timeout_seconds:.0f} s; is Kafka there?")
    finally:
        reader.close()
    return view


def _schema(headers: list[tuple[str, bytes | None]] | None) -> bytes:
    return next((value for name, value in headers or () if name == SCHEMA_HEADER and value), b"")
