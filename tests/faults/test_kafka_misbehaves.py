"""What Kafka, or somebody with rights on it, may do to a running pipeline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from logflume.kafka import client, cursors, topics
from logflume.settings import Settings
from logflume.sort.stage import EXIT_FAILED
from tests.conftest import SettingsFor, StartWorker
from tests.support.oracle import DATASET, record
from tests.support.pipeline import SHORT, Pipeline, Tended
from tests.support.services import Kafka, Run
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def breakable(
    own_kafka: Kafka, settings_for: SettingsFor, worker: StartWorker, run: Run, tmp_path: Path
) -> Iterator[Pipeline]:
    made = Pipeline(settings_for(own_kafka, **SHORT), run, tmp_path, worker)
    yield made
    made.close()


def test_a_broker_that_restarts_or_dies_under_load_costs_nothing(breakable: Pipeline, own_kafka: Kafka) -> None:
    sorter, sink = Tended(breakable, "sort"), Tended(breakable, "sink")
    sender = breakable.send()
    breakable.until_working(sink.worker, "logflume_sink_rows_total", 500)
    for end in (own_kafka.stop, own_kafka.kill):
        end()
        own_kafka.start()
        acked = sender.acked()

        def moving(before: int = acked) -> bool:
            sorter.tend()
            sink.tend()
            return sender.acked() > before + 500

        until(moving, 120, "traffic goes on", pause=0.2)
    breakable.finish(sender)

    def at_rest() -> bool:
        sorter.tend()
        sink.tend()
        return not breakable.judge.missing()

    until(at_rest, 180, "every acknowledged record at rest", pause=1.0)
    breakable.assert_exactly_once()
    # Neither may run in circles: ending itself once for each outage is the most.
    assert set(sorter.codes) <= {EXIT_FAILED}
    assert len(sorter.codes) <= 2
    assert len(sink.codes) <= 2


def sizes(settings: Settings) -> dict[int, int]:
    """The size of the newest sorted message of each partition that has some."""
    topic = topics.sorted_topic(settings, DATASET)
    count = topics.partitions(client.admin(settings), [topic])[topic]
    consumer = Consumer(client.consumer_config(settings, "sizes", enable_partition_eof=True))
    consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
    found: dict[int, int] = {}
    open_ = count
    while open_:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is None:
            found[message.partition() or 0] = len(message.value() or b"")
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF
            open_ -= 1
    consumer.close()
    return found


def limit_messages(settings: Settings, topic: str, size: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = client.admin(settings)
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_one_refused_sorted_message_ends_the_sorter_though_the_next_ones_landed(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    topic = topics.sorted_topic(settings, DATASET)
    sorter = pipeline.sort()
    pipeline.sink()
    sender = pipeline.send()
    pipeline.until_working(sorter, "logflume_sort_rows_total", 2000)
    # What comes next is about as large as what came last, or a little smaller: some are refused, others land. On a slow
    # machine blocks get smaller: then the limit follows.
    limit = min(sizes(settings).values())

    def ended() -> bool:
        nonlocal limit
        limit_messages(settings, topic, limit)
        limit = limit * 9 // 10
        return not sorter.alive()

    until(ended, 120, "the sorter ends", pause=3.0)
    assert sorter.wait(60) == EXIT_FAILED
    assert "MSG_SIZE_TOO_LARGE" in sorter.output()
    pipeline.judge.assert_committed_is_durable()
    limit_messages(settings, topic, 4_194_304)
    pipeline.sort()
    pipeline.finish(sender)
    pipeline.assert_exactly_once()


def make_again(settings: Settings, topic: str) -> None:
    """Delete a topic and make it anew, as somebody in a hurry might."""
    admin = client.admin(settings)
    old = topics.topic_ids(admin, [topic])[topic]
    admin.delete_topics([topic])[topic].result()

    def anew() -> bool:
        found = topics.present(admin, [topic]).get(topic)
        if found is None:
            topics.apply(settings)
        return found is not None and found.id != old

    until(anew, 60, f"{topic} made again", pause=0.2)


def test_an_ingest_topic_made_again_is_read_from_its_start_and_nothing_of_it_is_taken_for_old(
    pipeline: Pipeline,
) -> None:
    topic = topics.ingest_topic(pipeline.settings, DATASET)
    sorter = Tended(pipeline, "sort")
    pipeline.sink()
    pipeline.sent(1500)
    pipeline.assert_exactly_once()
    # It notices nothing until the new topic has reached its offsets: reading on there would look right.
    sorter.worker.pause()
    make_again(pipeline.settings, topic)
    pipeline.sent(3000)
    sorter.worker.resume()

    def at_rest() -> bool:
        sorter.tend()
        return not pipeline.judge.missing()

    until(at_rest, 180, "the new topic's records at rest", pause=0.5)
    pipeline.assert_exactly_once()
    assert set(sorter.codes) == {EXIT_FAILED}


def test_of_a_sorted_topic_made_again_nothing_is_stored_until_somebody_says_so(pipeline: Pipeline) -> None:
    topic = topics.sorted_topic(pipeline.settings, DATASET)
    sorter, sink = Tended(pipeline, "sort"), pipeline.sink()
    pipeline.sent(1500)
    pipeline.assert_exactly_once()
    positions = pipeline.judge.positions()
    make_again(pipeline.settings, topic)
    sender = pipeline.send(3000)

    def sorted_() -> bool:
        sorter.tend()
        return not sender.process.alive() and bool(sizes(pipeline.settings))

    until(sorted_, 120, "records in the new topic", pause=0.5)
    assert sender.acked() == 3000
    until(lambda: "topic-changed" in sink.get("/ready")[1], 90, "the sink says that it stopped")
    assert pipeline.stored_rows() == 1500
    assert pipeline.judge.positions() == positions
    assert sink.stop() == 0
    pipeline.sink(f"sink --adopt {topic}")

    def at_rest() -> bool:
        sorter.tend()
        return not pipeline.judge.missing()

    until(at_rest, 180, "the new topic's records at rest", pause=0.5)
    assert pipeline.judge.complaints() == []


def test_messages_stamped_two_days_ago_survive_retention(breakable: Pipeline) -> None:
    settings = breakable.settings
    admin = client.admin(settings)
    control = f"{settings.topic_prefix}control"
    retention = {"retention.ms": "86400000", "message.timestamp.type": "CreateTime"}
    admin.create_topics([NewTopic(control, 1, 1, config=retention)])[control].result()
    journal = breakable.oracle.journal("old")
    journal.issued(0, 200)
    stamp = int((time.time() - 48 * 3600) * 1000)
    producer = Producer(client.producer_config(settings))
    for number in range(200):
        tenant, each = record("old", number)
        value, key = json.dumps(each).encode(), tenant.encode()
        producer.produce(topics.ingest_topic(settings, DATASET), value, key, timestamp=stamp)
        producer.produce(control, value, key, timestamp=stamp)
    assert producer.flush(30) == 0
    journal.acked(0, 200)
    # The broker's retention has done its round when it has removed what it may remove.
    until(lambda: cursors.starts(admin, control, [0])[0] == 200, 120, "the control topic is emptied", pause=0.5)
    breakable.sort()
    breakable.sink()
    breakable.assert_exactly_once()
