"""Publisher: P1 to P4, and the spool's place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError

from logflume.clock import ManualClock, SystemClock
from logflume.edge import publisher as module
from logflume.edge.publisher import Publisher
from logflume.edge.spool import Message
from logflume.errors import LogflumeError, Unavailable
from tests.support.producer import FakeProducer
from tests.support.waiting import until


def _message(value: bytes) -> Message:
    return Message("t", None, value, (), "events", 1, len(value))


class Outcome:
    def __init__(self) -> None:
        self.stored: list[tuple[int, bytes]] = []
        self.failed: list[LogflumeError] = []
        self.trouble: list[str] = []

    def on_stored(self, ticket: int, message: Message) -> None:
        self.stored.append((ticket, message.value))


@contextmanager
def _running(producer: FakeProducer, outcome: Outcome, **more: object) -> Iterator[Publisher]:
    options = {"clock": SystemClock()} | more
    publisher = Publisher(
        stored=outcome.on_stored,
        failed=outcome.failed.append,
        troubled=outcome.trouble.append,
        **options,  # type: ignore[arg-type]
    )
    publisher.start(producer)
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.end()
        producer.back()
        thread.join()


def test_p1_stored_is_called_once_and_only_after_the_report() -> None:
    producer, outcome = FakeProducer(away=True), Outcome()
    with _running(producer, outcome) as publisher:
        publisher.publish(7, _message(b"1"))
        assert outcome.stored == []
        producer.back()
        until(lambda: outcome.stored, what="the report")
    assert outcome.stored == [(7, b"1")]


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_TOPIC, KafkaError.MSG_SIZE_TOO_LARGE])
def test_p2_a_refused_message_is_produced_again_until_the_operator_has_repaired_it(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    producer, outcome = FakeProducer(failing=[code, code]), Outcome()
    with _running(producer, outcome) as publisher:
        publisher.publish(1, _message(b"1"))
        until(lambda: outcome.stored, what="the third try")
    assert [message.value for message in producer.log] == [b"1"]
    assert outcome.failed == []
    assert KafkaError(code).name() in outcome.trouble[0]
    assert outcome.trouble[-1] == ""


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError._FATAL, KafkaError._TRANSPORT])
def test_p3_a_failure_that_may_hide_a_stored_message_ends_it_and_nothing_is_produced_again(code: int) -> None:
    producer, outcome = FakeProducer(failing=[code]), Outcome()
    with _running(producer, outcome) as publisher:
        publisher.publish(1, _message(b"1"))
        until(lambda: outcome.failed, what="the failure")
        publisher.publish(2, _message(b"2"))
    assert producer.log == []
    assert outcome.stored == []


def test_p3_a_fatal_error_of_the_producer_ends_it() -> None:
    producer, outcome = FakeProducer(), Outcome()
    with _running(producer, outcome) as publisher:
        publisher.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        assert outcome.failed == []
        publisher.on_error(KafkaError(KafkaError._FATAL, "fenced", True))
        assert len(outcome.failed) == 1


def test_p4_a_full_queue_is_waited_for() -> None:
    producer, outcome = FakeProducer(queue=1), Outcome()
    with _running(producer, outcome) as publisher:
        for number in range(20):
            publisher.publish(number, _message(b"%d" % number))
        until(lambda: len(outcome.stored) == 20, what="all reports")
    assert [ticket for ticket, _ in outcome.stored] == list(range(20))


class ListSpool:
    def __init__(self, room: int) -> None:
        self.room = room
        self.kept: list[Message] = []
        self.out: list[Message] = []
        self.finished: list[Message] = []

    def put(self, messages: list[Message]) -> None:
        if len(self.kept) >= self.room:
            raise Unavailable("the spool is full")
        self.kept += messages

    def take(self) -> Message | None:
        if not self.kept:
            return None
        self.out.append(self.kept.pop(0))
        return self.out[-1]

    def done(self, message: Message) -> None:
        self.finished.append(message)


def test_with_a_spool_messages_wait_there_while_kafka_is_away_and_follow_when_it_is_back() -> None:
    producer, outcome, clock, spool = FakeProducer(away=True), Outcome(), ManualClock(), ListSpool(room=2)
    with _running(producer, outcome, clock=clock, spool=spool) as publisher:
        publisher.publish(1, _message(b"1"))
        clock.advance(module.AWAY_SECONDS + 1)
        for number in (2, 3, 4):
            publisher.publish(number, _message(b"%d" % number))
        assert outcome.stored == [(2, b"2"), (3, b"3")]  # durable in the spool; 4 found it full and is in flight
        assert producer.log == []
        assert spool.out == []
        producer.back()
        until(lambda: len(spool.finished) == 2, what="the spool to drain")
    assert sorted(message.value or b"" for message in producer.log) == [b"1", b"2", b"3", b"4"]
    assert sorted(outcome.stored) == [(1, b"1"), (2, b"2"), (3, b"3"), (4, b"4")]
