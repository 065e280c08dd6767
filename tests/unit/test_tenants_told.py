"""What is told of single tenants stays bounded, and nothing of it gets lost; how fresh the rows of a commit are."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.core import CollectorRegistry

from logflume import metrics
from logflume.clock import ManualClock
from logflume.kafka.status import OTHERS, Codec, Condition, Identity, Share, Status, bounded, merged
from logflume.metrics.metric import RowHistogram
from logflume.settings import Settings
from logflume.sink.flushes import Landing, Rested
from logflume.sink.freshness import Freshness, freshness
from logflume.sink.tenants import Tenants
from logflume.watch import exporter
from logflume.watch.look import Look

SHARES = st.lists(
    st.builds(
        Share,
        st.sampled_from([f"t{number}" for number in range(30)]),
        st.sampled_from(["events", "dns_logs"]),
        st.integers(0, 1000),
        st.floats(0, 1e6),
        st.integers(0, 1000),
        st.integers(0, 10**9),
        st.floats(0, 1e6),
    ),
    max_size=60,
    unique_by=lambda share: (share.tenant, share.dataset),
)


@given(SHARES, st.integers(0, 5))
def test_te1_few_are_named_those_with_most_and_the_sums_stay(shares: list[Share], most: int) -> None:
    told = bounded(shares, most)
    named = [share for share in told if share.tenant != OTHERS]
    assert len(named) <= 3 * most
    assert [share.tenant for share in told].count(OTHERS) <= 1
    for what in ("waiting_rows", "stored_rows", "stored_bytes"):
        assert sum(getattr(share, what) for share in told) == sum(getattr(share, what) for share in shares)
    for what in ("wait_seconds", "stored_bytes", "fresh_seconds"):
        best = sorted((getattr(share, what) for share in shares), reverse=True)[:most]
        assert [value for value in best if value > 0] == sorted(
            (value for share in named if (value := getattr(share, what)) > 0), reverse=True
        )[: len([value for value in best if value > 0])]
        worst = max((getattr(share, what) for share in told), default=0)
        assert worst >= max((getattr(share, what) for share in shares), default=0)


def test_what_several_sinks_tell_of_a_tenants_table_is_one() -> None:
    one = (Share("a", "events", 1, 5.0, 10, 100, 2.0), Share(OTHERS, OTHERS, 7, 1.0, 0, 5, 0.5))
    two = (Share("a", "events", 2, 3.0, 20, 200, 4.0), Share("b", "events", 0, 0.0, 1, 1, 0.1))
    assert merged((*one, *two), 1) == (
        Share("a", "events", 3, 5.0, 30, 300, 4.0),
        Share(OTHERS, OTHERS, 7, 1.0, 1, 6, 0.5),
    )


def test_what_a_sink_tells_is_read_again() -> None:
    codec = Codec(Settings(kafka_bootstrap="nowhere:1"))
    identity = Identity("sink", "a:1", "a", 7, "0.1", 5)
    told = Condition(tenants=(Share("a", "events", 1, 5.5, 10, 100, 2.0), Share(OTHERS, OTHERS, 7)))
    assert codec.read_status(identity.key, codec.status(Status(identity, told, 9, 2.0))).condition == told


def landing(tenant: str, rows: int, longest: float, *, job: bool = False) -> Landing:
    flush: Any = SimpleNamespace(
        pair=SimpleNamespace(tenant=tenant),
        partition=SimpleNamespace(dataset=SimpleNamespace(name="events")),
        flight=SimpleNamespace(intent=object() if job else None),
    )
    return Landing(flush, Rested(rows, 1, 10 * rows, 0, Freshness((), 0.0, longest)), None, 0.1)


def test_te2_bytes_are_of_the_last_whole_minute_and_freshness_is_told_at_once() -> None:
    clock = ManualClock()
    tenants = Tenants(clock)
    tenants.landed(landing("a", 5, 3.0))
    tenants.landed(landing("a", 5, 2.0))
    tenants.landed(landing("a", 7, 9.0, job=True))
    assert tenants.told(10) == (Share("a", "events", fresh_seconds=3.0),)
    clock.advance(61)
    assert tenants.told(10) == (Share("a", "events", stored_rows=10, stored_bytes=100, fresh_seconds=3.0),)
    clock.advance(200)
    assert tenants.told(10) == ()


def test_te3_who_waits_is_told_with_the_age_of_the_oldest_row_wherever_it_lies() -> None:
    clock = ManualClock()
    tenants, began_ms = Tenants(clock), clock.now_ns() // 1_000_000

    def partition(rows: int, since_ms: int, parked_ms: int) -> Any:
        pair = SimpleNamespace(tenant="a", rows=rows, flight=SimpleNamespace(rows=2), first_ms=since_ms)
        entry = SimpleNamespace(outlet=SimpleNamespace(tenant="b"), away=True, since_ms=parked_ms)
        dataset = SimpleNamespace(name="events")
        return SimpleNamespace(dataset=dataset, buffers=[pair], behind=SimpleNamespace(parking=[entry]))

    tenants.look([partition(3, began_ms - 4000, began_ms - 9000), partition(1, began_ms - 7000, 0)], 10.0)
    clock.advance(1)
    assert tenants.told(5) == (Share("b", "events", 0, 10.0), Share("a", "events", 8, 8.0))


@given(st.lists(st.floats(-10, 200_000), min_size=1, max_size=200))
def test_each_row_of_a_commit_counts_as_if_it_had_been_observed_alone(ages: list[float]) -> None:
    now = 10**18
    times = now - np.array([round(age * 1e9) for age in ages], dtype=np.int64)
    half = len(times) // 2
    received = pa.chunked_array(
        [pa.array(times[:half], pa.timestamp("ns", "UTC")), pa.array(times[half:], pa.timestamp("ns", "UTC"))]
    )
    found = freshness(received, now)
    assert found is not None
    bounds = metrics.SINK_SEARCHABLE.bounds
    alone = Histogram("h", "h", buckets=bounds, registry=None)
    for time in times:
        alone.observe(max(0.0, (now - int(time)) / 1e9))
    made = RowHistogram("h", "h", (), bounds, CollectorRegistry())
    made.add((), found.counts, found.total_seconds)
    [expected], [shown] = alone.collect(), made.collect()
    values = lambda family: {(s.name, s.labels.get("le")): s.value for s in family.samples if "created" not in s.name}  # noqa: E731
    assert values(shown).keys() == values(expected).keys()
    for name, value in values(expected).items():
        assert math.isclose(values(shown)[name], value, rel_tol=1e-9, abs_tol=1e-9), name
    assert found.longest_seconds == max(0.0, *((now - int(time)) / 1e9 for time in times), 0.0)


def test_the_watch_shows_tenants_by_name_and_the_others_as_other() -> None:
    tenants = (Share("a", "events", 3, 5.0, 30, 300, 4.0), Share(OTHERS, OTHERS, 7, 1.0, 1, 6, 0.5))
    exporter.show(Look(tenants=tenants))
    value = metrics.REGISTRY.get_sample_value
    assert value("logflume_tenant_lag_seconds", {"tenant": "a", "dataset": "events"}) == 5.0
    assert value("logflume_tenant_stored_bytes", {"tenant": "other", "dataset": "other"}) == 6
    exporter.show(Look())
    assert value("logflume_tenant_lag_seconds", {"tenant": "a", "dataset": "events"}) is None
