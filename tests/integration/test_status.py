"""The status topic on a real Kafka: workers' words, the watch's pressure, and a client that heeds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from logflume.cli.main import build
from logflume.clock import SystemClock
from logflume.edge import Client, NotAccepted
from logflume.kafka import client, status, topics
from logflume.kafka.status import Condition, InForce, Level, Outbox, Pressure, Reporter
from logflume.settings import Settings
from logflume.watch import worker
from logflume.watch.worker import Watch
from tests.support.sorted_log import few_partitions
from tests.support.waiting import until

CLOCK = SystemClock()
SHORT = {
    "status_seconds": 0.2,
    "watch_seconds": 0.2,
    "pressure_lag_seconds": 1.0,
    "pressure_hold_seconds": 0.2,
    "worker_id": "me",
}


@pytest.fixture
def short(settings: Settings, tmp_path: object) -> Settings:
    return few_partitions(settings.model_copy(update=SHORT), tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def watch(short: Settings) -> Iterator[Watch]:
    made = worker.build(short, status.identity(short, "watch", CLOCK), CLOCK)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    yield made
    stop.set()
    thread.join()


def test_a_worker_is_seen_and_its_orderly_end_takes_its_word_away(
    short: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = [7]
    measure = lambda: Condition(in_force=InForce(generation[0], "abc"), troubles=("a table is broken",))  # noqa: E731
    with Reporter(short, "sink", measure):
        [seen] = until(lambda: status.read(short, CLOCK).workers(), 30, "the first word")
        assert seen.status.worker.id == "me"
        assert seen.status.condition.resident_bytes > 1_000_000
        generation[0] = 8
        until(lambda: status.read(short, CLOCK).workers()[0].status.condition.in_force.generation == 8, 30, "the next")
        for name, value in short.environment().items():
            monkeypatch.setenv(name, value)
        run, command = CliRunner(), build("status")
        [row] = orjson.loads(run.invoke(command, ["status", "--json"], catch_exceptions=False).stdout)
        assert (row["kind"], row["generation"], row["troubles"]) == ("sink", 8, "a table is broken")
        assert "a table is broken" in run.invoke(command, ["status"], catch_exceptions=False).stdout
    assert status.read(short, CLOCK).workers() == []


def test_what_nobody_commits_becomes_pressure_that_a_client_heeds_and_its_end_sets_it_free(
    short: Settings, watch: Watch
) -> None:
    sorted_topic = topics.sorted_topic(short, "events")
    with Client(short, tells=False) as edge:
        until(lambda: watch.pressure.by and not watch.ready(), 30, "the watch measures")
        until(lambda: edge.restraint.pressure.by, 30, "the client hears of it")
        producer = Producer(client.producer_config(short))
        for partition in range(4):
            producer.produce(sorted_topic, b"x", partition=partition)
        assert producer.flush(30) == 0
        until(lambda: edge.restraint.pressure.level is Level.STOP, 30, "nobody reads: the client is asked to stop")
        with pytest.raises(NotAccepted, match=r"pressure is stop: sink: \d of 4 partitions are"):
            edge.log("acme", "events", {"message": "refused"}, timeout=0.1)
        _commit(short, short.sink_group, sorted_topic)
        edge.log("acme", "events", {"message": "after"}, timeout=30)


def test_a_pressure_that_is_no_longer_written_is_none(short: Settings) -> None:
    with Client(short, tells=False) as edge:
        codec = status.Codec(short)
        outbox = Outbox(short, 1.0)
        stop = codec.pressure(Pressure(Level.STOP, 0.0, 1.0, ("a test",), 0, 0, 0.3, "me"))

        def stopped() -> bool:
            outbox.put(status.PRESSURE_KEY, stop)
            outbox.settle(5)
            return edge.restraint.pressure.level is Level.STOP

        until(stopped, 30, "the client to hear of it", pause=0.2)
        edge.log("acme", "events", {"message": "in the end"}, timeout=30)
        assert edge.restraint.pressure.level is Level.NONE


def _commit(settings: Settings, group: str, topic: str) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    admin = client.admin(settings)
    count = topics.partitions(admin, [topic])[topic]
    ends = [TopicPartition(topic, partition, 1000) for partition in range(count)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, ends)])[group].result()
