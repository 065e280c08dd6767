"""Files of a tenant over its rate wait; lines that nobody wants are read past, and counted."""

from __future__ import annotations

from pathlib import Path

from logflume.clock import ManualClock
from logflume.edge.forwarding import Forwarding
from logflume.edge.rates import Pacing, allowances
from logflume.edge.tail.gate import Gate
from logflume.model import Rates
from tests.support.http_edge import FixedSource, settings
from tests.support.tail import Tail, write

JSON = '{"message":"m"}'


def gated(source: FixedSource, clock: ManualClock) -> Gate:
    return Gate(Forwarding(source, clock), Pacing(allowances(settings(), source, clock), clock))


def test_tg1_a_tenant_over_its_rate_is_read_again_when_that_is_made_up_for(tmp_path: Path) -> None:
    source, clock = FixedSource(), ManualClock()
    source.change("acme", rates=Rates(records_per_second=10, burst_seconds=1))
    log = tmp_path / "a.log"
    write(log, *[JSON] * 30)
    tail = Tail(log, gate=gated(source, clock), format="json")
    assert len(tail.run()) == 30
    write(log, JSON)
    assert len(tail.run()) == 30
    assert not tail.follower.idle  # or --once would end with it unread
    clock.advance(1.9)
    assert len(tail.run()) == 30
    clock.advance(0.2)
    assert len(tail.run()) == 31
    assert tail.follower.idle


def test_tg1_other_tenants_files_are_read_meanwhile(tmp_path: Path) -> None:
    source, clock = FixedSource(), ManualClock()
    source.change("acme", rates=Rates(records_per_second=1, burst_seconds=1))
    gate = gated(source, clock)
    assert gate.passes("acme", "events", 10, 100)
    assert gate.waits("acme")
    assert not gate.waits("other")


def test_tg2_lines_that_nobody_wants_are_dropped_and_not_read_again(tmp_path: Path) -> None:
    source, clock = FixedSource(), ManualClock()
    wanted = source.now.tenants["acme"].datasets
    source.change("acme", datasets={})
    log = tmp_path / "a.log"
    write(log, JSON)
    tail = Tail(log, gate=gated(source, clock), format="json")
    assert tail.run() == []
    source.change("acme", datasets=wanted)
    write(log, '{"message":"wanted"}')
    tail.crash()
    assert tail.run() == ["wanted"]
