"""Shards come and go under load while a sorter is killed: each acknowledged record is stored once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from logflume import contract
from logflume.block import marker
from logflume.clock import SystemClock
from logflume.config import inforce
from logflume.config.directory import read_all
from logflume.config.library import Library
from logflume.config.publish import Order, publish
from logflume.kafka import client, topics
from logflume.model import load
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.oracle import DATASET, TENANTS
from tests.support.pipeline import Pipeline
from tests.support.waiting import until
from tests.support.worker import Worker

WHALE = TENANTS[0]
DATASETS = load(contract.find())


def apply(settings: Settings, shards: int) -> None:
    """Publish a generation in which the whale has so many shards."""
    now = inforce.look(settings, client.admin(settings), Library.from_settings(settings), decided=True)
    tenants = read_all(Path(settings.tenants_dir), DATASETS)
    wanted = replace(tenants[WHALE].datasets[DATASET], shards=shards)
    tenants[WHALE] = replace(tenants[WHALE], datasets=MappingProxyType({DATASET: wanted}))
    publish(settings, Order(now.generation, tenants, "me"), SystemClock())


def forge(settings: Settings, generation: int) -> None:
    """Put a marker of a generation that nobody published in front of what is still to come."""
    producer = Producer(client.producer_config(settings))
    topic = topics.ingest_topic(settings, DATASET)
    producer.produce(topic, b"", partition=0, headers=list(marker.headers(generation)))
    assert producer.flush(30) == 0


def sources(settings: Settings, tenant: str) -> int:
    """From how many sorted partitions a tenant's table has rows: each is an application id of its own."""
    store = Store.from_settings(settings)
    admin = client.admin(settings)
    name = topics.sorted_topic(settings, DATASET)
    [topic_id] = topics.topic_ids(admin, [name]).values()
    partitions = range(topics.partitions(admin, [name])[name])
    table = DeltaTable(store.uri(store.table(tenant, DATASET)), storage_options=store.delta_options)
    found = (table.transaction_version(f"logflume/{topic_id}/{p}") for p in partitions)
    return sum(version is not None for version in found)


@pytest.mark.timeout(300)
def test_shards_come_and_go_under_load_while_a_sorter_dies_and_each_record_is_stored_once(pipeline: Pipeline) -> None:
    followed = pipeline.settings.model_copy(update={"tenants_dir": ""})

    def sorter() -> Worker:
        return pipeline.start("sort", followed, {})

    apply(pipeline.settings, 1)
    sink, sorting = pipeline.sink(), sorter()
    sender = pipeline.send()
    pipeline.until_working(sink, "logflume_sink_rows_total")
    apply(pipeline.settings, 4)
    sorting.kill()  # before it has met the markers, or behind them, with units in delivery
    sorting = sorter()
    until(lambda: sources(pipeline.settings, WHALE) > 1, 120, "rows of several shards at rest", pause=0.5)
    apply(pipeline.settings, 1)
    forge(pipeline.settings, 999)
    pipeline.finish(sender)
    pipeline.assert_exactly_once()
    assert sources(pipeline.settings, TENANTS[1]) == 1
    assert pipeline.gauge(sorting, "logflume_sort_forged_markers_total") == 1
