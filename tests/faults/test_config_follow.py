"""A worker that follows the configuration on a real Kafka, whatever stands there: the last good one stays in force."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from logflume.clock import SystemClock
from logflume.config import Origin
from logflume.config.follow import Follower
from logflume.config.last_good import NAME, LastGood
from logflume.config.manifest import KEY, Accepted, key_of
from logflume.errors import Unconfigured
from logflume.kafka import client, topics
from logflume.local.process import free_ports
from logflume.settings import Settings
from tests.conftest import SettingsFor, SharedKafka
from tests.support.followed_topic import Generation, Message, generation
from tests.support.waiting import until

TEN = [f"t{number}" for number in range(10)]
SOON = 30.0
"""Seconds within which a worker has what is good: 5 on a machine that has nothing else to do (benchmarks)."""

CHILD = """
import sys, time
from pathlib import Path
from logflume.clock import SystemClock
from logflume.config.follow import Follower
from logflume.settings import Settings
with Follower(Settings(), SystemClock()) as follower:
    print(follower.wait(30).generation, flush=True)
    deadline = time.monotonic() + 30
    while not Path(sys.argv[1]).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
"""


class Bare:
    """A producer that keeps no promise of ours, and an operator who may do anything to the topic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topics.config_topic(settings)
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})

    def create(self) -> None:
        config = {"cleanup.policy": "compact,delete", "retention.ms": "-1"}  # or nobody could empty it
        new = NewTopic(self._topic, 1, 1, config=config)
        self._admin.create_topics([new])[self._topic].result(30)
        until(lambda: self._topic in topics.present(self._admin, [self._topic]), what="the topic")

    def delete(self) -> None:
        self._admin.delete_topics([self._topic])[self._topic].result(30)
        until(lambda: self._topic not in topics.present(self._admin, [self._topic]), what="the topic to be gone")

    def empty(self) -> None:
        place = TopicPartition(self._topic, 0, -1)
        self._admin.delete_records([place])[place].result(30)

    def send(self, messages: Sequence[Message]) -> None:
        producer = Producer(client.producer_config(self._settings))
        for key, value in messages:
            producer.produce(self._topic, value, key, partition=0)
        assert producer.flush(30) == 0

    @contextmanager
    def transaction(self, messages: Sequence[Message]) -> Iterator[Producer]:
        """Messages that are there and not committed; in the end they are given up."""
        producer = Producer(client.producer_config(self._settings) | {"transactional.id": f"{self._topic}-bare"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for key, value in messages:
            producer.produce(self._topic, value, key, partition=0)
        assert producer.flush(30) == 0
        yield producer
        producer.abort_transaction(30)


@pytest.fixture
def followed(kafka: SharedKafka, settings_for: SettingsFor, tmp_path: Path) -> Settings:
    settings = settings_for(kafka, tenants_dir="", store_url=f"file://{tmp_path}/store")
    Bare(settings).create()
    return settings


def following(settings: Settings, **more: object) -> Follower:
    return Follower(settings, SystemClock(), **more)  # type: ignore[arg-type]


def has(follower: Follower, number: int) -> bool:
    try:
        return follower.current().generation == number and not follower.state().refused
    except Unconfigured:
        return False


def test_whatever_is_forged_on_the_topic_or_done_to_it_the_last_good_one_stays_until_there_is_a_better(
    followed: Settings,
) -> None:
    bare = Bare(followed)
    number = 0

    def good(follower: Follower, names: Sequence[str] = TEN) -> Generation:
        nonlocal number
        number += 1
        found = generation(number, names, principal=f"User:{number}")
        bare.send([(key_of("more"), None), *found.messages])
        until(lambda: has(follower, number), SOON, f"generation {number}: {follower.state()}")
        return found

    def refused(follower: Follower, text: str) -> None:
        until(lambda: text in follower.state().refused, SOON, f"{text}: {follower.state()}")
        assert follower.current().generation == number

    with following(followed) as follower:
        good(follower)
        bare.send(generation(number + 1, [*TEN, "more"]).messages[1:])
        refused(follower, "not whole")
        good(follower)

        bare.send([(key_of("t0"), generation(1, ["t0"], principal="User:x").values["t0"])])
        refused(follower, "not whole")
        good(follower)

        broken = generation(number + 1, TEN)
        broken.values["t3"] = b"rubbish"
        whole = broken.assembly().hash
        told = broken.manifest.__class__(number + 1, whole, 10, 10, 0, 1, 1, "me", "why")
        bare.send(Generation(told, broken.values).messages)
        refused(follower, "t3")
        good(follower)

        bare.send([(KEY, b"rubbish")])
        refused(follower, "manifest")
        good(follower)

        blank = generation(number + 1, [], [Accepted(number + 1, 10, 0, "me", "why")]).messages
        bare.send([*((key_of(name), None) for name in TEN), *blank])
        refused(follower, "blank")
        good(follower)

        shrunk = generation(number + 1, TEN[3:])
        bare.send([*((key_of(name), None) for name in TEN[:3]), *shrunk.messages])
        refused(follower, "takes away 3 of the 10")
        good(follower)

        bare.send(generation(number - 1, TEN, principal="User:x").messages)
        refused(follower, "never goes back")
        good(follower)

        with bare.transaction(generation(number + 5, ["forged"]).messages[:1]):
            assert not follower.state().refused
        good(follower)

        bare.empty()
        good(follower, TEN[1:])  # nobody can say that t0 is gone, but by reading from the start
        bare.delete()
        bare.create()
        assert follower.current().generation == number
        good(follower)
        kept = LastGood(Path(followed.state_dir) / "config").path.parent
        assert [file.name for file in kept.rglob(NAME)] == [NAME]


def test_a_start_without_kafka_takes_the_disks_then_the_stores_and_kafkas_as_soon_as_it_is_there(
    followed: Settings, settings_for: SettingsFor, tmp_path: Path
) -> None:
    shared = {"config_dir": str(tmp_path / "config")}
    here = followed.model_copy(update=shared)
    away = followed.model_copy(update=shared | {"kafka_bootstrap": f"127.0.0.1:{free_ports(1)[0]}"})
    with following(away, patience_seconds=0.1) as follower, pytest.raises(Unconfigured, match="no configuration yet"):
        follower.wait(1)
    Bare(followed).send(generation(3, TEN).messages)
    with following(here) as follower:
        assert follower.wait(SOON).generation == 3
        disk = LastGood(tmp_path / "config")
        until(disk.path.exists, what="the disk's copy")
    with following(away, patience_seconds=0.1) as follower:
        assert follower.wait(SOON).generation == 3
        assert follower.state().origin is Origin.DISK
    disk.path.write_bytes(disk.path.read_bytes()[:-1])
    with following(away, patience_seconds=0.1) as follower, pytest.raises(Unconfigured):
        follower.wait(1)
    with following(here) as follower:
        assert follower.wait(SOON).generation == 3
        until(lambda: disk.read() is not None, what="the broken copy to be replaced")


def test_a_worker_killed_while_it_writes_the_disks_copy_leaves_the_one_before_or_none(
    followed: Settings, tmp_path: Path
) -> None:
    settings = followed.model_copy(update={"config_dir": str(tmp_path / "config")})
    disk = LastGood(tmp_path / "config")

    def child(until_there: Path, **more: str) -> int:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGFLUME_")}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(until_there)], env=environment | settings.environment() | more, timeout=60
        )
        return done.returncode

    Bare(followed).send(generation(1, TEN).messages)
    assert child(tmp_path / "never", LOGFLUME_CRASH_AT="config.kept") == 137
    assert disk.read() is None
    assert child(disk.path) == 0
    Bare(followed).send(generation(2, TEN).messages)
    assert child(tmp_path / "never", LOGFLUME_CRASH_AT="config.kept") == 137
    kept = disk.read()
    assert kept is not None
    assert kept[1].whole(kept[0]).generation == 1
