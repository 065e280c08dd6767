"""What a look of the watch costs, by partitions: its CPU, the broker's, the time it takes, and what a scrape gives.

``python -m benchmarks.watching 1000 2500 5000 10000 --bytes 1000`` starts a broker of its own and grows one topic; each
partition has a message a look, of so many bytes. A formula is fitted to what was measured, and read off at 10,000.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from prometheus_client import generate_latest
from rich.console import Console
from rich.table import Table

from benchmarks.measure import cpu
from logflume import metrics
from logflume.clock import SystemClock
from logflume.kafka import client, topics
from logflume.local.kafka import Broker
from logflume.settings import Settings, cache_home
from logflume.watch import exporter, looking
from logflume.watch.look import Look

SIZES = (500, 1000, 2000)
WANTED = 10_000
LOOKS = 10
MESSAGES = LOOKS + 1
MESSAGE_BYTES = 50_000
WARM_LOOKS = 30
_BROKER_MEGABYTES = 2048
"""Of heap: the local broker's own, 512, is for hundreds of partitions."""
_COMMITTED_AT_ONCE = 2500
"""Kafka writes the offsets of a request as one batch, which must stay below ``message.max.bytes``, 1 MB."""
_GROW_SECONDS = 300.0
_FOLDER = Path(__file__).parents[1] / "build" / "watching"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one look, or one scrape."""

    case: str
    partitions: int
    wall_seconds: float
    cpu_seconds: float
    broker_seconds: float
    scrape_seconds: float
    scrape_bytes: int


def run(folder: Path, sizes: Sequence[int], size_bytes: int) -> list[Cost]:
    """Return what was measured, size by size."""
    shutil.rmtree(folder, ignore_errors=True)
    broker = Broker.new(folder / "kafka", cache_home(), _BROKER_MEGABYTES)
    process = broker.start()
    try:
        settings = Settings(kafka_bootstrap=broker.bootstrap, topics_profile="local", topic_prefix="w.")
        admin = client.admin(settings)
        topics.apply(settings)
        topic = topics.ingest_topic(settings, "events")
        found = []
        _fill(settings, admin, topic, sizes[0], size_bytes)
        _warm(settings, admin, topic, sizes[0])
        for size in sizes:
            if size > sizes[0]:
                _fill(settings, admin, topic, size, size_bytes)
            found += _measure(settings, admin, topic, size, lambda: cpu(process.pid))
        return found
    finally:
        process.stop(30)


def _fill(settings: Settings, admin: AdminClient, topic: str, size: int, size_bytes: int) -> None:
    before = topics.partitions(admin, [topic])[topic]
    client.answer(admin.create_partitions([NewPartitions(topic, size)])[topic], topic)
    deadline = time.monotonic() + _GROW_SECONDS
    while topics.partitions(admin, [topic])[topic] < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic} has not grown to {size} partitions")
        time.sleep(0.2)
    producer = Producer(client.producer_config(settings))
    for _ in range(MESSAGES):
        for partition in range(before if before > 8 else 0, size):
            producer.produce(topic, b"x" * size_bytes, partition=partition)
            producer.poll(0)
        if producer.flush(_GROW_SECONDS):
            raise TimeoutError(f"Kafka did not take what {size} partitions of {topic} get")


def _commit(settings: Settings, admin: AdminClient, topic: str, size: int, offset: int) -> None:
    group = settings.sort_group
    for first in range(0, size, _COMMITTED_AT_ONCE):
        partitions = range(first, min(first + _COMMITTED_AT_ONCE, size))
        places = [TopicPartition(topic, partition, offset) for partition in partitions]
        client.answer(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group], group)


def _warm(settings: Settings, admin: AdminClient, topic: str, size: int) -> None:
    """A broker's first answers cost ten times as much: Java compiles."""
    look = looking.build(settings, SystemClock())
    for at in range(WARM_LOOKS):
        _commit(settings, admin, topic, size, at % MESSAGES)
        look.look()
    look.close()


def _measure(settings: Settings, admin: AdminClient, topic: str, size: int, broker: Callable[[], float]) -> list[Cost]:
    found = []
    for case, searches, moves in (
        ("nobody behind", 0, False),
        ("all behind, offsets stand", 1 << 30, False),
        ("all behind and moving, 256 asked about", 256, True),
        ("all behind and moving, all asked about", 1 << 30, True),
    ):
        _commit(settings, admin, topic, size, MESSAGES if case == "nobody behind" else 0)
        look = looking.build(settings, SystemClock(), searches=searches)
        seen = look.look()  # clients connect, the past is looked up once
        walls, cpus, brokers = [], [], []
        for at in range(LOOKS):
            if moves:
                _commit(settings, admin, topic, size, 1 + at)
            before, used, began = broker(), time.process_time(), time.monotonic()
            seen = look.look()
            walls.append(time.monotonic() - began)
            cpus.append(time.process_time() - used)
            brokers.append(broker() - before)
        look.close()
        scrape = _scrape(seen)
        found.append(Cost(case, size, *(float(np.median(each)) for each in (walls, cpus, brokers)), *scrape))
    return found


def _scrape(look: Look) -> tuple[float, int]:
    began = time.process_time()
    exporter.show(look)
    text = generate_latest(metrics.REGISTRY)
    return time.process_time() - began, len(text)


def main() -> None:
    """Measure, print, and fit."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="partitions, rising")
    parser.add_argument("--bytes", type=int, default=MESSAGE_BYTES, help="of a message")
    given = parser.parse_args()
    found = run(_FOLDER, given.sizes, given.bytes)
    shown = Table("case", "partitions", "look s", "CPU s", "broker CPU s", "scrape CPU s", "scrape MB")
    for case in dict.fromkeys(cost.case for cost in found):
        of = [cost for cost in found if cost.case == case]
        for cost in of:
            shown.add_row(case, str(cost.partitions), *_figures(cost))
        if len(of) > 1:
            shown.add_row(case, f"{WANTED} (by formula)", *_figures(_at(of, WANTED)))
            a, b = _formula([cost.partitions for cost in of], [cost.cpu_seconds for cost in of])
            shown.add_row(case, "n", "", f"{a * 1e3:.3f} ms n + {b * 1e6:.4f} µs n²", "", "", "")
    Console(width=140).print(shown)


def _at(of: Sequence[Cost], partitions: int) -> Cost:
    """Read the formula that fits the measured costs off at so many partitions."""
    sizes = [cost.partitions for cost in of]

    def there(values: Sequence[float]) -> float:
        a, b = _formula(sizes, values)
        return a * partitions + b * partitions**2

    return Cost(
        of[0].case,
        partitions,
        there([cost.wall_seconds for cost in of]),
        there([cost.cpu_seconds for cost in of]),
        there([cost.broker_seconds for cost in of]),
        there([cost.scrape_seconds for cost in of]),
        round(there([cost.scrape_bytes for cost in of])),
    )


def _formula(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """Return a and b of ``a n + b n²``, which fits best; the costs of 0 partitions are below what can be measured."""
    n = np.array(sizes, dtype=float)
    (a, b), *_ = np.linalg.lstsq(np.column_stack([n, n**2]), np.array(values), rcond=None)
    return float(a), float(b)


def _figures(cost: Cost) -> tuple[str, ...]:
    seconds = (cost.wall_seconds, cost.cpu_seconds, cost.broker_seconds, cost.scrape_seconds)
    return (*(f"{each:.3f}" for each in seconds), f"{cost.scrape_bytes / 1e6:.2f}")


if __name__ == "__main__":
    main()
