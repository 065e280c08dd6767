"""Messages that were produced, and the reports about them: ``wait`` returns only when Kafka holds every one.

Numbered promises, for one owner at a time (a lock keeps the counts right, it does not make two owners sensible):

D1  When ``wait`` returns, every message given to ``send`` before has a good delivery report (``acks=all``).
D2  A failed report is never lost. The first one is kept, and every later ``send`` and ``wait`` raises it: what came
    after a failed message may be in the log already, so only a successor with a new producer may carry on.
D3  A ``wait`` that runs out of time loses nothing: the messages stay in flight and ``wait`` may be called again.
D4  ``send`` either enqueued the message or raised; with a full queue it waits for room, but not for ever.

The trap behind D1 and D2: with idempotence and ``acks=all``, one refused message (``MSG_SIZE_TOO_LARGE``) lets the next
ones land, and only its delivery report says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from logflume.clock import Clock, SystemClock
from logflume.errors import LogflumeError, Retryable
from logflume.kafka.client import typed

Headers = Sequence[tuple[str, bytes | None]]
"""Kafka headers: names may repeat, values are bytes."""

_SLICE_SECONDS = 0.5
"""How long one poll may take: signals are handled between polls."""


class Producing(Protocol):
    """What is used of ``confluent_kafka.Producer``; the producer belongs to one owner alone."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: Any = None,
        headers: Any = None,
    ) -> None:
        """Enqueue one message; ``BufferError`` when the queue is full."""
        ...

    def poll(self, timeout: float) -> int:
        """Serve delivery reports, waiting up to ``timeout`` seconds for the first."""
        ...


class Deliveries:
    """Produce, then await the reports; see the promises D1 to D4 above."""

    def __init__(self, producer: Producing, *, room_seconds: float = 30.0, clock: Clock | None = None) -> None:
        """Take over ``producer``; ``room_seconds`` bounds how long ``send`` waits for room in its queue."""
        self._producer = producer
        self._room_seconds = room_seconds
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._failed: LogflumeError | None = None

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet reported."""
        return self._in_flight

    @property
    def failed(self) -> bool:
        """Whether some message failed for good (D2); a ``wait`` that ran out of time has not."""
        return self._failed is not None

    def send(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Enqueue one message; ``partition`` None lets Kafka's partitioner choose by ``key``.

        Raises ``Retryable`` when the queue stays full for ``room_seconds``, and what an earlier message met (D2).
        """
        self._raise_failure()
        where = topic if partition is None else f"{topic}[{partition}]"
        about = f"producing {len(value or b'')} bytes to {where}"
        more: dict[str, Any] = {"headers": list(headers), "on_delivery": self._reporter(about)}
        if partition is not None:
            more["partition"] = partition
        deadline = self._clock.monotonic() + self._room_seconds
        while True:
            with self._lock:
                self._in_flight += 1  # before the call: another thread's poll may report first
            try:
                self._producer.produce(topic, value, key, **more)
                break
            except BufferError:
                self._settle(None)
            except KafkaException as failure:
                self._settle(typed(failure, about))
                self._raise_failure()
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise Retryable(
                    f"{about}: the producer's queue stayed full for {self._room_seconds:g} s "
                    f"({self._in_flight} messages in flight); is Kafka reachable?"
                )
            self._producer.poll(min(left, _SLICE_SECONDS))
            self._raise_failure()
        self._producer.poll(0)

    def wait(self, timeout: float) -> None:
        """Return when every message sent has a good report.

        Raises ``Retryable`` after ``timeout`` seconds with messages still in flight (call again to go on waiting), and
        the first failed report as ``kafka.client.typed`` sees it; after a failed report every call raises (D2).
        """
        deadline = self._clock.monotonic() + timeout
        while self._in_flight:
            left = deadline - self._clock.monotonic()
            self._producer.poll(max(0.0, min(left, _SLICE_SECONDS)))
            self._raise_failure()
            if left <= 0 and self._in_flight:
                raise Retryable(f"{self._in_flight} messages have no delivery report after {timeout:g} s")
        self._raise_failure()

    def _reporter(self, about: str) -> Callable[[KafkaError | None, Any], None]:
        def report(error: KafkaError | None, _message: Any) -> None:
            self._settle(None if error is None else typed(error, about))

        return report

    def _settle(self, failure: LogflumeError | None) -> None:
        with self._lock:
            self._in_flight -= 1
            if self._failed is None:
                self._failed = failure

    def _raise_failure(self) -> None:
        if self._failed is not None:
            # A new exception each time: a kept one would drag every earlier traceback along.
            raise type(self._failed)(str(self._failed))
