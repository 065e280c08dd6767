"""The sort stage as a process, between real topics of a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from logflume import contract
from logflume.block import Header, encode
from logflume.kafka import client, deadletters, topics
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model import load
from logflume.settings import PREFIX, Settings
from tests.conftest import StartWorker
from tests.support.ingest import ingest_block
from tests.support.services import Run
from tests.support.waiting import until

EVENTS = load(contract.find())["events"]
MESSAGES = 300


@pytest.fixture
def made(settings: Settings) -> Settings:
    topics.apply(settings)
    return settings


def record(number: int) -> dict[str, object]:
    return {"time": "2026-01-02T03:04:05.678Z", "level": "info", "message": f"m{number}", "odd": {"n": number}}


def produce_plain(settings: Settings, count: int, tenants: int = 7) -> None:
    """As any Kafka client would: one JSON record a message, the tenant as its key."""
    producer = Producer(client.producer_config(settings))
    topic = topics.ingest_topic(settings, "events")
    for number in range(count):
        producer.produce(topic, json.dumps(record(number)).encode(), f"tenant-{number % tenants}".encode())
    assert producer.flush(30) == 0


def produce_block(settings: Settings, partition: int, tenants: list[str], first: int) -> None:
    batch = ingest_block(EVENTS, [(tenant, f"m{first + row}") for row, tenant in enumerate(tenants)])
    value, headers = encode(batch, Header("events", "edge", 1, 1, len(tenants), 100, 1, 1))
    producer = Producer(client.producer_config(settings))
    producer.produce(topics.ingest_topic(settings, "events"), value, partition=partition, headers=headers)
    assert producer.flush(30) == 0


def read_sorted(settings: Settings, rows: int, seconds: float = 60) -> list[tuple[str, str, int, int, int, int]]:
    """(tenant, message, ingest partition, offset, row, sorted partition) of every row, once each."""
    topic = topics.sorted_topic(settings, "events")
    admin = client.admin(settings)
    count = topics.partitions(admin, [topic])[topic]
    consumer = Consumer(client.consumer_config(settings, "test"))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
    readers = {p: SortedPartition(topic, "sid", p, Position(0)) for p in range(count)}
    found: list[tuple[str, str, int, int, int, int]] = []
    deadline = time.monotonic() + seconds
    while len(found) < rows and time.monotonic() < deadline:
        for message in consumer.consume(100, timeout=0.2):
            assert message.error() is None
            partition = message.partition()
            block = readers[partition].read(message.offset(), 0, message.value(), message.headers())
            if block is not None:
                tenants = np.repeat(block.runs.tenants, block.runs.rows).tolist()
                names = ("message", "_src_partition", "_src_offset", "_src_row")
                columns = [block.batch.column(name).to_pylist() for name in names]
                found += [(tenant, *row, partition) for tenant, *row in zip(tenants, *columns, strict=True)]
    consumer.close()
    return found


def committed(settings: Settings, count: int) -> dict[int, int]:
    consumer = Consumer(client.consumer_config(settings, settings.sort_group))
    topic = topics.ingest_topic(settings, "events")
    found = consumer.committed([TopicPartition(topic, partition) for partition in range(count)], timeout=10)
    consumer.close()
    return {each.partition: each.offset for each in found if each.offset >= 0}


def test_plain_records_and_blocks_come_out_sorted_by_tenant_each_once(made: Settings, worker: StartWorker) -> None:
    produce_plain(made, MESSAGES)
    produce_block(made, 0, ["tenant-1", "tenant-2", "tenant-1"], first=MESSAGES)
    worker("sort", made)
    rows = read_sorted(made, MESSAGES + 3)
    assert Counter(message for _, message, *_ in rows) == Counter(f"m{n}" for n in range(MESSAGES + 3))
    places = {(partition, offset, row) for _, _, partition, offset, row, _ in rows}
    assert len(places) == MESSAGES + 3
    homes: dict[str, set[int]] = {}
    for tenant, message, *_, home in rows:
        number = int(message[1:])
        wanted = number % 7 if number < MESSAGES else {0: 1, 1: 2, 2: 1}[number - MESSAGES]
        assert tenant == f"tenant-{wanted}"
        homes.setdefault(tenant, set()).add(home)
    assert all(len(partitions) == 1 for partitions in homes.values())


def test_sigterm_ends_running_work_and_commits_it(made: Settings, worker: StartWorker) -> None:
    produce_plain(made, MESSAGES)
    sorter = worker("sort", made)
    assert len(read_sorted(made, MESSAGES)) == MESSAGES
    assert sorter.stop() == 0
    assert sum(committed(made, 8).values()) == MESSAGES


def test_fausts_own_command_runs_the_same_stage(made: Settings, run: Run, tmp_path: Path) -> None:
    produce_plain(made, 20)
    faust = str(Path(sys.executable).parent / "faust")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    settings |= made.environment() | {f"{PREFIX}HTTP_PORT": "0"}
    command = [faust, "-A", "logflume.sort", "worker", "--without-web"]
    process = run.start(command, tmp_path / "faust.log", settings)
    try:
        assert len(read_sorted(made, 20)) == 20, process.tail(40)
        process.signal(signal.SIGTERM)
        assert process.wait(90) == 0
    finally:
        process.kill()
    assert sum(committed(made, 8).values()) == 20


def test_poison_goes_to_the_dead_letters_with_its_coordinates_and_costs_only_itself(
    made: Settings, worker: StartWorker
) -> None:
    producer = Producer(client.producer_config(made))
    topic = topics.ingest_topic(made, "events")
    good = json.dumps(record(1)).encode()
    poison: dict[int, tuple[bytes, bytes | None, list[tuple[str, bytes]]]] = {
        1: (b"{broken", b"ada", []),
        2: (good, None, []),
        3: (good, b"../ada", []),
        5: (b"no arrow", b"ada", [("logflume-block", b"1")]),
        6: (b"\xff\xfe", b"ada", []),
        7: (b"", b"ada", []),
    }
    for number in range(9):
        value, key, headers = poison.get(number, (good, b"ada", []))
        producer.produce(topic, value, key, partition=3, headers=headers)
    assert producer.flush(30) == 0
    worker("sort", made)
    assert sorted(row[3] for row in read_sorted(made, 3)) == [0, 4, 8]
    letters = until(lambda: found if len(found := list(read_letters(made))) >= len(poison) else None)
    assert {letter.offset: letter.raw for letter in letters} == {at: value for at, (value, _, _) in poison.items()}
    reasons = {letter.offset: letter.reason for letter in letters}
    assert (reasons[1], reasons[2], reasons[3]) == ("not-json", "no-tenant", "bad-tenant")
    assert {(letter.stage, letter.topic, letter.partition) for letter in letters} == {("sort", topic, 3)}


def read_letters(settings: Settings) -> Iterator[deadletters.DeadLetter]:
    topic = topics.deadletter_topic(settings)
    count = topics.partitions(client.admin(settings), [topic])[topic]
    consumer = Consumer(client.consumer_config(settings, "letters"))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
    messages = [m for _ in range(20) for m in consumer.consume(100, timeout=0.1)]
    consumer.close()
    yield from deadletters.assemble((m.value(), m.headers()) for m in messages)
