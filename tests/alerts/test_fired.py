"""Alerts of a running stack, each fired by its cause and seen to resolve, in a fiftieth of the real time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from logflume.drill.rogue import Rogue
from logflume.watch.alerts.catalogue import ALERTS
from tests.support.fired import fires
from tests.support.services import Run
from tests.support.waiting import until
from tests.support.watched import Watched, watching

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def watched(run: Run) -> Iterator[Watched]:
    with watching(
        run.folder / f"watched-{secrets.token_hex(3)}",
        status_seconds=1.0,
        watch_seconds=1.0,
        stall_seconds=5.0,
        sink_flush_age_seconds=1.0,
        local_carers=0,
        local_explorers=0,
    ) as made:
        yield made


def test_all_is_quiet_on_a_good_day(watched: Watched) -> None:
    """What fires while the stack starts ends, and then nothing fires any more."""
    watched.resolves(*(each.name for each in ALERTS))
    for _ in range(10):
        watched.pause()
        assert watched.firing() == set()


@fires("a sorter that hangs (SIGSTOP)", "LagGrows", "NeverCatchesUp", "CommitStalled", "WorkerSilent")
def test_a_sorter_that_hangs(watched: Watched) -> None:
    late = ("LagGrows", "NeverCatchesUp", "CommitStalled", "WorkerSilent")
    with watched.hanging("sort-1"):
        watched.fires(*late)
    watched.resolves(*late)


@fires("the object store stopped", "StoreFails")
def test_a_store_that_is_down(watched: Watched) -> None:
    with watched.without("seaweedfs"):
        watched.fires("StoreFails")
    watched.resolves("StoreFails")


@fires("a flood of what can not be read (drill poison-flood)", "DeadLetterFlood")
def test_a_flood_of_what_can_not_be_read(watched: Watched) -> None:
    producer = Producer({"bootstrap.servers": watched.settings.kafka_bootstrap})
    for _ in range(40):
        for _ in range(20):
            watched.produce(producer, b"{no json")
        producer.flush(10)
        if "DeadLetterFlood" in watched.firing():
            break
        watched.pause()
    watched.fires("DeadLetterFlood")
    letters = 'logflume_worker_deadletter_rows_total{job="logflume", kind="sort", reason="not-json"} > 0'
    until(lambda: watched.ask(letters), 60, "the watch's count of them")
    watched.resolves("DeadLetterFlood")


@fires("a blank configuration (drill blank-config)", "ConfigurationRefused")
def test_a_blank_configuration(watched: Watched) -> None:
    Rogue(watched.settings).blank()
    watched.fires("ConfigurationRefused")
    watched.resolves("ConfigurationRefused")


@fires("a watch that hangs (SIGSTOP)", "WatchAbsent")
def test_a_watch_that_hangs(watched: Watched) -> None:
    with watched.hanging("watch-1"):
        watched.fires("WatchAbsent")
    watched.resolves("WatchAbsent")
