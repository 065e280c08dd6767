"""The sink as a process: hand-written sorted topics of a real Kafka in, Delta tables in a real S3 out."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from logflume.kafka import client, cursors, deadletters, topics
from logflume.kafka.cursors import Cursor
from logflume.kafka.deadletters import DeadLetter
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.sorted_log import produce_sorted, sorted_message, stored, want
from tests.support.waiting import until


@pytest.fixture
def made(settings: Settings) -> Settings:
    settings = settings.model_copy(
        update={"sink_session_timeout_ms": 6000, "sink_transaction_timeout_ms": 10_000, "sink_flush_age_seconds": 0.5}
    )
    topics.apply(settings)
    want(settings, "acme", "bell")
    return settings


def rows(first: int, end: int, each: int) -> Counter[str]:
    """The messages of one row range of sorted messages, once each."""
    return Counter(f"m{offset}.{row}" for offset in range(first, end) for row in range(each))


def position(settings: Settings, partition: int) -> Cursor | None:
    admin: AdminClient = client.admin(settings)
    topic = topics.sorted_topic(settings, "events")
    of = cursors.key(settings.sink_group, topic, partition)
    name = topics.cursors_topic(settings)
    home = cursors.home(of, topics.present(admin, [name])[name].partitions)
    value = cursors.read_to_end(settings, admin, [home], 30).get(of)
    return None if value is None else cursors.Codec(settings).decode(value)


def at(settings: Settings, partition: int, offset: int) -> bool:
    cursor = position(settings, partition)
    return cursor is not None and cursor.position.offset == offset


def letters(settings: Settings) -> list[DeadLetter]:
    topic = topics.deadletter_topic(settings)
    admin = client.admin(settings)
    ends = cursors.ends(admin, topic, range(4))
    consumer = Consumer(client.consumer_config(settings, "letters") | {"enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    parts = []
    open_ = {partition for partition, end in ends.items() if end}
    while open_:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is None:
            parts.append(deadletters.from_message(message.value(), message.headers()))
        else:
            open_.discard(message.partition())
    consumer.close()
    return list(deadletters.assemble(parts))


def test_rows_come_to_rest_in_their_tenants_tables_and_the_position_follows(
    made: Settings, worker: StartWorker
) -> None:
    produce_sorted(made, 3, [sorted_message({"acme": 3, "bell": 2}, offset) for offset in range(20)])
    sink = worker("sink", made)
    until(lambda: at(made, 3, 20), what="position 20")
    assert stored(made, "acme") == Counter(f"m{o}.{r}" for o in range(20) for r in range(3))
    assert stored(made, "bell") == Counter(f"m{o}.{r}" for o in range(20) for r in (3, 4))
    found = position(made, 3)
    assert found is not None
    assert found.position.watermarks == {("ingest-topic-id", 0): (19, 4)}
    sink.wait_ready()
    assert sink.stop() == 0


def test_sigterm_stores_and_commits_everything_that_was_read(made: Settings, worker: StartWorker) -> None:
    made = made.model_copy(update={"sink_flush_age_seconds": 600.0})
    produce_sorted(made, 0, [sorted_message({"acme": 5}, offset) for offset in range(50)])
    sink = worker("sink", made)
    until(lambda: "logflume_sink_behind_bytes 0.0" not in sink.get("/metrics")[1] and sink.get("/ready")[0] == 200)
    assert stored(made, "acme") == Counter()
    assert sink.stop() == 0
    read = position(made, 0)
    assert read is not None
    assert read.position.offset > 0
    assert stored(made, "acme") == rows(0, read.position.offset, 5)
