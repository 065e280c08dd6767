"""kill -9 of client process, sorter and sink, at random under load: each acknowledged record is stored once.

``LOGFLUME_TEST_SEED`` replays a schedule, ``LOGFLUME_TEST_KILLS`` says how often each stage dies (``make soak``).
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest

from logflume.kafka import topics
from tests.support.oracle import DATASET
from tests.support.pipeline import Pipeline, Sender
from tests.support.worker import Worker

KILLS = int(os.environ.get("LOGFLUME_TEST_KILLS", "6"))
SEED = int(os.environ.get("LOGFLUME_TEST_SEED") or secrets.randbelow(1_000_000))
BEHIND = "logflume_sink_behind_bytes"
"""Bytes that a sink has read and not committed."""

PATIENCE_SECONDS = 2.0
"""How long a kill waits for work in flight; then it comes all the same, and counts as idle."""

P = TypeVar("P", Sender, Worker)


@dataclass
class Victim(Generic[P]):
    """One stage: how it is started, whether it works, and what of its work is in flight."""

    name: str
    begin: Callable[[], P]
    working: Callable[[P], float]
    in_flight: Callable[[P], float]
    process: P | None = None
    kill_at: float | None = None
    hit: list[bool] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return len(self.hit)


class Sorted:
    """What the present sorter has produced and not committed, in messages."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._before = 0

    def begin(self) -> Worker:
        """Start one, and note where its group stands."""
        self._before = self._committed()
        return self._pipeline.sort()

    def in_flight(self, worker: Worker) -> float:
        """Its own count of messages whose rows stand in sorted topics, less what was committed since it began."""
        done = self._pipeline.gauge(worker, "logflume_sort_messages_total")
        return max(0.0, done - (self._committed() - self._before))

    def _committed(self) -> int:
        topic = topics.ingest_topic(self._pipeline.settings, DATASET)
        return sum(self._pipeline.judge.committed(self._pipeline.settings.sort_group, topic).values())


@pytest.mark.timeout(150 + 60 * KILLS)
def test_kills_at_random_under_load_lose_nothing_and_repeat_nothing(pipeline: Pipeline) -> None:
    print(f"seed {SEED}: LOGFLUME_TEST_SEED={SEED} replays it")
    # A killed worker's partitions are free after this long: half of the time between kills is waiting for it.
    brief = {"sort_session_timeout_seconds": 3.0, "sink_session_timeout_ms": 3000, "sink_transaction_timeout_ms": 5000}
    pipeline.settings = pipeline.settings.model_copy(update=brief)
    random_ = random.Random(SEED)
    sorted_, gauge = Sorted(pipeline), pipeline.gauge
    victims: list[Victim[Any]] = [
        Victim("client", pipeline.send, lambda s: s.acked(), lambda s: s.in_flight()),
        Victim("sort", sorted_.begin, lambda w: gauge(w, "logflume_sort_rows_total"), sorted_.in_flight),
        Victim("sink", pipeline.sink, lambda w: gauge(w, BEHIND), lambda w: gauge(w, BEHIND)),
    ]
    for victim in victims:
        victim.process = victim.begin()
    while any(victim.kills < KILLS for victim in victims):
        for victim in victims:
            if victim.kills < KILLS:
                turn(victim, random_)
        time.sleep(0.05)
    for victim in victims:
        share = sum(victim.hit) / victim.kills
        print(f"{victim.name}: {victim.kills} kills, {sum(victim.hit)} with work in flight")
        assert share >= 0.5, f"{victim.name} was killed idle too often: the run shows little. Seed {SEED}"
    sender = victims[0].process
    assert isinstance(sender, Sender)
    pipeline.finish(sender)
    pipeline.assert_exactly_once()
    assert pipeline.oracle.acknowledged() > 0


def turn(victim: Victim[Any], random_: random.Random) -> None:
    """Once it works: choose a moment. When that has come: note what is in flight, kill it, begin another."""
    assert victim.process is not None
    process = victim.process.process
    assert process.alive(), f"{victim.name} ended by itself:\n{process.tail(40)}"
    now = time.monotonic()
    if victim.kill_at is None:
        if victim.working(victim.process):
            victim.kill_at = now + random_.uniform(0.0, 1.5)
    elif now >= victim.kill_at:
        size = victim.in_flight(victim.process)
        if not size and now < victim.kill_at + PATIENCE_SECONDS:
            return  # idle just now: the moment is a little later
        process.kill()
        victim.hit.append(size > 0)
        print(f"kill {victim.kills} of {victim.name} (pid {process.pid}): {size:.0f} in flight")
        victim.process, victim.kill_at = victim.begin(), None
