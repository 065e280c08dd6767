"""Syslog of a tenant over its rate: streams are not read until it is paid for, datagrams are counted, others go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC
from typing import Any

from logflume import metrics
from logflume.clock import ManualClock
from logflume.config.tally import Place
from logflume.edge.rates import Pacing, allowances
from logflume.edge.syslog.feed import Feed
from logflume.edge.syslog.framing import Frame
from logflume.edge.syslog.listen import Transport
from logflume.edge.syslog.stream import Stream
from logflume.model import Rates
from tests.support.http_edge import FixedSource, settings
from tests.support.waiting import until


class Taker:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def log_ndjson(self, tenant: str, dataset: str, data: bytes) -> Any:
        self.messages += [tenant] * data.count(b"\n")


class Sender:
    def __init__(self, tenant: str, *, waits: bool) -> None:
        self.tenant, self.waits, self.transport = tenant, waits, "tcp" if waits else "udp"
        self.slowed: list[Callable[[], float]] = []

    def refuse(self) -> None:
        raise AssertionError

    def slow(self, wait: Callable[[], float]) -> None:
        self.slowed.append(wait)


def lost() -> float:
    found = metrics.REGISTRY.get_sample_value("logflume_edge_syslog_refused_messages_total", {"reason": "rate"})
    return found or 0.0


def fed(clock: ManualClock) -> tuple[Feed, Taker, Pacing]:
    source, taker = FixedSource(), Taker()
    source.change("acme", rates=Rates(records_per_second=10, burst_seconds=1))
    pacing = Pacing(allowances(settings(), source, clock), clock)
    feed = Feed(
        taker,
        source.current,
        dataset="events",
        zone=UTC,
        clock=clock,
        pacing=pacing,
        memory_bytes=1_000_000,
        pause=lambda: None,
        resume=lambda: None,
        failed=lambda _: None,
    )
    return feed, taker, pacing


def test_sf5_a_stream_over_its_tenants_rate_is_slowed_until_it_is_paid_for_and_loses_nothing() -> None:
    clock = ManualClock()
    feed, taker, pacing = fed(clock)
    within, over, other = Sender("acme", waits=True), Sender("acme", waits=True), Sender("other", waits=True)
    feed.put(within, "h", [Frame(b"m", 0)] * 10, 1)
    until(lambda: len(taker.messages) == 10)
    feed.put(over, "h", [Frame(b"m", 0)] * 20, 1)
    feed.put(other, "h", [Frame(b"m", 0)] * 500, 1)
    assert feed.close(5) == 0
    assert (taker.messages.count("acme"), taker.messages.count("other")) == (30, 500)
    assert (within.slowed, other.slowed) == ([], [])
    (wait,) = over.slowed
    assert round(wait(), 3) == 2.0
    clock.advance(2)
    assert wait() == 0
    assert pacing.over.top() == [(Place("acme", "events", "over-rate by syslog"), 20)]


def test_sf5_datagrams_over_the_rate_are_dropped_and_counted_by_tenant() -> None:
    feed, taker, pacing = fed(ManualClock())
    before = lost()
    feed.put(Sender("acme", waits=False), "h", [Frame(b"m", 0)] * 25, 1)
    feed.put(Sender("other", waits=False), "h", [Frame(b"m", 0)] * 25, 1)
    assert feed.close(5) == 0
    assert (taker.messages.count("acme"), taker.messages.count("other")) == (10, 25)
    assert lost() - before == 15
    assert pacing.over.top() == [(Place("acme", "events", "over-rate by udp"), 15)]


class Wire(asyncio.Transport):
    """A transport that only remembers whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return False


def test_sf5_a_slowed_stream_is_read_again_when_its_rate_allows_and_nobody_else_asks_it_to_pause() -> None:
    left = [5.0]
    asked = threading.Event()

    def wait() -> float:
        asked.set()
        return left[0]

    async def play() -> None:
        feed, _, _ = fed(ManualClock())
        stream = Stream(
            Transport.TCP,
            "h",
            "acme",
            feed,
            limit=100,
            clock=ManualClock(),
            opened=lambda _: True,
            lost=lambda _: None,
        )
        wire = Wire()
        stream.connection_made(wire)
        await asyncio.to_thread(stream.slow, wait)
        await settled(lambda: not wire.reading)
        stream.pause()
        stream.resume()
        assert not wire.reading
        stream.pause()
        left[0] = 0.0
        asked.clear()
        await settled(asked.is_set)
        assert not wire.reading
        stream.resume()
        assert wire.reading
        stream.connection_lost(None)
        feed.close(5)

    asyncio.run(play())


async def settled(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition)
