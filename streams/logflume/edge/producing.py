"""How the client's Kafka producer is configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from logflume.kafka import client
from logflume.settings import Settings


def producer_config(settings: Settings, error_cb: Callable[[Any], None]) -> dict[str, Any]:
    """No time-out for messages: librdkafka goes on trying, and only then can a message be stored exactly once."""
    config = client.producer_config(
        settings,
        message_timeout_ms=0,
        partitioner="random",
        sticky_partitioning_linger_ms=0,
        linger_ms=5,
        queue_buffering_max_kbytes=2_097_151,  # our own budget is smaller: this one never bites
    )
    return config | {"error_cb": error_cb}
