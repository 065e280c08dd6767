"""The lag of each group, against a real Kafka."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from logflume.cli.main import build
from logflume.kafka import client, groups, topics
from logflume.kafka.groups import Lag
from logflume.settings import Settings
from tests.support.services import Kafka


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    made = client.admin(settings)
    topics.apply(settings, made)
    return made


def produce(settings: Settings, topic: str, partition: int, count: int) -> None:
    producer = Producer(client.producer_config(settings))
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=partition)
    assert producer.flush(30) == 0


def commit(admin: AdminClient, group: str, topic: str, partition: int, offset: int) -> None:
    place = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])
    admin.alter_consumer_group_offsets([place])[group].result()


def rows(settings: Settings, admin: AdminClient, topic: str) -> list[Lag]:
    return [row for row in groups.lag(settings, admin) if row.topic == topic and row.end]


def test_nothing_committed_means_everything_kept_is_lag(settings: Settings, admin: AdminClient) -> None:
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 3, 5)
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 3, None, 5, 5)]


def test_each_group_is_measured_on_the_topics_it_reads(settings: Settings, admin: AdminClient) -> None:
    ingest, sorted_ = topics.ingest_topic(settings, "events"), topics.sorted_topic(settings, "events")
    produce(settings, ingest, 0, 5)
    produce(settings, sorted_, 1, 4)
    commit(admin, settings.sort_group, ingest, 0, 3)
    commit(admin, settings.sink_group, sorted_, 1, 4)
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 0, 3, 5, 2)]
    assert rows(settings, admin, sorted_) == [Lag(settings.sink_group, sorted_, 1, 4, 4, 0)]
    everything = groups.lag(settings, admin)
    readers = {"ingest.<dataset>": settings.sort_group, "sorted.<dataset>": settings.sink_group}
    expected = [
        (readers[topic.template], topic.name, partition)
        for topic in topics.declared(settings)
        if topic.template in readers
        for partition in range(topic.partitions)
    ]
    assert sorted((row.group, row.topic, row.partition) for row in everything) == sorted(expected)


def test_records_deleted_before_they_were_read_are_lost_and_not_lag(settings: Settings, admin: AdminClient) -> None:
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 0, 10)
    commit(admin, settings.sort_group, ingest, 0, 2)
    for future in admin.delete_records([TopicPartition(ingest, 0, 6)]).values():
        future.result()
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 0, 2, 10, 4, lost=4)]


def test_topics_that_are_not_there_are_left_out(settings: Settings) -> None:
    assert groups.lag(settings) == []


def test_the_command_shows_it_to_people_and_programs(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 0, 5)
    run, command = CliRunner(), build("lag")
    table = run.invoke(command, ["lag"], catch_exceptions=False).stdout
    assert ingest in table
    assert topics.sorted_topic(settings, "events") not in table, "people see partitions with records only"
    listed = orjson.loads(run.invoke(command, ["lag", "--json"], catch_exceptions=False).stdout)
    assert {"group", "topic", "partition", "offset", "end", "lag", "lost"} == set(listed[0])
    assert sum(row["lag"] for row in listed) == 5


def test_a_broker_that_is_still_loading_its_groups_is_asked_again(
    own_kafka: Kafka, settings_for: Callable[..., Settings]
) -> None:
    """librdkafka's own request for this ends the process there: its AdminClient has no group to refresh."""
    settings = settings_for(own_kafka)
    admin = client.admin(settings)
    topics.apply(settings, admin)
    ingest = topics.ingest_topic(settings, "events")
    assert groups.committed(settings, settings.sort_group, [(ingest, 0)]) == {}  # the first question makes Kafka load
    produce(settings, ingest, 0, 5)
    commit(admin, settings.sort_group, ingest, 0, 3)
    own_kafka.restart()
    for _ in range(5):
        assert groups.committed(settings, settings.sort_group, [(ingest, 0), (ingest, 1)]) == {(ingest, 0): 3}
