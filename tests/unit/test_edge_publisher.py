"""Publisher: P1 to P8; the doubts of a spool: DO1 to DO3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from logflume import metrics
from logflume.block.wire import is_barrier
from logflume.clock import ManualClock, SystemClock
from logflume.edge import publisher as module
from logflume.edge import spooling as spooling_module
from logflume.edge.publisher import Publisher
from logflume.edge.spool import Message, Spool
from logflume.edge.spooling import Spooling
from logflume.errors import LogflumeError
from tests.support.disk import FakeDisk
from tests.support.lookup import FakeLookup
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


# --- with a spool -----------------------------------------------------------------------------------------------------


class Edge:
    """A publisher with a spool in memory, started and killed at will."""

    def __init__(self, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch, cap: int = 1 << 20) -> None:
        monkeypatch.setattr(spooling_module, "SETTLE_SECONDS", 0.0)
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
        self.producer, self.outcome, self.clock = producer, Outcome(), ManualClock()
        self.disk, self.lookup = FakeDisk(), FakeLookup(producer)
        self.cap = cap

    @contextmanager
    def running(self, **more: object) -> Iterator[Publisher]:
        with Spool.open(Path("/spool"), cap_bytes=self.cap, clock=self.clock, disk=self.disk) as self.spool:
            spooling = Spooling(self.spool, self.lookup, self.clock)
            self.routes = spooling.routes
            with _running(self.producer, self.outcome, clock=self.clock, spooling=spooling, **more) as publisher:
                thread = threading.Thread(target=publisher.settle)
                thread.start()
                try:
                    yield publisher
                finally:
                    publisher.end()
                    thread.join()

    def know(self, *topics: str) -> None:
        """Wait until it is known what partitions there are."""
        for topic in topics or ("t",):
            until(lambda topic=topic: self.routes.choose(topic, None), what="the partitions")  # type: ignore[misc]

    def values(self) -> list[bytes]:
        return sorted(message.value for message in self.producer.log if message.value)


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Edge:
    return Edge(FakeProducer(), monkeypatch)


def test_p5_every_message_has_its_partition_and_a_tag_of_its_own(edge: Edge) -> None:
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))  # nothing is known of the topic yet: it goes by way of the spool
        edge.know()
        for number in range(1, 30):
            publisher.publish(number, _message(b"%d" % number))
        until(lambda: len(edge.producer.log) == 30 and not edge.spool.waiting, what="all of them")
    tags = [dict(message.headers)["spool"] for message in edge.producer.log]
    assert len(set(tags)) == 30
    assert {message.partition for message in edge.producer.log} == {0, 1, 2, 3}
    assert sorted(ticket for ticket, _ in edge.outcome.stored) == list(range(30))


def test_a_key_has_one_partition(edge: Edge) -> None:
    with edge.running() as publisher:
        for number in range(20):
            publisher.publish(number, Message("t", b"acme", b"%d" % number, (), "events"))
        until(lambda: len(edge.producer.log) == 20, what="all of them")
    assert len({message.partition for message in edge.producer.log}) == 1


def test_p6_what_was_in_flight_when_kafka_went_away_is_settled_by_the_spool_and_stored_once(edge: Edge) -> None:
    held: list[int] = []
    with edge.running(kept=lambda ticket, message: held.append(ticket), released=held.append) as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: len(edge.producer.log) == 1 and not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        publisher.publish(2, _message(b"2"))
        assert not held
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: held == [1, 2], what="the spool to take what is in flight")
        publisher.publish(3, _message(b"3"))  # at once
        assert [ticket for ticket, _ in edge.outcome.stored] == [0, 3]
        assert edge.spool.waiting == 3
        edge.producer.back()
        until(lambda: not edge.spool.waiting, what="the spool to drain")
        until(lambda: held == [1, 2, 1, 1], what="their bytes to be released")
    assert edge.values() == [b"0", b"1", b"2", b"3"]
    assert edge.outcome.failed == []


@pytest.mark.parametrize("landed", [True, False])
def test_what_a_killed_process_had_in_flight_is_looked_for_and_sent_only_if_it_is_not_there(
    edge: Edge, landed: bool
) -> None:
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: edge.spool.waiting == 1, what="the spool to take it")
        (flight,) = [message for message, _ in edge.producer._waiting if message.value == b"1"]
        edge.producer._waiting.clear()  # the process dies with its queue
    if landed:
        flight.at = edge.producer.end(flight.topic, flight.partition)
        edge.producer.log.append(flight)
    edge.producer.away = False
    with edge.running() as publisher:
        assert [sent.tag for sent in edge.spool.doubts] == [dict(flight.headers)["spool"].decode()]  # type: ignore[union-attr]
        until(lambda: not edge.spool.waiting, what="the doubt to be settled")
    assert edge.values() == [b"0", b"1"]
    barriers = [message for message in edge.producer.log if is_barrier(message.headers)]
    assert [(barrier.partition, barrier.value) for barrier in barriers] == [(flight.partition, b"")]


def test_do3_what_was_sent_to_a_partition_without_a_leader_is_asked_for_again_and_not_sent_elsewhere(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling_module, "_PAUSE_SECONDS", 0.01)
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: edge.spool.waiting == 1, what="the spool to take it")
        ((flight, _),) = edge.producer._waiting
        edge.producer._waiting.clear()
    flight.at = edge.producer.end(flight.topic, flight.partition)
    edge.producer.log.append(flight)  # it landed, and then its partition lost its leader
    edge.producer.away = False
    edge.lookup.leaderless = {flight.partition}
    with edge.running() as publisher:
        publisher.publish(2, _message(b"2"))
        until(lambda: b"2" in edge.values() and edge.lookup.asked > 9, what="the others to be asked in vain")
        assert edge.spool.waiting == 1
        edge.lookup.leaderless = set()
        until(lambda: not edge.spool.waiting, what="the doubt to be settled")
    assert edge.values() == [b"0", b"1", b"2"]


def test_do2_nothing_goes_to_a_partition_before_its_doubts_are_settled(edge: Edge) -> None:
    edge.lookup.partitions = 1
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: edge.spool.waiting == 1, what="the spool to take it")
        edge.producer._waiting.clear()
    edge.producer.away = False
    with edge.running() as publisher:
        publisher.publish(2, _message(b"2"))
        until(lambda: not edge.spool.waiting, what="all to be sent")
    assert [message.value for message in edge.producer.log][:2] == [b"0", b""]
    assert edge.values() == [b"0", b"1", b"2"]


def test_do3_what_retention_has_taken_is_sent_again_and_counted(edge: Edge) -> None:
    edge.lookup.partitions = 1
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: edge.spool.waiting == 1, what="the spool to take it")
        edge.producer._waiting.clear()
    edge.producer.away = False
    edge.lookup.starts["t", 0] = 5
    count = metrics.EDGE_SPOOL_UNKNOWN.labels("t")
    before = count._value.get()
    with edge.running():
        until(lambda: not edge.spool.waiting, what="the message to be sent")
    assert edge.values() == [b"0", b"1"]
    assert count._value.get() == before + 1


@pytest.mark.parametrize("landed", [True, False])
def test_do3_of_a_topic_made_again_everything_is_read(edge: Edge, landed: bool) -> None:
    edge.lookup.partitions = 1
    with edge.running() as publisher:
        for number in range(3):
            publisher.publish(number, _message(b"%d" % number))
        until(lambda: not edge.spool.waiting, what="the first ones")
        edge.know()
        edge.producer.away = True
        publisher.publish(3, _message(b"3"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        until(lambda: edge.spool.waiting == 1, what="the spool to take it")
        ((flight, _),) = edge.producer._waiting
        edge.producer._waiting.clear()
    edge.producer.away = False
    edge.producer.log.clear()
    edge.lookup.ids["t"] = "another"
    if landed:
        flight.at = 0
        edge.producer.log.append(flight)
    with edge.running():
        until(lambda: not edge.spool.waiting, what="the doubt to be settled")
    assert edge.values() == [b"3"]


def test_without_spool_room_messages_go_straight_on_and_are_settled_by_kafka(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.cap = 4_000
    edge.producer.away = True
    with edge.running() as publisher:
        for number in range(10):
            publisher.publish(number, _message(b"%d" % number * 500))
        kept = len(edge.outcome.stored)
        assert 2 < kept < 9
        assert edge.spool.size_bytes <= 4_000
        assert "edge_spool_bytes" in edge.outcome.trouble[-1]
        edge.producer.back()

        def go_on() -> bool:
            edge.clock.advance(0.1)  # what found neither way is tried again after a while
            return len(edge.outcome.stored) == 10 and not edge.spool.waiting

        until(go_on, what="the rest")
    assert len(edge.values()) == len(set(edge.values())) == 10


def test_more_than_half_of_the_memory_in_flight_goes_to_the_spool(edge: Edge) -> None:
    with edge.running(direct_bytes=1_000) as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        for number in range(1, 6):
            publisher.publish(number, _message(b"%d" % number * 400))
        assert [ticket for ticket, _ in edge.outcome.stored] == [0, 3, 4, 5]
        edge.producer.back()
        until(lambda: len(edge.outcome.stored) == 6 and not edge.spool.waiting, what="the rest")
    assert len(edge.values()) == len(set(edge.values())) == 6


def test_p2_a_refused_message_of_the_spool_is_taken_again(edge: Edge) -> None:
    edge.producer.failing += [KafkaError._UNKNOWN_PARTITION, KafkaError.MSG_SIZE_TOO_LARGE]
    with edge.running() as publisher:
        publisher.publish(1, _message(b"1"))
        deadline = threading.Event()

        def go_on() -> bool:
            edge.clock.advance(1.0)
            return not edge.spool.waiting and not deadline.is_set()

        until(go_on, what="the third try")
    assert edge.values() == [b"1"]
    assert edge.outcome.failed == []


def test_p8_messages_of_the_spool_that_are_refused_or_have_no_way_hold_up_no_others(edge: Edge) -> None:
    edge.producer.limit = 100
    with edge.running():
        edge.know()
        stuck, alive = (_of_partition(edge, partition) for partition in (0, 1))
        edge.routes.block([("t", 0)])
        edge.spool.put([_message(b"too large %d " % number + b"x" * 100) for number in range(40)])
        edge.spool.put([Message("t", stuck, b"stuck %d" % number, (), "events") for number in range(40)])
        edge.spool.put([_message(b"1"), Message("t", alive, b"2", (), "events")])

        def go_on(count: int) -> bool:
            edge.clock.advance(0.1)
            return len(edge.producer.log) == count

        until(lambda: go_on(2), what="those behind")
        assert edge.values() == [b"1", b"2"]
        edge.routes.free(("t", 0))
        until(lambda: go_on(42), what="those that had no way")
        edge.producer.limit = 1000
        until(lambda: go_on(82) and not edge.spool.waiting, what="those that were refused")
    assert len(set(edge.values())) == 82
    assert edge.outcome.failed == []


def _of_partition(edge: Edge, partition: int) -> bytes:
    keys = (b"%d" % number for number in range(100))
    return next(key for key in keys if edge.routes.choose("t", key).partition == partition)  # type: ignore[union-attr]


def test_a_disk_that_fails_before_a_message_is_sent_leaves_it_in_the_spool(edge: Edge) -> None:
    with edge.running() as publisher:
        publisher.publish(0, _message(b"0"))
        edge.know()
        until(lambda: not edge.spool.waiting, what="the first one")
        edge.producer.away = True
        publisher.publish(1, _message(b"1"))
        edge.clock.advance(module.AWAY_SECONDS + 1)
        publisher.publish(2, _message(b"2"))
        edge.disk.room = 0
        edge.producer.back()
        until(lambda: b"1" in edge.values(), what="what was in flight")
        assert b"2" not in edge.values()
        edge.disk.room = 1 << 30
        until(lambda: not edge.spool.waiting, what="the spool to drain")
    assert edge.values() == [b"0", b"1", b"2"]
