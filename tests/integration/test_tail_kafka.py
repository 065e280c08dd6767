"""``logflume edge tail`` as a process with a real Kafka behind it: killed, told to end, and run once."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from logflume import contract, model
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.edge import rows
from tests.support.producer import Stored
from tests.support.tail import write
from tests.support.waiting import until

DATASETS = model.load(contract.find())


def _prepared(settings: Settings) -> Settings:
    topics.apply(settings)
    return settings.model_copy(update={"edge_tail_record_seconds": 0.3, "edge_tail_partial_seconds": 0.5})


def _events(settings: Settings) -> Counter[str]:
    """The message of every row in Kafka."""
    topic = topics.ingest_topic(settings, "events")
    consumer = Consumer(kafka_client.consumer_config(settings, "look"))
    found: list[Stored] = []
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        where = TopicPartition(topic, partition, 0)
        _, high = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        at = 0
        while at < high:
            for message in consumer.consume(high - at, 10):
                assert message.error() is None
                at = (message.offset() or 0) + 1
                found.append(Stored(topic, message.key(), message.value(), message.headers() or []))  # type: ignore[arg-type]
    consumer.close()
    return Counter(record["message"] for _, record in rows(found, DATASETS))


class _Writer:
    """An application that logs and rotates its log all the time, until ``end``."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.lines: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for round in itertools.count():
            if self._stop.wait(0.02):
                return
            lines = [f"line {len(self.lines) + n}" for n in range(20)]
            write(self.log, *lines)
            self.lines += lines
            if round % 25 == 24:
                self.log.rename(self.log.with_name(f"app.log.{round}"))

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_t1_nothing_is_lost_or_twice_in_kafka_though_the_process_is_killed_while_files_rotate(
    settings: Settings, worker: StartWorker, tmp_path: Path
) -> None:
    settings = _prepared(settings)
    writer = _Writer(tmp_path / "app.log")
    command = f"edge tail {tmp_path}/app.log* --tenant acme"  # files come and are renamed while it is down
    for kill in range(3):
        tail = worker(command, settings)
        until(lambda tail=tail: "tail.started" in tail.output(), 60, "it began")  # type: ignore[misc]
        seen = len(writer.lines)
        until(lambda seen=seen, kill=kill: len(writer.lines) > seen + 300 * (kill + 1), 60, "more was written")  # type: ignore[misc]
        tail.kill()
    tail = worker(command, settings)
    tail.wait_ready()
    seen = len(writer.lines)
    until(lambda: len(writer.lines) > seen + 300, 60, "more was written")
    assert tail.stop() == 0  # under load
    assert "tail.left-in-spool" not in tail.output()
    writer.end()
    assert worker(command + " --once", settings).wait() == 0
    assert _events(settings) == Counter(writer.lines)


def test_once_reads_all_waits_for_kafka_and_ends(settings: Settings, worker: StartWorker, tmp_path: Path) -> None:
    settings = _prepared(settings)
    write(tmp_path / "a.log", "one", "two", end="")
    write(tmp_path / "b.json", '{"message": "three"}')
    sources = tmp_path / "sources.yaml"
    sources.write_text(
        f"sources:\n- patterns: [{tmp_path}/a.log]\n  tenant: acme\n"
        f"- patterns: [{tmp_path}/*.json]\n  tenant: globex\n  format: json\n"
    )
    tail = worker(f"edge tail --config {sources} --once", settings)
    assert tail.wait() == 0
    assert _events(settings) == Counter(["one", "two", "three"])
