"""A flood of poison on a real Kafka: the good among it arrive, and the sorter's memory does not grow with it."""

from __future__ import annotations

import json
import re
from collections import Counter

import psutil
from confluent_kafka import Producer

from logflume.kafka import client, topics
from logflume.kafka.deadletters.filed import Selection, read_all
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.integration.test_sort import read_sorted, record
from tests.support.waiting import until
from tests.support.worker import Worker

WAVES, BAD, GOOD = 5, 20_000, 200


def flood(settings: Settings, wave: int) -> None:
    """99 of 100 messages are broken; the good ones stand among them in the same partitions."""
    producer = Producer(client.producer_config(settings))
    topic = topics.ingest_topic(settings, "events")
    for number in range(wave * BAD, (wave + 1) * BAD):
        producer.produce(topic, b'{"message": "%d' % number, b"ada", partition=number % 2)
        if number % (BAD // GOOD) == 0:
            producer.produce(topic, json.dumps(record(number)).encode(), b"bell", partition=number % 2)
        if number % 5000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def set_aside(sorter: Worker) -> int:
    _, page = sorter.get("/metrics")
    counts = re.findall(r'^logflume_sort_deadletter_rows_total{dataset="events",reason="not-json"} (\S+)', page, re.M)
    return int(float(counts[0])) if counts else 0


def test_a_flood_of_poison_neither_stalls_the_good_nor_fills_memory(settings: Settings, worker: StartWorker) -> None:
    topics.apply(settings)
    sorter = worker("sort", settings)
    memory = []
    for wave in range(WAVES):
        flood(settings, wave)
        until(lambda done=(wave + 1) * BAD: set_aside(sorter) >= done, 90, "the flood is set aside", pause=0.2)
        memory.append(psutil.Process(sorter.pid).memory_info().rss)
    good = [f"m{number}" for number in range(0, WAVES * BAD, BAD // GOOD)]
    assert Counter(row[1] for row in read_sorted(settings, len(good))) == Counter(good)
    # A letter kept as an object takes some 600 bytes: four waves of them would be 48 MB. It grew by 18 MB on a busy
    # machine, where more is fetched at a time.
    assert memory[-1] - memory[0] < 32 << 20, memory
    letters = list(read_all(settings, Selection(tenant="ada"), bodies=False))
    assert len(letters) == WAVES * BAD
    assert len({(filed.partition, filed.offset) for filed in letters}) < WAVES * BAD / 20
