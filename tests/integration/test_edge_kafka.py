"""The client, dead letters and their commands against a real Kafka."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from logflume import contract, model
from logflume.cli import main
from logflume.edge import Client
from logflume.errors import Unavailable
from logflume.kafka import client as kafka_client
from logflume.kafka import deadletters, topics
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.deadletters.filed import read_all, read_one
from logflume.kafka.deliveries import Deliveries
from logflume.settings import Settings
from tests.conftest import SettingsFor
from tests.support.edge import rows
from tests.support.producer import Stored
from tests.support.services import Kafka

DATASETS = model.load(contract.find())


def _log(settings: Settings, topic: str) -> dict[int, list[Stored]]:
    """Everything in a topic, by partition."""
    consumer = Consumer(kafka_client.consumer_config(settings, "look"))
    found: dict[int, list[Stored]] = {}
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        where = TopicPartition(topic, partition, 0)
        _, high = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        messages: list[Stored] = []
        while high and len(messages) < high:
            for message in consumer.consume(high - len(messages), 10):
                assert message.error() is None
                messages.append(Stored(topic, message.key(), message.value(), message.headers() or []))  # type: ignore[arg-type]
        found[partition] = messages
    consumer.close()
    return found


def _events(settings: Settings) -> Counter[str]:
    log = _log(settings, topics.ingest_topic(settings, "events"))
    return Counter(record["message"] for part in log.values() for _, record in rows(part, DATASETS))


def test_what_a_flush_confirmed_stands_in_the_topic_once_and_spread_over_partitions(settings: Settings) -> None:
    topics.apply(settings)
    with Client(settings.model_copy(update={"edge_block_rows": 50})) as client:
        for number in range(2_000):
            client.log(f"t{number % 5}", "events", {"message": str(number)})
        client.flush()
        assert _events(settings) == Counter(str(number) for number in range(2_000))
    log = _log(settings, topics.ingest_topic(settings, "events"))
    assert sum(bool(messages) for messages in log.values()) > 2  # 40 blocks over 4 partitions
    assert all(message.key is None for messages in log.values() for message in messages)


def test_a_broker_that_goes_and_comes_back_loses_and_repeats_nothing(
    own_kafka: Kafka, settings_for: SettingsFor
) -> None:
    settings = settings_for(own_kafka, edge_block_rows=20, edge_timeout_seconds=150)
    topics.apply(settings)
    with Client(settings) as client:
        stop = threading.Event()
        sent: list[str] = []

        def go_on() -> None:
            while not stop.is_set():
                text = str(len(sent))
                client.log("acme", "events", {"message": text, "x": os.urandom(100).hex()})
                sent.append(text)
                stop.wait(0.0005)

        busy = threading.Thread(target=go_on)
        busy.start()
        try:
            client.flush()
            own_kafka.kill()
            with pytest.raises(Unavailable):
                client.flush(3)
            own_kafka.start()
            client.flush()
        finally:
            stop.set()
            busy.join()
    assert len(sent) > 100
    assert _events(settings) == Counter(sent)


def test_a_topic_made_late_gets_what_was_logged_before(settings: Settings) -> None:
    settings = settings.model_copy(
        update={"kafka_options": {"topic.metadata.propagation.max.ms": "100"}, "edge_timeout_seconds": 120.0}
    )
    with Client(settings) as client:
        client.log("acme", "events", {"message": "early"})
        with pytest.raises(Unavailable, match="UNKNOWN_TOPIC"):
            client.flush(3)
        topics.apply(settings)
        client.flush()
    assert _events(settings) == Counter(["early"])


CHILD = """
import sys
from logflume.edge import Client
client = Client()
for number in range(100_000):
    client.log("acme", "events", {"message": str(number)})
    if number == 99:
        client.flush()
        print("confirmed", flush=True)
"""


def test_a_client_killed_after_it_produced_has_stored_what_it_confirmed_and_nothing_twice(settings: Settings) -> None:
    topics.apply(settings)
    settings = settings.model_copy(update={"edge_block_rows": 100, "crash_at": "edge.produced:5"})
    environment = os.environ | settings.environment()
    child = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, timeout=120)
    assert child.returncode == 137, child.stderr
    assert "confirmed" in child.stdout
    found = _events(settings)
    assert set(found) >= {str(number) for number in range(100)}
    assert set(found.values()) == {1}


def _file(settings: Settings, *letters: DeadLetter) -> None:

    deliveries = Deliveries(Producer(kafka_client.producer_config(settings)))
    for message in deadletters.pack(letters):
        deliveries.send(topics.deadletter_topic(settings), None, message.key, message.value, message.headers)
    deliveries.wait(60)


def test_a_letter_larger_than_any_message_comes_back_whole_by_its_address(settings: Settings) -> None:
    topics.apply(settings)
    raw = os.urandom(20 << 20)
    small = DeadLetter("not-json", "sort", "acme", "events", b"x", "why", "t", "id", 1, 2, 3)
    large = DeadLetter("block-arrow", "sort", None, "events", raw, "why", "t", "id", 1, 3)
    _file(settings, small, large, small)
    found = list(read_all(settings))
    assert sorted((filed.letter for filed in found), key=lambda letter: len(letter.raw)) == [small, large]
    for filed in found:
        assert read_one(settings, filed.partition, filed.offset, filed.number) == filed


def test_the_command_lists_by_filter_and_shows_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    topics.apply(settings)

    def run(*arguments: str) -> bytes:
        capfdbinary.readouterr()
        assert main.run(["deadletter", *arguments]) == 0
        return capfdbinary.readouterr().out

    assert b"no dead letters" in run("list")
    file = tmp_path / "events.ndjson"
    file.write_bytes(b'{"message":"good"}\nbad\x1b\xff\n')
    assert main.run(["send", str(file), "--tenant", "acme", "--dataset", "events"]) == 1
    _file(
        settings,
        DeadLetter("block-version", "sort", None, "dns_logs", b"{}", "v9", "in", "id", 1, 2, headers=(("v", b"9"),)),
    )
    assert {row["reason"] for row in json.loads(run("list", "--json"))} == {"not-utf8", "block-version"}
    (row,) = json.loads(run("list", "--tenant", "acme", "--json"))
    assert (row["stage"], row["dataset"], row["bytes"]) == ("edge", "events", 5)
    (other,) = json.loads(run("list", "--dataset", "dns_logs", "--reason", "block-version", "--json"))
    assert (other["topic"], other["partition"], other["offset"]) == ("in", 1, 2)
    assert json.loads(run("list", "--tenant", "acme", "--reason", "block-version", "--json")) == []
    assert len(json.loads(run("list", "--limit", "1", "--json"))) == 1
    assert b"block-version" in run("list")
    shown = run("show", row["at"])
    assert b"bad\\x1b\\xff" in shown
    assert run("show", row["at"], "--raw") == b"bad\x1b\xff"
    assert json.loads(run("show", other["at"], "--json"))["headers"] == {"v": "9"}
    assert main.run(["deadletter", "show", "0:999"]) == 2
    assert main.run(["deadletter", "show", "nonsense"]) == 2


def test_the_page_on_producing_says_what_works(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    topics.apply(settings)
    page = (Path(__file__).parents[2] / "docs" / "produce.md").read_text()
    client, on_bad, handler, plain, avro = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(client, {})
    place: dict[str, Any] = {"Client": Client}
    exec(on_bad, place)
    place["client"].close()
    before = list(logging.getLogger().handlers)
    exec(handler, {})
    (added,) = [each for each in logging.getLogger().handlers if each not in before]
    logging.getLogger().removeHandler(added)
    added.close()
    plain = plain.replace("127.0.0.1:9092", settings.kafka_bootstrap).replace("logflume.", settings.topic_prefix)
    place = {}
    exec(plain, place)
    monkeypatch.chdir(Path(__file__).parents[2])  # the schema's file is named from there
    exec(avro.replace("logflume.", settings.topic_prefix), place)
    place["producer"].flush()
    messages = [m for part in _log(settings, topics.ingest_topic(settings, "events")).values() for m in part]
    assert Counter(record["message"] for _, record in rows(messages, DATASETS)) == Counter(["paid", "card refused"])
    text, framed = sorted(m.value or b"" for m in messages if m.key == b"acme")
    assert json.loads(text)["message"] == "paid"
    assert framed.startswith(b"\xc3\x01")
