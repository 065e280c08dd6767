"""Plain records beyond their tenant's rate are told and counted; nothing becomes of it."""

from __future__ import annotations

import numpy as np

from logflume import contract, metrics
from logflume.clock import ManualClock
from logflume.config.tally import Place
from logflume.model import Configuration, Rates, Tenant, load
from logflume.settings import Settings
from logflume.sort.gather import Gatherer
from logflume.sort.policing import Policing
from tests.support.ingest import chunk, message

EVENTS = load(contract.find())["events"]


def policing(clock: ManualClock, **rates: Rates) -> Policing:
    configuration = Configuration(1, "", {name: Tenant(name, {}, rates=each) for name, each in rates.items()})
    return Policing(Settings(), lambda: configuration, clock)


def counted() -> float:
    return metrics.REGISTRY.get_sample_value("logflume_sort_over_rate_rows_total", {"dataset": "events"}) or 0.0


def test_what_is_beyond_a_tenants_rate_is_told_by_tenant_and_what_is_within_is_not() -> None:
    clock, before = ManualClock(), counted()
    police = policing(clock, acme=Rates(records_per_second=10, burst_seconds=1), other=Rates())
    owners, sizes = np.array([0, 0, 1, -1] * 5, np.int32), np.full(20, 100, np.int64)
    police.look("events", ["acme", "other"], owners, sizes)
    assert police.over.top() == []
    police.look("events", ["acme", "other"], owners, sizes)
    assert police.over.top() == [(Place("acme", "events", "over-rate"), 10)]
    assert counted() - before == 10
    clock.advance(1)
    police.look("events", ["acme", "other"], owners, sizes)
    assert police.over.top() == [(Place("acme", "events", "over-rate"), 10)]


def test_records_beyond_the_rate_are_gathered_as_ever() -> None:
    police = policing(ManualClock(), acme=Rates(bytes_per_second=1, burst_seconds=1))
    records = [message(number, b'{"message":"m"}', b"acme") for number in range(3)]
    for _ in range(2):
        assert Gatherer(EVENTS, policing=police).gather([chunk(records)]).batch.num_rows == 3
    assert police.over.top() == [(Place("acme", "events", "over-rate"), 3)]
