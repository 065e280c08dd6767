"""The spool against a real Kafka: killed processes, and an outage under load."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from logflume import contract, model
from logflume.block.wire import is_barrier
from logflume.edge import Client
from logflume.errors import Unavailable
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.settings import Settings
from tests.conftest import SettingsFor
from tests.support.edge import rows
from tests.support.producer import Stored
from tests.support.services import Kafka
from tests.support.waiting import until

DATASETS = model.load(contract.find())
CHILD = """
import sys
from logflume.edge import Client
client = Client()
for number in range(40):
    client.log("acme", "events", {"message": str(number)})
    client.flush()
    print(number, flush=True)
"""


def _log(settings: Settings) -> list[Stored]:
    topic = topics.ingest_topic(settings, "events")
    consumer = Consumer(kafka_client.consumer_config(settings, "look"))
    found: list[Stored] = []
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        where = TopicPartition(topic, partition, 0)
        _, high = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        count = 0
        while count < high:
            for message in consumer.consume(high - count, 10):
                assert message.error() is None
                headers = message.headers() or []
                found.append(Stored(topic, message.key(), message.value(), headers, partition, count))  # type: ignore[arg-type]
                count += 1
    consumer.close()
    return found


def _events(settings: Settings) -> Counter[str]:
    return Counter(record["message"] for _, record in rows(_log(settings), DATASETS))


@pytest.mark.parametrize(
    ("point", "barrier"), [("spool.written:1", False), ("spool.sent:1", True), ("spool.landed:1", True)]
)
def test_a_process_killed_with_a_spool_has_lost_and_repeated_nothing_once_the_next_one_has_run(
    settings: Settings, tmp_path: Path, point: str, barrier: bool
) -> None:
    topics.apply(settings)
    settings = settings.model_copy(update={"edge_spool_dir": str(tmp_path / "spool"), "edge_linger_seconds": 0.0})
    environment = os.environ | settings.model_copy(update={"crash_at": point}).environment()
    child = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, timeout=120)
    assert child.returncode == 137, child.stderr
    confirmed = set(child.stdout.split())
    with Client(settings) as client:
        assert client.spool is not None
        spool = client.spool
        waited = spool.waiting
        client.log("acme", "events", {"message": "last"})
        client.flush()
        until(lambda: not spool.waiting, 120, "the spool to drain")
    found = _events(settings)
    assert waited > 0
    assert set(found) >= confirmed | {"last"}
    assert set(found.values()) == {1}
    assert any(is_barrier(message.headers) for message in _log(settings)) == barrier


def test_while_kafka_is_away_records_are_kept_on_disk_up_to_the_cap_and_stored_once_when_it_is_back(
    own_kafka: Kafka, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings = settings_for(
        own_kafka,
        edge_spool_dir=str(tmp_path / "spool"),
        edge_spool_bytes=3_000_000,
        edge_block_rows=20,
        edge_memory_bytes=400_000,
        edge_linger_seconds=0.01,
        edge_timeout_seconds=60.0,
    )
    topics.apply(settings)
    accepted = 0
    fills: list[float] = []
    with Client(settings) as client:
        assert client.spool is not None
        spool = client.spool

        def log(timeout: float | None = None) -> None:
            nonlocal accepted
            client.log("acme", "events", {"message": str(accepted), "x": os.urandom(1000).hex()}, timeout=timeout)
            accepted += 1
            fills.append(client.fill)

        for _ in range(200):
            log()
        client.flush()
        until(lambda: not spool.waiting, 120, "all to be in Kafka")
        own_kafka.kill()
        for _ in range(400):
            log()
        client.flush()  # durable, though nobody is there
        refused = False
        while not refused:
            try:
                log(timeout=0.5)
            except Unavailable:
                refused = True
        assert spool.share <= 1.0
        assert max(fills) <= 1.0
        own_kafka.start()
        client.flush()
        until(lambda: not spool.waiting, 120, "the spool to drain")
    assert accepted > 1000
    assert _events(settings) == Counter(str(number) for number in range(accepted))
