"""The whole pipeline as processes, for tests that break it: senders, sorters, sinks, the oracle and the judge."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from logflume.kafka import client, topics
from logflume.local.process import Process
from logflume.settings import PREFIX, SETTINGS_VARIABLE, TEST_PREFIX, Settings
from tests.support.oracle import TENANTS, Journal, Oracle
from tests.support.services import Run
from tests.support.sorted_log import want
from tests.support.verdict import Judge
from tests.support.waiting import until
from tests.support.worker import Worker

ROOT = Path(__file__).parents[2]
KILLED = 137
"""What a process leaves that ended at a crash point."""

AT_REST_SECONDS = 180.0
"""How long the pipeline may take to come to rest on a busy machine; it takes seconds."""

SHORT = {
    # A worker that is silent this long loses its partitions. The default of a minute would make the tests long.
    "sort_session_timeout_seconds": 6.0,
    "sink_session_timeout_ms": 6000,
    "sink_transaction_timeout_ms": 10_000,
    "sink_flush_age_seconds": 0.5,
}
"""Settings for fault tests."""

StartWorker = Callable[..., Worker]


@dataclass(frozen=True)
class Sender:
    """A client process, and its account."""

    process: Process
    journal: Journal

    def in_flight(self) -> int:
        """Records issued and not acknowledged."""
        issued, acked = self.journal.numbers()
        return len(issued) - len(acked)

    def acked(self) -> int:
        """Records acknowledged."""
        return len(self.journal.numbers()[1])


@dataclass
class Pipeline:
    """One test's pipeline; workers are ended by their fixture, senders by ``close``."""

    settings: Settings
    run: Run
    folder: Path
    start: StartWorker
    senders: list[Sender] = field(default_factory=list)
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By stage (edge, sort, sink): what its settings have otherwise."""

    def __post_init__(self) -> None:
        topics.apply(self.settings)
        want(self.settings, *TENANTS)
        self.oracle = Oracle(self.folder / "journals")
        self.judge = Judge(self.settings, self.oracle)

    def sort(self, **env: str) -> Worker:
        """Start a sorter."""
        return self.start("sort", self.of("sort"), env)

    def sink(self, command: str = "sink", **env: str) -> Worker:
        """Start a sink."""
        return self.start(command, self.of("sink"), env)

    def of(self, stage: str) -> Settings:
        """A stage's settings."""
        return self.settings.model_copy(update=dict(self.given.get(stage, {})))

    def send(self, limit: int | None = None, **env: str) -> Sender:
        """Start a client process that sends until it is stopped, or ``limit`` records."""
        journal = self.oracle.journal(f"s{len(self.senders)}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        kept |= {name: value for name, value in os.environ.items() if name.startswith(TEST_PREFIX)}
        # Behind whatever is in front: a mutated copy of the package must be found first (tests/mutations).
        path = os.pathsep.join(p for p in (os.environ.get("PYTHONPATH", ""), str(ROOT)) if p)
        environment = kept | self.of("edge").environment() | {SETTINGS_VARIABLE: os.devnull, "PYTHONPATH": path} | env
        command = [sys.executable, "-m", "tests.support.sender", str(journal.path)]
        log = self.folder / f"sender-{len(self.senders)}.log"
        process = self.run.start([*command, *([str(limit)] if limit else [])], log, environment)
        self.senders.append(Sender(process, journal))
        return self.senders[-1]

    def sent(self, limit: int) -> None:
        """Send ``limit`` records and wait until all are acknowledged."""
        sender = self.send(limit)
        assert sender.process.wait(120) == 0, sender.process.tail()
        assert sender.acked() == limit

    def until_working(self, worker: Worker, metric: str, least: float = 0.0, seconds: float = 120.0) -> None:
        """Wait until a worker's metric is above ``least``."""
        until(lambda: self.gauge(worker, metric) > least, seconds, f"{worker.name}: {metric} above {least}", pause=0.1)

    def members(self, group: str) -> dict[str, int]:
        """How many partitions each member of a group has; empty while Kafka does not say."""
        admin = client.admin(self.settings)  # named: an answer never comes once its client is gone
        try:
            described = admin.describe_consumer_groups([group], request_timeout=10)[group].result(20)
        except KafkaException:
            return {}
        return {m.member_id: len(m.assignment.topic_partitions) for m in described.members if m.assignment}

    @staticmethod
    def gauge(worker: Worker, name: str) -> float:
        """The sum of a metric's samples, from the worker's own /metrics; 0 when it does not answer."""
        lines = worker.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def finish(self, sender: Sender) -> None:
        """Let a sender finish its batch."""
        assert sender.process.alive(), sender.process.tail()
        sender.process.stop(240)
        assert not sender.in_flight(), sender.process.tail()

    def assert_at_rest(self, seconds: float = AT_REST_SECONDS) -> None:
        """Wait until every acknowledged record is at rest, then judge I1 to I4 and I6."""
        until(lambda: not self.judge.missing(), seconds, "every acknowledged record at rest", pause=1.0)
        complaints = self.judge.complaints()
        assert not complaints, "\n".join(complaints)

    def assert_exactly_once(self, seconds: float = AT_REST_SECONDS) -> None:
        """Wait until every acknowledged record is at rest, then judge I1 to I6."""
        self.assert_at_rest(seconds)
        self.judge.assert_committed_is_durable()

    def stored_rows(self) -> int:
        """Rows in all tables."""
        return int(self.judge.stored().num_rows)

    def close(self) -> None:
        """Kill the senders; the ends of their logs are shown when the test fails."""
        for sender in self.senders:
            sender.process.kill()
            print(f"--- sender (pid {sender.process.pid}), {sender.process.log}\n{sender.process.tail()}")


class Tended:
    """A worker under supervision: another is started when it ends itself, as its promise allows."""

    def __init__(self, pipeline: Pipeline, command: str) -> None:
        self._pipeline = pipeline
        self._command = command
        self.worker: Worker = pipeline.start(command, pipeline.of(command))
        self.codes: list[int | None] = []

    def tend(self) -> Worker:
        """Look after it once."""
        if not self.worker.alive():
            self.codes.append(self.worker.wait(5))
            self.worker = self._pipeline.start(self._command, self._pipeline.of(self._command))
        return self.worker


@pytest.fixture
def pipeline(settings: Settings, worker: StartWorker, run: Run, tmp_path: Path) -> Iterator[Pipeline]:
    """Topics, tenants, oracle and judge; no process runs yet."""
    made = Pipeline(settings.model_copy(update=SHORT), run, tmp_path, worker)
    yield made
    made.close()
