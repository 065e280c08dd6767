"""The sink's Kafka consumer: how it is set up, and its messages as the sink wants them."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, Message

from logflume.kafka import client
from logflume.kafka.named import instance_id
from logflume.settings import Settings
from logflume.sink.opening import Place

ABOUT_THE_LOG = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
    }
)
"""Errors which may mean that a partition's log is not the one that was opened."""


def consumer(settings: Settings) -> Consumer:
    """Return a member of the sinks' group. Its partitions move one by one, the others are read on meanwhile.

    With a name (``group_instance_id``) they wait for it over a restart. Of two that live by one name the first gets a
    fatal error of librdkafka, and Kafka takes no transaction of it (KIP-345).
    """
    session = settings.sink_session_timeout_ms
    name = instance_id(settings, "sorted.<dataset>")
    return Consumer(
        client.consumer_config(
            settings,
            settings.sink_group,
            client_id="logflume-sink",
            partition_assignment_strategy="cooperative-sticky",
            session_timeout_ms=session,
            heartbeat_interval_ms=min(3000, session // 3),
            max_poll_interval_ms=max(300_000, session),
            # Fetched and not yet polled comes on top of the budget; librdkafka's bounds are 64 MB, 50 MB a request.
            queued_max_messages_kbytes=32 * 1024,
            fetch_max_bytes=16 * 1024 * 1024,
            **({"group_instance_id": name} if name else {}),
        )
    )


def place_of(message: Message) -> Place:
    """Return topic and partition; partition -1 when an error is about the topic."""
    partition = message.partition()
    return str(message.topic()), -1 if partition is None else partition


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """Return the message's headers, those without a value as empty."""
    headers: Any = message.headers() or ()
    return [(name, value or b"") for name, value in headers]
