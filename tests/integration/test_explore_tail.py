"""Rows followed on a real Kafka: each that comes is told once, and a slow follower is nobody's trouble but its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from logflume.errors import Misconfigured, Refused, Retryable
from logflume.explore.engine.turns import Busy
from logflume.explore.match import Match
from logflume.explore.tail import hub as hubs
from logflume.explore.tail.follower import Follower, Lost, Wants
from logflume.explore.tail.hub import Hub
from logflume.model import Route
from logflume.model.route import places
from logflume.settings import Settings
from tests.support.sorted_log import EVENTS, few_partitions, produce_sorted, sorted_message
from tests.support.waiting import until
from tests.support.waiting_rows import DATASETS, Sorted, Wanting

SOURCE = Wanting("acme", "bell")


@pytest.fixture
def sorted_(settings: Settings, tmp_path: Path) -> Sorted:
    return Sorted(few_partitions(settings, tmp_path))


@pytest.fixture
def hub(sorted_: Sorted) -> Iterator[Hub]:
    with Hub(sorted_.settings, SOURCE, DATASETS) as hub:  # type: ignore[arg-type]
        yield hub


class Told:
    """A follower, and what it was told: messages, and what it lost."""

    def __init__(self, hub: Hub, tenant: str = "acme", *, q: str = "", after: Any = None, room: int = 1 << 30) -> None:
        self.there = threading.Event()
        self.messages: list[str] = []
        self.lost: list[int | None] = []
        wants = Wants(Match(None, q, EVENTS), 1, 1e9, room)
        self.follower = Follower(tenant, "events", wants, self.there.set)
        hub.follow(self.follower, after)

    def all(self) -> list[str]:
        while (found := self.follower.take()) is not None:
            if isinstance(found, Lost):
                self.lost.append(found.rows)
            else:
                self.messages += found["message"].to_pylist()
        return self.messages

    def until(self, messages: list[str]) -> None:
        until(lambda: self.all() == messages, 30, f"{messages[:3]} … as what was told")


def send(sorted_: Sorted, first: int, end: int, **more: Any) -> list[str]:
    rows = more.pop("rows", 2)
    produce_sorted(
        sorted_.settings,
        more.pop("partition", sorted_.home),
        [sorted_message({"acme": rows, "bell": 1}, offset, **more) for offset in range(first, end)],
    )
    return [f"m{offset}.{row}" for offset in range(first, end) for row in range(rows)]


def test_th1_rows_that_come_are_told_once_and_what_was_there_before_is_not(sorted_: Sorted, hub: Hub) -> None:
    send(sorted_, 0, 3)
    one = Told(hub)
    first = send(sorted_, 3, 6)
    again = send(sorted_, 4, 8, session="next")
    one.until([*first, *again[4:]])
    two, other = Told(hub), Told(hub, q="m9.1")
    last = send(sorted_, 8, 10)
    one.until([*first, *again[4:], *last])
    two.until(last)
    other.until(["m9.1"])
    assert len(hub._readers) == 1  # one for all of them


def test_th1_rows_are_told_wherever_the_tenant_is_routed(sorted_: Sorted) -> None:
    routes = (Route(1, 2, "t", (5,)),)
    lying = sorted(places("events", "acme", routes, sorted_.partitions))
    with Hub(sorted_.settings, Wanting("acme", "bell", routes=routes), DATASETS) as hub:  # type: ignore[arg-type]
        one = Told(hub)
        for number, partition in enumerate(lying):
            send(sorted_, number, number + 1, partition=partition, ingest_partition=number, rows=1)
        until(lambda: sorted(one.all()) == ["m0.0", "m1.0"], 30)


def test_th2_a_follower_that_takes_nothing_holds_up_nobody_and_learns_how_much_it_lost(
    sorted_: Sorted, hub: Hub
) -> None:
    stuck, quick = Told(hub, room=100_000), Told(hub)
    sent = send(sorted_, 0, 20, rows=1_000)
    quick.until(sent)
    assert quick.lost == []
    until(lambda: len(stuck.all()) + sum(each or 0 for each in stuck.lost) == len(sent), 30)
    got = stuck.messages
    assert got == sent[: len(got)]
    assert 0 < len(got) < len(sent)
    assert stuck.lost == [len(sent) - len(got)]


def test_th3_what_nobody_follows_any_more_is_not_read_on(
    sorted_: Sorted, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "_LINGER_SECONDS", 0.0)
    one, two = Told(hub), Told(hub, "bell")
    hub.leave(one.follower)
    until(lambda: ("acme", "events") not in hub._channels, 30)
    send(sorted_, 0, 1)
    assert one.all() == []
    hub.leave(two.follower)
    until(lambda: not hub._channels, 30)
    three = Told(hub)
    three.until(send(sorted_, 1, 2))


def test_th4_a_hole_is_told_and_followed_past(sorted_: Sorted, hub: Hub) -> None:
    one = Told(hub)
    first = send(sorted_, 0, 1, rows=1)
    one.until([*first, *send(sorted_, 5, 7, rows=1, previous=(4, 0))])
    assert one.lost == [None]


def test_whoever_comes_back_gets_what_came_meanwhile_or_learns_that_it_is_gone(
    sorted_: Sorted, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Told(hub)
    one.until(send(sorted_, 0, 3))
    hub.leave(one.follower)
    stays = Told(hub)
    stays.until(send(sorted_, 3, 5))
    back = Told(hub, after=("ingest-topic-id", 0, 1, 0))
    back.until(["m1.1", "m2.0", "m2.1", "m3.0", "m3.1", "m4.0", "m4.1"])
    assert back.lost == []
    late = Told(hub, after=("ingest-topic-id", 0, 77, 0))
    late.until(send(sorted_, 5, 6))
    assert late.lost == [None]


def test_a_tenant_has_so_many_followers_and_no_more(sorted_: Sorted) -> None:
    two = sorted_.settings.model_copy(update={"explore_tail_followers": 2})
    with Hub(two, SOURCE, DATASETS) as hub:  # type: ignore[arg-type]
        first, _ = Told(hub), Told(hub)
        with pytest.raises(Busy, match="acme"):
            Told(hub)
        Told(hub, "bell")
        hub.leave(first.follower)
        Told(hub)


def test_what_can_not_be_followed_is_said(sorted_: Sorted, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub(sorted_.settings, Wanting("bell"), DATASETS) as hub, pytest.raises(Refused, match="does not keep"):  # type: ignore[arg-type]
        Told(hub)
    monkeypatch.setattr(hubs, "_BEGIN_SECONDS", 1.0)
    away = sorted_.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    with Hub(away, SOURCE, DATASETS) as hub, pytest.raises(Retryable):  # type: ignore[arg-type]
        Told(hub)
    without = sorted_.settings.model_copy(update={"kafka_bootstrap": ""})
    with Hub(without, SOURCE, DATASETS) as hub, pytest.raises(Misconfigured, match="LOGFLUME_KAFKA_BOOTSTRAP"):  # type: ignore[arg-type]
        Told(hub)


def test_the_end_of_the_hub_and_of_what_the_tenant_keeps_end_whoever_follows(sorted_: Sorted) -> None:
    source = Wanting("acme")
    with Hub(sorted_.settings, source, DATASETS) as hub:  # type: ignore[arg-type]
        one = Told(hub)
        source._now = Wanting("bell").current()
        until(lambda: one.follower.ended, 10)
        assert "does not keep" in one.follower.ended
        source._now = Wanting("acme").current()
        two = Told(hub)
    assert "ends" in two.follower.ended
