"""Kafka, the object store and Logflume's workers, started for one run of the bench and ended with it."""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logflume.errors import Retryable
from logflume.kafka import groups, topics
from logflume.local.kafka import Broker
from logflume.local.process import Process, free_ports
from logflume.local.store import ObjectStore
from logflume.settings import PREFIX, SETTINGS_VARIABLE, Settings, cache_home

BUCKET = "bench"
READY_SECONDS = 180.0  # reading the files of ten thousand tenants takes a while


@dataclass(frozen=True, slots=True)
class Services:
    """A running broker and object store."""

    folder: Path
    broker: Broker
    store: ObjectStore
    kafka_pid: int
    store_pid: int

    def settings(self, name: str, tenants: list[str], **overrides: Any) -> Settings:
        """Settings of a part of the bench: topics, groups, tables and tenants of its own; its topics are made."""
        folder = self.folder / name / "tenants"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for tenant in tenants:
            (folder / f"{tenant}.yaml").write_text(f"name: {tenant}\ndatasets:\n  http_requests:\n")
        values: dict[str, Any] = {
            "kafka_bootstrap": self.broker.bootstrap,
            "topics_profile": "local",
            "topic_prefix": f"{name}.",
            "sort_group": f"{name}-sort",
            "sink_group": f"{name}-sink",
            # Thousands begin at once here; what the cap does to them is the drills' to show.
            "sink_new_pairs_a_minute": 100_000,
            "sink_active_pairs": 100_000,
            "store_url": f"s3://{BUCKET}/{name}",
            "store_endpoint": self.store.endpoint,
            "store_access_key": self.store.access_key,
            "store_secret_key": self.store.secret_key,
            "tenants_dir": str(folder),
            "state_dir": str(self.folder / name / "state"),
            "log_level": "warning",
        }
        settings = Settings(**(values | overrides))
        topics.apply(settings)
        return settings


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Start both, in ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    broker = Broker.new(folder / "kafka", cache_home())
    store = ObjectStore.new(folder / "s3")
    kafka_process = broker.start()
    try:
        store_process = store.start(BUCKET)
        try:
            yield Services(folder, broker, store, kafka_process.pid, store_process.pid)
        finally:
            store_process.stop(2)
    finally:
        kafka_process.stop(20)


def environment(settings: Settings) -> dict[str, str]:
    """The variables of a process with exactly these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return clean | settings.environment() | {SETTINGS_VARIABLE: os.devnull}


@contextmanager
def worker(command: str, settings: Settings, folder: Path) -> Iterator[Process]:
    """``logflume <command>`` until the block ends, once it is ready."""
    [port] = free_ports(1)
    log = folder / settings.topic_prefix.strip(".") / f"{command.replace(' ', '-')}.log"
    program = str(Path(sys.executable).with_name("logflume"))
    process = Process.start([program, *command.split()], log, environment(settings) | {f"{PREFIX}HTTP_PORT": str(port)})
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(port):
            if not process.alive() or time.monotonic() > deadline:
                raise Retryable(f"logflume {command} is not ready; its log is {log}:\n{process.tail(30)}")
            time.sleep(0.2)
        yield process
    finally:
        process.stop(60)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_at_rest(settings: Settings, workers: list[Process], seconds: float = 180) -> None:
    """Until both groups have committed the ends of their topics; Retryable when a worker ends or it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        behind = sum(place.lag for place in groups.lag(settings) if place.offset is not None or place.lag)
        if not behind:
            return
        for process in workers:
            if not process.alive():
                raise Retryable(f"a worker ended; its log is {process.log}:\n{process.tail(30)}")
        if time.monotonic() > deadline:
            raise Retryable(f"{behind} messages are not at rest after {seconds:.0f} s")
        time.sleep(0.25)
