"""What we rely on in a producer, shown of Kafka's own and of the one in memory that unit tests use."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from logflume.kafka import client
from logflume.kafka.deliveries import Producing
from logflume.settings import Settings
from tests.support.producer import FakeProducer
from tests.support.waiting import until

_REFUSED = 5_000_000


class Kit:
    """A producer of one kind, and a way to look into its log."""

    def __init__(self, make: Callable[..., Producing], topic: str, values: Callable[[], list[bytes | None]]) -> None:
        self.make = make
        self.topic = topic
        self.values = values


@pytest.fixture(params=["kafka", "memory"])
def kit(request: pytest.FixtureRequest) -> Kit:
    if request.param == "memory":
        fake = FakeProducer(missing={"missing"})

        def make(queue: int = 1000) -> Producing:
            fake.queue = queue
            return fake

        return Kit(make, "t", lambda: [message.value for message in fake.log])
    settings: Settings = request.getfixturevalue("settings")
    topic = f"{settings.topic_prefix}{secrets.token_hex(4)}"
    admin = AdminClient(client.common(settings))  # a client that nobody holds would take its requests along
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    until(lambda: _serves(settings, topic), 60, f"{topic} serves")  # Kafka says "created" before its brokers know

    def real(queue: int = 1000) -> Producing:
        more = {"queue.buffering.max.messages": queue, "topic.metadata.propagation.max.ms": 200}
        return Producer(client.producer_config(settings) | more)

    return Kit(real, topic, lambda: _read(settings, topic))


def _serves(settings: Settings, topic: str) -> bool:
    consumer = Consumer(client.consumer_config(settings, "look"))
    try:
        consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def _read(settings: Settings, topic: str) -> list[bytes | None]:
    consumer = Consumer(client.consumer_config(settings, "look"))
    where = TopicPartition(topic, 0, 0)
    _, high = consumer.get_watermark_offsets(where, timeout=30)
    consumer.assign([where])
    values = []
    while len(values) < high:
        values += [message.value() for message in consumer.consume(high, 10)]
    consumer.close()
    return values


class Reports:
    def __init__(self) -> None:
        self.errors: list[int | None] = []

    def __call__(self, error: KafkaError | None, _message: Any) -> None:
        self.errors.append(None if error is None else error.code())


def _poll_until(producer: Producing, reports: Reports, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(reports.errors) < count:
        assert time.monotonic() < deadline, reports.errors
        producer.poll(0.2)


def test_a_report_comes_from_poll_alone_and_a_good_one_means_stored(kit: Kit) -> None:
    producer, reports = kit.make(), Reports()
    producer.produce(kit.topic, b"one", b"key", headers=[("name", b"value")], on_delivery=reports)
    time.sleep(0.2)  # would be time enough for a report that needed no poll
    assert reports.errors == []
    _poll_until(producer, reports, 1)
    assert reports.errors == [None]
    assert kit.values() == [b"one"]


def test_a_refused_message_is_told_by_its_report_alone_and_the_next_one_lands(kit: Kit) -> None:
    producer, reports = kit.make(), Reports()
    producer.produce(kit.topic, b"x" * _REFUSED, on_delivery=reports)
    producer.produce(kit.topic, b"after", on_delivery=reports)
    _poll_until(producer, reports, 2)
    assert sorted(reports.errors, key=str) == [KafkaError.MSG_SIZE_TOO_LARGE, None]
    assert kit.values() == [b"after"]


def test_a_full_queue_raises_and_has_room_again_after_its_reports(kit: Kit) -> None:
    producer, reports = kit.make(queue=2), Reports()
    for value in (b"1", b"2"):
        producer.produce(kit.topic, value, on_delivery=reports)
    with pytest.raises(BufferError):
        producer.produce(kit.topic, b"3", on_delivery=reports)
    _poll_until(producer, reports, 2)
    producer.produce(kit.topic, b"4", on_delivery=reports)
    _poll_until(producer, reports, 3)
    assert kit.values() == [b"1", b"2", b"4"]


def test_a_missing_topic_is_told_by_the_report(kit: Kit) -> None:
    producer, reports = kit.make(), Reports()
    producer.produce("missing", b"1", on_delivery=reports)
    _poll_until(producer, reports, 1)
    assert reports.errors[0] in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
