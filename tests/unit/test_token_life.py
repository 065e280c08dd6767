"""A token's end, and its scopes, at every way in: no connection, body or remembered answer outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from typing import Any

import pytest

from logflume.clock import ManualClock
from logflume.edge.rates import Pacing
from logflume.edge.syslog.feed import Feed
from logflume.edge.syslog.framing import Frame
from logflume.model import Configuration, Scope, Token
from logflume.model.token import digest
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, OTHER_TOKEN, TOKEN, FixedSource, HttpEdge, http_edge
from tests.support.waiting import until

LINE = b'{"message":"m"}\n'


def only(*scopes: Scope, expires_ns: int = 0) -> tuple[Token, ...]:
    return (Token("k1", digest(TOKEN), scopes=frozenset(scopes), expires_ns=expires_ns),)


def revoke(edge: HttpEdge) -> None:
    edge.source.change("acme", tokens=())


def expire(edge: HttpEdge) -> None:
    edge.source.change("acme", tokens=only(Scope.INGEST, expires_ns=edge.clock.now_ns() + 10**9))
    assert edge.post(LINE).status_code == 200
    assert isinstance(edge.clock, ManualClock)
    edge.clock.advance(1)


ENDS = pytest.mark.parametrize("end", [revoke, expire])


@ENDS
def test_the_next_request_with_a_token_at_its_end_is_refused_also_on_the_same_connection(
    end: Callable[[HttpEdge], None],
) -> None:
    with http_edge(by_hand=True) as edge:
        assert edge.post(LINE).status_code == 200
        end(edge)
        before = len(edge.producer.log)
        assert edge.post(LINE).status_code == 401
        assert edge.request("POST", "/services/collector", content=b'{"event":"x"}').status_code == 403
        assert edge.request("POST", "/_bulk", content=b'{"index":{}}\n{"message":"m"}\n').status_code == 401
        assert edge.request("GET", "/").status_code == 401
        assert edge.post(LINE, token=OTHER_TOKEN).status_code == 200
        assert len(edge.producer.log) == before + 1


@ENDS
def test_an_answer_that_is_remembered_is_not_told_to_a_token_at_its_end(end: Callable[[HttpEdge], None]) -> None:
    with http_edge(by_hand=True) as edge:
        key = {"Idempotency-Key": "one"}
        assert edge.post(LINE, headers=key).status_code == 200
        assert edge.post(LINE, headers=key).status_code == 200
        end(edge)
        assert edge.post(LINE, headers=key).status_code == 401


@ENDS
def test_a_body_that_takes_longer_than_its_token_lives_is_not_taken(end: Callable[[HttpEdge], None]) -> None:
    with http_edge(by_hand=True) as edge:

        async def body() -> AsyncIterator[bytes]:
            yield LINE
            if end is revoke:
                revoke(edge)
            else:
                edge.source.change("acme", tokens=only(Scope.INGEST, expires_ns=edge.clock.now_ns()))
            await asyncio.sleep(0)
            yield LINE

        assert edge.post(body()).status_code == 401
        edge.client.flush()
        assert rows(edge.producer.log, DATASETS) == []


def test_a_dataset_that_is_taken_away_while_a_body_comes_is_not_taken() -> None:
    with http_edge() as edge:

        async def body() -> AsyncIterator[bytes]:
            yield LINE
            edge.source.change("acme", datasets={})
            yield LINE

        assert edge.post(body()).status_code == 403
        assert edge.gateway.unwanted.top() == [(("acme", "events", "unwanted"), 1)]


@pytest.mark.parametrize("scopes", [(Scope.QUERY,), (Scope.QUERY, Scope.ADMIN)])
def test_a_token_without_the_scope_ingest_sends_nothing_and_hears_which_scope_it_lacks(scopes: tuple[Scope]) -> None:
    with http_edge() as edge:
        edge.source.change("acme", tokens=only(*scopes))
        for path, content in (
            ("/v1/ingest/events", LINE),
            ("/_bulk", b'{"index":{}}\n{"message":"m"}\n'),
            ("/loki/api/v1/push", b"{}"),
            ("/v1/logs", b"{}"),
            ("/services/collector", b'{"event":"x"}'),
        ):
            answer = edge.request("POST", path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 403, path
            assert "lacks the scope ingest" in answer.text
        assert edge.producer.log == []


class Taker:
    """What the feed hands on."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []

    def log_ndjson(self, tenant: str, dataset: str, data: bytes) -> Any:
        self.lines.append((tenant, data))


class Sender:
    transport = "tcp"
    waits = True

    def __init__(self, tenant: str | None = None) -> None:
        self.tenant = tenant
        self.refused = False

    def refuse(self) -> None:
        self.refused = True

    def slow(self, wait: Callable[[], float]) -> None:
        raise AssertionError


def fed(source: Callable[[], Configuration], clock: ManualClock) -> tuple[Feed, Taker]:
    taker = Taker()
    feed = Feed(
        taker,
        source,
        dataset="events",
        zone=UTC,
        clock=clock,
        pacing=Pacing.free(clock),
        memory_bytes=1_000_000,
        pause=lambda: None,
        resume=lambda: None,
        failed=lambda _: None,
    )
    return feed, taker


MESSAGE = f'<14>1 - h a - - [logflume@32473 token="{TOKEN}"] hello'.encode()


@pytest.mark.parametrize("how", ["revoked", "expired", "scope"])
def test_a_syslog_stream_that_was_let_in_is_ended_with_the_next_message_of_a_token_at_its_end(how: str) -> None:
    source, clock, sender = FixedSource(), ManualClock(), Sender()
    source.change("acme", tokens=only(Scope.INGEST, expires_ns=clock.now_ns() + 1))
    feed, taker = fed(source.current, clock)
    feed.put(sender, "h", [Frame(MESSAGE, 0)], 1)
    until(lambda: taker.lines, what="the first message")
    assert not sender.refused
    if how == "expired":
        clock.advance(1)
    else:
        source.change("acme", tokens=() if how == "revoked" else only(Scope.QUERY))
    feed.put(sender, "h", [Frame(MESSAGE, 0)], 1)
    until(lambda: sender.refused, what="the end of the stream")
    assert feed.close(5) == 0
    assert len(taker.lines) == 1


def test_a_listeners_tenant_is_heard_only_while_it_wants_the_dataset() -> None:
    source, sender = FixedSource(), Sender("other")
    feed, taker = fed(source.current, ManualClock())
    wanted = source.now.tenants["other"].datasets
    source.change("other", datasets={})
    feed.put(sender, "h", [Frame(b"<14>first", 0)], 1)
    until(lambda: feed.size == 0, what="an empty feed")
    source.change("other", datasets=wanted)
    feed.put(sender, "h", [Frame(b"<14>second", 0)], 1)
    assert feed.close(5) == 0
    assert feed.unwanted.top() == [(("other", "events", "unwanted"), 1)]
    assert b"first" not in b"".join(data for _, data in taker.lines)
    assert b"second" in b"".join(data for _, data in taker.lines)
