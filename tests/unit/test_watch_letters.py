"""Dead letters by reason: what workers tell, and what a watch makes of it (DL1 to DL3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from logflume import metrics
from logflume.block import reasons
from logflume.clock import ManualClock
from logflume.edge import telling as edge
from logflume.kafka.status import Condition, Identity, InForce, Seen, Status
from logflume.settings import Settings
from logflume.sink import telling as sink
from logflume.sort import telling as sort
from logflume.watch.letters import KINDS, OTHER, Letters

SETTINGS = Settings(kafka_bootstrap="nowhere:1")


def seen(kind: str, started_ms: int = 0, id: str = "w", **letters: int) -> Seen:
    told = tuple((reason.replace("_", "-"), rows) for reason, rows in letters.items())
    worker = Identity(kind, id, "host", 1, "0", started_ms)
    return Seen(Status(worker, Condition(dead_letters=told), time_ms=1, period_seconds=2.0), 0.5)


def counted() -> dict[tuple[str, str], float]:
    name = "logflume_worker_deadletter_rows_total"
    samples = (sample for family in metrics.WORKER_DEADLETTERS.collect() for sample in family.samples)
    return {(s.labels["kind"], s.labels["reason"]): s.value for s in samples if s.name == name}


@pytest.fixture
def risen() -> Callable[[], Mapping[tuple[str, str], float]]:
    """What has risen since the test began."""
    Letters()
    before = counted()
    return lambda: {at: value - before[at] for at, value in counted().items() if value != before[at]}


Risen = Callable[[], Mapping[tuple[str, str], float]]


def test_dl1_what_was_told_before_the_watch_looked_first_is_no_flood_of_now(risen: Risen) -> None:
    letters = Letters()
    letters.follow([seen("sort", not_json=7000)])
    assert risen() == {}
    letters.follow([seen("sort", not_json=7005)])
    letters.follow([seen("sort", not_json=7005)])
    assert risen() == {("sort", "not-json"): 5}


def test_dl2_a_worker_that_is_new_or_starts_again_counts_from_0(risen: Risen) -> None:
    letters = Letters()
    letters.follow([seen("sort", not_json=10)])
    letters.follow([seen("sort", 9, not_json=12), seen("edge", id="a", too_deep=2), seen("edge", id="b", too_deep=3)])
    letters.follow([seen("sort", 9, not_json=13), seen("edge", id="a", too_deep=2), seen("edge", id="b", too_deep=3)])
    assert risen() == {("sort", "not-json"): 13, ("edge", "too-deep"): 5}


def test_dl3_there_are_few_series_whatever_is_told_and_each_from_the_start(risen: Risen) -> None:
    letters = Letters()
    letters.follow([])
    letters.follow([seen("sink", what_ever=3, else_where=4, unwanted=1), seen("stranger", not_json=5)])
    assert risen() == {("sink", OTHER): 7, ("sink", "unwanted"): 1}
    assert set(counted()) == {(kind, reason) for kind in KINDS for reason in (*reasons.ALL, OTHER)}


def told(kind: str) -> dict[str, int]:
    """What a worker of the kind would tell now."""
    nothing: Any = SimpleNamespace(
        spool=None, trouble="", fill=0.0, restraint=SimpleNamespace(pressure=SimpleNamespace(because=""))
    )
    if kind == "edge":
        return dict(edge.condition(SETTINGS, nothing, InForce(), None).dead_letters)
    current = SimpleNamespace(generation=0, hash="", made_ns=0, longest_wait=0.0)
    source: Any = SimpleNamespace(current=lambda: current, state=lambda: SimpleNamespace(refused=""))
    if kind == "sort":
        made = sort.reporter(SETTINGS, source, ManualClock(), ready=lambda: None, stopped=list)
    else:
        health = cast(Any, SimpleNamespace(stopped={}, ready=lambda: None))
        tenants = cast(Any, SimpleNamespace(told=lambda most: ()))
        made = sink.reporter(SETTINGS, source, health, tenants, ManualClock())
    return dict(made._measure().dead_letters)


def test_each_kind_of_worker_tells_its_own_by_reason() -> None:
    before = {kind: told(kind) for kind in KINDS}
    metrics.EDGE_BAD_ROWS.labels("events", "not-json").inc(2)
    metrics.EDGE_BAD_ROWS.labels("http_requests", "not-json").inc(3)
    metrics.SORT_DEADLETTERS.labels("events", "no-tenant").inc(4)
    metrics.SORT_DEADLETTERS.labels("events", "retention").inc()  # a letter for a range
    metrics.SORT_LOST.labels("ingest.events").inc(50)
    metrics.SINK_UNWANTED.labels("events").inc(6)
    metrics.SINK_LOST.labels("events").inc(70)
    metrics.SINK_PARKED_LOST.labels("events").inc(8)
    risen = {
        kind: {reason: rows - before[kind].get(reason, 0) for reason, rows in told(kind).items()} for kind in KINDS
    }
    assert {kind: {reason: rows for reason, rows in of.items() if rows} for kind, of in risen.items()} == {
        "edge": {"not-json": 5},
        "sort": {"no-tenant": 4, "retention": 50},
        "sink": {"unwanted": 6, "retention": 78},
    }
