"""A tenant over its rate: refused by every protocol with the time to come again, and nothing of it is taken."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator

import pytest

from logflume.clock import ManualClock
from logflume.edge.http.refusal import Refusal
from logflume.model import Rates
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, OTHER_TOKEN, HttpEdge, http_edge

LINE = b'{"message":"m"}\n'  # 16 bytes
TEN = Rates(records_per_second=10, burst_seconds=1)


@pytest.fixture
def edge() -> Iterator[HttpEdge]:
    with http_edge(by_hand=True) as made:
        made.source.change("acme", rates=TEN)
        yield made


def stored(edge: HttpEdge) -> int:
    edge.client.flush()
    return len(rows(edge.producer.log, DATASETS))


def advance(edge: HttpEdge, seconds: float) -> None:
    assert isinstance(edge.clock, ManualClock)
    edge.clock.advance(seconds)


def test_t1_over_its_rate_a_tenant_hears_when_to_come_again_and_is_taken_then(edge: HttpEdge) -> None:
    assert edge.post(LINE * 10).status_code == 200
    answer = edge.post(LINE * 10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "tenant acme sends more than its rate" in answer.json()["error"]
    assert edge.post(LINE * 10, token=OTHER_TOKEN).status_code == 200
    assert stored(edge) == 20
    advance(edge, 1.0)
    assert edge.post(LINE * 10).status_code == 200
    assert stored(edge) == 30


def test_t1_bytes_are_limited_as_records_are(edge: HttpEdge) -> None:
    edge.source.change("acme", rates=Rates(bytes_per_second=16, burst_seconds=30))
    assert edge.post(LINE * 30).status_code == 200
    answer = edge.post(LINE * 20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "20")


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/v1/ingest/events", LINE, "application/x-ndjson"),
        ("/_bulk", b'{"index":{"_index":"events"}}\n{"message":"m"}\n', "application/x-ndjson"),
        (
            "/loki/api/v1/push",
            b'{"streams":[{"stream":{},"values":[["1700000000000000000","x"]]}]}',
            "application/json",
        ),
        ("/v1/logs", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}', "application/json"),
        ("/services/collector", b'{"event":"x"}', "application/json"),
        ("/services/collector/raw", b"x", "text/plain"),
    ],
)
def test_t1_every_protocol_says_429_and_retry_after(edge: HttpEdge, path: str, content: bytes, kind: str) -> None:
    headers = {"Content-Type": kind}
    assert edge.request("POST", path, content=content, headers=headers).is_success
    assert edge.post(LINE * 9).status_code == 200
    for sent in (content, streamed(content)):  # the second has no Content-Length
        answer = edge.request("POST", path, content=sent, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1"), answer.text
    assert stored(edge) == 10


async def streamed(content: bytes) -> AsyncIterator[bytes]:
    yield content


def test_t2_more_than_the_burst_is_refused_for_good(edge: HttpEdge) -> None:
    answer = edge.post(LINE * 11)
    assert answer.status_code == 413
    assert "may send 10 records" in answer.json()["error"]
    assert "Retry-After" not in answer.headers
    assert edge.post(LINE * 10).status_code == 200


def test_t3_what_came_to_nothing_costs_nothing(edge: HttpEdge) -> None:
    assert edge.post(LINE * 9 + b"rubbish\n", query="?atomic=true").status_code == 422
    assert edge.post(LINE * 10).status_code == 200


def test_t3_what_found_no_room_is_given_back_and_what_is_in_doubt_is_not(
    edge: HttpEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [Refusal(503, "no room"), Refusal(503, "perhaps", in_doubt=True)]

    async def land(*_: object) -> None:
        raise refusals.pop(0)

    with monkeypatch.context() as patched:
        patched.setattr(edge.gateway.landing, "land", land)
        assert edge.post(LINE * 10).status_code == 503
        assert edge.post(LINE * 10).status_code == 503
    assert edge.post(LINE).status_code == 429


def test_t4_a_body_that_is_too_much_by_its_length_is_not_received(edge: HttpEdge) -> None:
    edge.source.change("acme", rates=Rates(bytes_per_second=16, burst_seconds=10))
    assert edge.post(LINE * 10).status_code == 200
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(LINE)
        yield LINE

    assert edge.post(body(), headers={"Content-Length": "16"}).status_code == 429
    assert read == []
    packed = gzip.compress(LINE * 10)
    assert edge.post(packed, headers={"Content-Encoding": "gzip"}).status_code == 429


def test_a_repeated_key_costs_once(edge: HttpEdge) -> None:
    for _ in range(3):
        assert edge.post(LINE * 6, headers={"Idempotency-Key": "k"}).status_code == 200
    assert edge.post(LINE * 4).status_code == 200
    assert edge.post(LINE).status_code == 429


def test_new_rates_hold_from_the_next_request_on(edge: HttpEdge) -> None:
    assert edge.post(LINE * 10).status_code == 200
    assert edge.post(LINE).status_code == 429
    edge.source.change("acme", rates=Rates())
    assert edge.post(LINE * 1000).status_code == 200
