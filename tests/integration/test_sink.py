"""The sink as a process: hand-written sorted topics of a real Kafka in, Delta tables in a real S3 out."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from logflume.kafka import client, cursors, deadletters, topics
from logflume.kafka.cursors import Codec, Cursor
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.position import Position
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.sorted_log import few_partitions, produce_sorted, sorted_message, stored
from tests.support.waiting import until


@pytest.fixture
def made(settings: Settings, tmp_path: Path) -> Settings:
    """A contract of one dataset with few partitions, made in Kafka; ``acme`` and ``bell`` want it."""
    return few_partitions(settings, tmp_path)


def position(settings: Settings, partition: int) -> Cursor | None:
    """The stored position of one partition of ``events``."""
    admin = client.admin(settings)
    of = cursors.key(settings.sink_group, topics.sorted_topic(settings, "events"), partition)
    name = topics.cursors_topic(settings)
    home = cursors.home(of, topics.present(admin, [name])[name].partitions)
    value = cursors.read_to_end(settings, admin, [home], 30).get(of)
    return None if value is None else Codec(settings).decode(value)


def until_at(settings: Settings, partition: int, offset: int) -> Cursor:
    def at() -> Cursor | None:
        cursor = position(settings, partition)
        return cursor if cursor is not None and cursor.position.offset == offset else None

    found = until(at, 120, f"position {offset} of partition {partition}", pause=0.3)
    assert found is not None
    return found


def messages(first: int, end: int, rows: range) -> Counter[str]:
    return Counter(f"m{offset}.{row}" for offset in range(first, end) for row in rows)


def letters(settings: Settings) -> list[DeadLetter]:
    """Every dead letter, repeats included."""
    topic = topics.deadletter_topic(settings)
    ends = cursors.ends(client.admin(settings), topic, range(4))
    consumer = Consumer(client.consumer_config(settings, "letters") | {"enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    found = []
    open_ = {partition for partition, end in ends.items() if end}
    while open_:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is None:
            found.append(deadletters.from_message(message.value(), message.headers()).letter)
        else:
            open_.discard(message.partition())
    consumer.close()
    return found


def test_rows_come_to_rest_in_their_tenants_tables_and_the_position_follows(
    made: Settings, worker: StartWorker
) -> None:
    produce_sorted(made, 3, [sorted_message({"acme": 3, "bell": 2}, offset) for offset in range(20)])
    sink = worker("sink", made)
    found = until_at(made, 3, 20)
    assert found.position.watermarks == {("ingest-topic-id", 0): (19, 4)}
    assert stored(made, "acme") == messages(0, 20, range(3))
    assert stored(made, "bell") == messages(0, 20, range(3, 5))
    sink.wait_ready(120)
    assert sink.stop() == 0


def test_sigterm_stores_and_commits_everything_that_was_read(made: Settings, worker: StartWorker) -> None:
    patient = made.model_copy(update={"sink_flush_age_seconds": 600.0})
    produce_sorted(patient, 0, [sorted_message({"acme": 5}, offset) for offset in range(50)])
    sink = worker("sink", patient)
    sink.wait_ready(120)
    until(lambda: "logflume_sink_behind_bytes 0.0" not in sink.get("/metrics")[1], 60)
    assert stored(patient, "acme") == Counter()
    assert sink.stop() == 0
    read = position(patient, 0)
    assert read is not None
    assert read.position.offset > 0
    assert stored(patient, "acme") == messages(0, read.position.offset, range(5))


def test_a_sink_killed_before_its_transaction_has_a_successor_that_stores_the_rest_once(
    made: Settings, worker: StartWorker
) -> None:
    first = [sorted_message({"acme": 3, "bell": 2, "nobody": 1}, offset) for offset in range(10)]
    # The first one stores where the partitions start. The other crash points are tried in tests/faults.
    dying = worker("sink", made, env={"LOGFLUME_CRASH_AT": "sink.before-transaction:2"})
    until_at(made, 1, 0)
    produce_sorted(made, 1, first)
    until(lambda: not dying.alive(), 120)
    produce_sorted(made, 1, [sorted_message({"acme": 3}, offset) for offset in range(10, 20)])
    worker("sink", made)
    until_at(made, 1, 20)
    assert stored(made, "acme") == messages(0, 20, range(3))
    assert stored(made, "bell") == messages(0, 10, range(3, 5))
    assert sorted(letter.offset or 0 for letter in letters(made)) == list(range(10))


def test_partitions_move_to_a_sink_that_joins_and_back_when_it_is_killed(made: Settings, worker: StartWorker) -> None:
    def produce(first: int) -> None:
        for partition in range(4):
            produce_sorted(made, partition, [sorted_message({"acme": 2}, o) for o in range(first, first + 10)])

    produce(0)
    one = worker("sink", made)
    until_at(made, 0, 10)
    two = worker("sink", made)
    two.wait_ready(120)
    produce(10)
    for partition in range(4):
        until_at(made, partition, 20)
    two.process.signal(signal.SIGKILL)
    produce(20)
    for partition in range(4):
        until_at(made, partition, 30)
    # Four partitions say the same ingest coordinates, so each message is there four times.
    assert stored(made, "acme") == Counter(dict.fromkeys(messages(0, 30, range(2)), 4))
    assert one.stop() == 0


def test_a_hole_stops_its_partition_and_no_other(made: Settings, worker: StartWorker) -> None:
    produce_sorted(made, 0, [sorted_message({"acme": 1}, 0), sorted_message({"acme": 1}, 5, previous=(4, 0))])
    produce_sorted(made, 1, [sorted_message({"bell": 1}, offset) for offset in range(5)])
    sink = worker("sink", made)
    until_at(made, 1, 5)
    until_at(made, 0, 1)
    assert stored(made, "acme") == Counter(["m0.0"])
    status, said = sink.get("/ready")
    assert status == 503
    assert "events[0] is stopped (hole)" in said
    assert 'logflume_sink_stopped_partitions{reason="hole"} 1.0' in sink.get("/metrics")[1]
    produce_sorted(made, 1, [sorted_message({"bell": 1}, 5)])
    until_at(made, 1, 6)


def test_a_topic_made_again_is_not_taken_for_the_old_one_until_it_is_adopted(
    made: Settings, worker: StartWorker
) -> None:
    produce_sorted(made, 0, [sorted_message({"acme": 1}, offset) for offset in range(5)])
    first = worker("sink", made)
    until_at(made, 0, 5)
    admin, topic = client.admin(made), topics.sorted_topic(made, "events")
    old = topics.topic_ids(admin, [topic])[topic]
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: not topics.present(admin, [topic]))
    topics.apply(made)
    produce_sorted(made, 0, [sorted_message({"acme": 1}, offset) for offset in range(5, 15)])
    until(lambda: "topic-changed" in first.get("/ready")[1], 120)
    assert first.stop() == 0
    second = worker("sink", made)
    until(lambda: "topic-changed" in second.get("/ready")[1], 120)
    assert stored(made, "acme") == messages(0, 5, range(1))
    kept = position(made, 0)
    assert kept is not None
    assert (kept.topic_id, kept.position.offset) == (old, 5)
    assert second.stop() == 0
    worker(f"sink --adopt {topic}", made)
    until_at(made, 0, 10)
    assert stored(made, "acme") == messages(0, 15, range(1))


def test_a_successor_waits_for_the_transaction_that_a_dying_owner_left_open(
    made: Settings, worker: StartWorker
) -> None:
    """What the open transaction holds becomes the position: the row below it is read by nobody again."""
    produce_sorted(made, 0, [sorted_message({"acme": 1}, offset) for offset in range(5)])
    topic = topics.sorted_topic(made, "events")
    topic_id = topics.topic_ids(client.admin(made), [topic])[topic]
    of = cursors.key(made.sink_group, topic, 0)
    owner = Producer(
        client.producer_config(made, transactional_id=f"{made.sink_group}-dying", transaction_timeout_ms=60_000)
    )
    owner.init_transactions(30)
    owner.begin_transaction()
    value = Codec(made).encode(Cursor(topic, topic_id, 0, Position(3, {("ingest-topic-id", 0): (2, 0)}), 1))
    owner.produce(topics.cursors_topic(made), value, of, partition=cursors.home(of, 2))
    assert owner.flush(30) == 0
    # The others' transactions go on; only what this one holds up is waited for.
    sink = worker("sink", made.model_copy(update={"sink_transaction_timeout_ms": 60_000}))
    until(lambda: "sink.started" in sink.output(), 120)
    with pytest.raises(AssertionError):
        until(lambda: "sink.assigned" in sink.output(), 5)
    owner.commit_transaction(30)
    until_at(made, 0, 5)
    assert stored(made, "acme") == messages(3, 5, range(1))


def test_rows_lost_to_retention_are_recorded_exactly_and_reading_goes_on(made: Settings, worker: StartWorker) -> None:
    produce_sorted(made, 0, [sorted_message({"acme": 1}, offset) for offset in range(10)])
    topic = topics.sorted_topic(made, "events")
    admin = client.admin(made)
    [deleted] = admin.delete_records([TopicPartition(topic, 0, 7)]).values()
    assert deleted.result(30).low_watermark == 7
    worker("sink", made)
    until_at(made, 0, 10)
    [letter] = letters(made)
    assert (letter.reason, letter.offset) == ("retention", 0)
    assert "offsets 0 to 6" in letter.detail
    assert stored(made, "acme") == messages(7, 10, range(1))
