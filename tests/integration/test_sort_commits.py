"""What a sorter may commit and what it may read, between real topics: the rules that only Kafka's behaviour shows."""

from __future__ import annotations

import json
import uuid

import pytest
from confluent_kafka import Producer

from logflume.kafka import client, groups, topics
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.integration.test_sort import read_sorted
from tests.support.pipeline import Pipeline
from tests.support.waiting import until


@pytest.fixture
def made(settings: Settings) -> Settings:
    topics.apply(settings)
    return settings


def send(settings: Settings, dataset: str, first: int, end: int, **options: str) -> None:
    producer = Producer(client.producer_config(settings, **options))
    if options:
        producer.init_transactions(30)
        producer.begin_transaction()
    for number in range(first, end):
        producer.produce(topics.ingest_topic(settings, dataset), json.dumps({"message": f"m{number}"}).encode(), b"ada")
    assert producer.flush(30) == 0
    if options:
        producer.abort_transaction(30)


def committed(settings: Settings, dataset: str) -> int:
    topic = topics.ingest_topic(settings, dataset)
    places = [(topic, p) for p in range(topics.partitions(client.admin(settings), [topic])[topic])]
    return sum(groups.committed(settings, settings.sort_group, places).values())


def test_nothing_is_committed_while_the_sorted_topic_takes_nothing(made: Settings, worker: StartWorker) -> None:
    topic = topics.sorted_topic(made, "events")
    sorter = worker("sort", made)
    sorter.wait_ready(120)
    admin = client.admin(made)
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in topics.present(admin, [topic]), 30, "the sorted topic is gone")
    for at in range(3):  # three fetches, so that an agent has gone past the first ones
        size = Pipeline.gauge(sorter, "logflume_sort_buffered_bytes")
        send(made, "events", at * 10, at * 10 + 10)
        until(lambda least=size: Pipeline.gauge(sorter, "logflume_sort_buffered_bytes") > least, 60, "it has them")  # type: ignore[misc]
        # Another dataset's commit shows that commits are made; they are made for all at once.
        send(made, "dns_logs", at, at + 1)
        until(lambda count=at: committed(made, "dns_logs") > count, 60, "the others are committed")  # type: ignore[misc]
    assert committed(made, "events") == 0
    topics.apply(made)
    if not sorter.alive():  # librdkafka waits half a minute for a topic; then the worker ends, having committed nothing
        worker("sort", made)
    assert len(read_sorted(made, 30)) == 30
    until(lambda: committed(made, "events") == 30, 60, "all is committed")


def test_records_of_an_aborted_transaction_are_not_sorted(made: Settings, worker: StartWorker) -> None:
    send(made, "events", 0, 50, transactional_id=uuid.uuid4().hex)
    send(made, "events", 50, 60)
    sorter = worker("sort", made)
    assert {row[1] for row in read_sorted(made, 10)} == {f"m{number}" for number in range(50, 60)}
    assert sorter.stop() == 0
    assert len(read_sorted(made, 11, seconds=3)) == 10
