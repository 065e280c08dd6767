"""Deliveries: D1 to D4, on a producer that the contract suite compares with Kafka's."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError

from logflume.errors import Fatal, Retryable
from logflume.kafka.deliveries import Deliveries
from tests.support.producer import FakeProducer


def test_d1_wait_returns_when_every_message_is_stored() -> None:
    producer = FakeProducer()
    deliveries = Deliveries(producer)
    for number in range(10):
        deliveries.send("t", number % 2, None, b"%d" % number, [("n", b"1")])
    deliveries.wait(1)
    assert [message.value for message in producer.log] == [b"%d" % number for number in range(10)]
    assert deliveries.in_flight == 0


def test_d2_a_failed_report_is_raised_by_every_later_call_though_the_next_message_landed() -> None:
    producer = FakeProducer(limit=3, away=True)
    deliveries = Deliveries(producer)
    deliveries.send("t", 0, None, b"too large")
    deliveries.send("t", 0, None, b"ok")
    producer.back()
    with pytest.raises(Fatal, match=r"9 bytes to t\[0\]: MSG_SIZE_TOO_LARGE"):
        deliveries.wait(1)
    assert [message.value for message in producer.log] == [b"ok"]
    with pytest.raises(Fatal, match="MSG_SIZE_TOO_LARGE"):
        deliveries.wait(1)
    with pytest.raises(Fatal, match="MSG_SIZE_TOO_LARGE"):
        deliveries.send("t", 0, None, b"ok")


def test_d2_a_failure_that_may_pass_is_retryable_and_kept_all_the_same() -> None:
    producer = FakeProducer(failing=[KafkaError._MSG_TIMED_OUT])
    deliveries = Deliveries(producer)
    deliveries.send("t", None, b"k", b"v")
    for _ in range(2):
        with pytest.raises(Retryable, match="_MSG_TIMED_OUT"):
            deliveries.wait(1)


def test_d2_the_first_failure_counts() -> None:
    producer = FakeProducer(away=True, failing=[KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._MSG_TIMED_OUT])
    deliveries = Deliveries(producer)
    deliveries.send("t", None, None, b"1")
    deliveries.send("t", None, None, b"2")
    producer.back()
    with pytest.raises(Fatal, match="MSG_SIZE_TOO_LARGE"):
        deliveries.wait(1)


def test_d3_a_wait_that_times_out_loses_nothing() -> None:
    producer = FakeProducer(away=True)
    deliveries = Deliveries(producer)
    deliveries.send("t", None, None, b"1")
    with pytest.raises(Retryable, match="1 messages have no delivery report"):
        deliveries.wait(0.01)
    producer.back()
    deliveries.wait(1)
    assert [message.value for message in producer.log] == [b"1"]


def test_d4_a_full_queue_is_waited_for() -> None:
    producer = FakeProducer(queue=1, away=True)
    deliveries = Deliveries(producer, room_seconds=30)
    deliveries.send("t", None, None, b"1")
    timer = threading.Timer(0.1, producer.back)
    timer.start()
    deliveries.send("t", None, None, b"2")
    deliveries.wait(1)
    timer.join()
    assert [message.value for message in producer.log] == [b"1", b"2"]


def test_d4_a_queue_that_stays_full_raises_and_the_message_is_not_in_flight() -> None:
    producer = FakeProducer(queue=1, away=True)
    deliveries = Deliveries(producer, room_seconds=0.05)
    deliveries.send("t", None, None, b"1")
    with pytest.raises(Retryable, match="stayed full"):
        deliveries.send("t", None, None, b"2")
    assert deliveries.in_flight == 1
    producer.back()
    deliveries.wait(1)
    assert [message.value for message in producer.log] == [b"1"]
