"""All that a topic holds."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.settings import Settings
from tests.support.producer import Stored


def ingested(settings: Settings, dataset: str = "events") -> list[Stored]:
    """Every message in a dataset's ingest topic."""
    topic = topics.ingest_topic(settings, dataset)
    consumer = Consumer(kafka_client.consumer_config(settings, "look"))
    places = [
        TopicPartition(topic, each, 0) for each in consumer.list_topics(topic, timeout=30).topics[topic].partitions
    ]
    count = sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
    consumer.assign(places)
    found: list[Stored] = []
    while len(found) < count:
        for each in consumer.consume(count - len(found), 1.0):
            assert each.error() is None, each.error()
            found.append(Stored(topic, each.key(), each.value(), each.headers() or []))  # type: ignore[arg-type]
    consumer.close()
    return found
