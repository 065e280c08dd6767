"""How status records go out: by a small producer of its own, which nobody ever waits for.

O1  ``put`` neither blocks nor raises, whatever Kafka does; what can't be sent now is dropped and counted.
O2  One message a key is on its way at most: who has not heard of the last one does not add another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from logflume import metrics
from logflume.errors import Fatal
from logflume.kafka import client, lost
from logflume.kafka.status.record import SCHEMA_HEADER, topic
from logflume.settings import Settings

MakeProducer = Callable[[dict[str, Any]], Any]

_QUEUE = 16  # messages
SILENT = {"log_level": 0}
"""The worker's own clients tell of brokers that are away."""
_LOG = logging.getLogger("logflume.status")


class Outbox:
    """See O1 and O2. One thread's."""

    def __init__(
        self, settings: Settings, period_seconds: float, make_producer: MakeProducer = confluent_kafka.Producer
    ) -> None:
        """``period_seconds``: how often something is put; what is older than two of these is not worth sending."""
        self._topic = topic(settings)
        self._waiting: set[bytes] = set()
        self._trouble = ""
        self._make = partial(_producer, settings, period_seconds, make_producer)
        self._producer = self._make()

    def put(self, key: bytes, value: bytes | None, schema: bytes = b"") -> bool:
        """Send ``value`` (None: a tombstone) under ``key``, with its ``schema``; False when it was dropped."""
        try:
            self._producer.poll(0)
            if key in self._waiting:
                self._failed("the last one is still on its way")
                return False
            self._waiting.add(key)
            headers = [(SCHEMA_HEADER, schema)] if schema else []
            self._producer.produce(self._topic, value, key, headers=headers, on_delivery=partial(self._reported, key))
            self._producer.poll(0)
        except (KafkaException, BufferError) as error:
            self._waiting.discard(key)
            self._failed(str(error))
            return False
        except Fatal as error:  # it has lost every broker: what it has would never go
            self._producer, self._waiting = self._make(), set()
            self._failed(str(error))
            return False
        return True

    def settle(self, seconds: float) -> bool:
        """Wait for reports, ``seconds`` at most; True when none is missing."""
        try:
            if self._waiting:
                self._producer.flush(seconds)
        except (KafkaException, Fatal) as error:
            self._failed(str(error))
        return not self._waiting

    def _reported(self, key: bytes, error: KafkaError | None, _: object) -> None:
        self._waiting.discard(key)
        if error is None:
            metrics.STATUS_MESSAGES.inc()
            self._trouble = ""
        else:
            self._failed(error.str())

    def _failed(self, trouble: str) -> None:
        metrics.STATUS_ERRORS.labels("write").inc()
        if not self._trouble:  # once, until one gets through
            _LOG.warning("a status was not written to %s, which delays nothing else: %s", self._topic, trouble)
        self._trouble = trouble


def _producer(settings: Settings, period_seconds: float, make: MakeProducer) -> Any:
    # Not idempotent, not synced to all: the next word comes in a moment, and replaces this one.
    config = client.common(
        settings,
        client_id="logflume-status",
        acks=1,
        linger_ms=0,
        message_timeout_ms=max(1000, round(2000 * period_seconds)),
        max_in_flight_requests_per_connection=1,
        queue_buffering_max_messages=_QUEUE,
    )
    return make(lost.heard() | config | SILENT)
