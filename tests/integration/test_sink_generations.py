"""A sink of an older configuration on a real Kafka: it takes up the newer one and goes on where it had to wait."""

from __future__ import annotations

import threading
from pathlib import Path

from confluent_kafka import Producer

from logflume import contract
from logflume.clock import SystemClock
from logflume.errors import Unconfigured
from logflume.kafka import client, cursors, topics
from logflume.kafka.position import Position
from logflume.model import Configuration, Tenant, load
from logflume.model.tenant import TenantDataset
from logflume.settings import Settings
from logflume.sink.health import UNCONFIGURED
from logflume.sink.worker import Sink
from logflume.table.store import Store
from tests.support.sorted_log import few_partitions, produce_sorted, sorted_message, stored
from tests.support.waiting import until


class Published:
    """A configuration that tests change; none at first."""

    def __init__(self) -> None:
        self.now: Configuration | None = None

    def publish(self, generation: int, *tenants: str) -> None:
        wanted = {"events": TenantDataset("events", 7)}
        self.now = Configuration(generation, str(generation), {name: Tenant(name, wanted) for name in tenants})

    def current(self) -> Configuration:
        if self.now is None:
            raise Unconfigured("none yet")
        return self.now


def store_position(settings: Settings, partition: int, generation: int) -> None:
    """As a sink does that had this generation."""
    topic = topics.sorted_topic(settings, "events")
    topic_id = topics.topic_ids(client.admin(settings), [topic])[topic]
    of = cursors.key(settings.sink_group, topic, partition)
    value = cursors.Codec(settings).encode(cursors.Cursor(topic, topic_id, partition, Position(0), generation))
    producer = client_producer(settings)
    producer.produce(topics.cursors_topic(settings), value, of, partition=cursors.home(of, 2))
    assert producer.flush(30) == 0


def client_producer(settings: Settings) -> Producer:
    return Producer(client.producer_config(settings))


def test_what_needs_a_newer_configuration_waits_for_it_and_goes_on_when_it_is_there(
    settings: Settings, tmp_path: Path
) -> None:
    made = few_partitions(settings, tmp_path)
    store_position(made, 0, generation=2)  # somebody had the newer one
    produce_sorted(made, 0, [sorted_message({"bell": 2}, 0)])
    produce_sorted(made, 1, [sorted_message({"acme": 1}, 0), sorted_message({"bell": 3}, 1, generation=2)])
    published, stop = Published(), threading.Event()
    store = Store.from_settings(made)
    sink = Sink(made, load(contract.find(made.topics_dir)), published, store, SystemClock(), seed=1)
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    try:
        until(lambda: sink.health.ready() == UNCONFIGURED, 30)
        published.publish(1, "acme")
        until(lambda: sum(stored(made, "acme").values()) == 1, 60, "the known tenant's row")
        until(lambda: "edges use configuration 2" in (sink.health.ready() or ""), 30)
        assert "old-configuration" in (sink.health.ready() or "")
        published.publish(2, "acme", "bell")
        until(lambda: sum(stored(made, "bell").values()) == 5, 60, "the new tenant's rows of both partitions")
        until(lambda: sink.health.ready() is None, 30)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
