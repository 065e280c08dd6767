"""Our own way in by HTTP: formats, answers, limits; G1 to G3, B1, W1, K1 to K4 (see edge/http)."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import io
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fastavro
import httpx
import pyarrow as pa
import pytest

from logflume import metrics
from logflume.edge.http.ingest import MOST_TOLD
from tests.support.edge import blocks, letters, rows
from tests.support.http_edge import DATASETS, OTHER_TOKEN, TOKEN, HttpEdge, http_edge
from tests.support.producer import FakeProducer
from tests.support.waiting import until

RECORDS = [{"message": "one", "level": "info"}, {"message": "two", "odd": {"n": 12345678901234567890123}}]
NDJSON = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)


@pytest.fixture
def edge() -> Iterator[HttpEdge]:
    with http_edge() as made:
        yield made


def stored(edge: HttpEdge) -> list[tuple[str, dict[str, Any]]]:
    return rows(edge.producer.log, DATASETS)


def arrow(table: pa.Table, codec: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def avro(records: list[dict[str, Any]], codec: str = "null") -> bytes:
    fields = [{"name": name, "type": ["null", "string"], "default": None} for name in ("message", "level")]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, records, codec=codec)
    return file.getvalue()


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-ndjson", NDJSON),
        ("text/plain; charset=utf-8", NDJSON.rstrip()),
        ("", b"\n" + NDJSON + b"\r\n"),
        ("application/json", json.dumps(RECORDS, indent=2).encode()),
    ],
)
def test_records_are_stored_as_they_are_in_every_spelling_of_json(edge: HttpEdge, kind: str, body: bytes) -> None:
    answer = edge.post(body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (200, {"rows": 2, "errors": [], "errors_total": 0})
    assert stored(edge) == [("acme", record) for record in RECORDS]


@pytest.mark.parametrize("number", [-(2**63) - 1, -9_999_999_999_999_999_999, 2**64])
def test_an_integer_past_64_bits_keeps_its_digits_in_an_array_too(edge: HttpEdge, number: int) -> None:
    edge.post(b'[{"n":%d}]' % number, headers={"Content-Type": "application/json"})
    assert stored(edge) == [("acme", {"n": number})]


def test_one_object_is_one_record_over_as_many_lines_as_it_has(edge: HttpEdge) -> None:
    answer = edge.post(json.dumps(RECORDS[1], indent=4), headers={"Content-Type": "application/json"})
    assert answer.json()["rows"] == 1
    assert stored(edge) == [("acme", RECORDS[1])]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_avro_containers_are_read(edge: HttpEdge, codec: str) -> None:
    records = [{"message": str(number), "level": "info"} for number in range(500)]
    answer = edge.post(avro(records, codec), headers={"Content-Type": "application/avro"})
    assert answer.json() == {"rows": 500, "errors": [], "errors_total": 0}
    assert stored(edge) == [("acme", record) for record in records]


@pytest.mark.parametrize("count", [3, 5000])
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_arrow_streams_are_read(edge: HttpEdge, codec: str | None, count: int) -> None:
    table = pa.table({"message": [str(number) for number in range(count)], "n": pa.array(range(count))})
    answer = edge.post(arrow(table, codec), headers={"Content-Type": "application/vnd.apache.arrow.stream"})
    assert answer.json()["rows"] == count
    assert [record for _, record in stored(edge)] == table.to_pylist()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("zstd", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
        ("identity", bytes),
    ],
)
def test_bodies_are_unpacked(edge: HttpEdge, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert edge.post(pack(NDJSON * 1000), headers={"Content-Encoding": encoding}).json()["rows"] == 2000
    assert len(stored(edge)) == 2000


def test_bad_records_are_listed_by_line_and_kept_as_dead_letters_the_others_are_taken(edge: HttpEdge) -> None:
    answer = edge.post(b'{"message":"a"}\n\nnonsense\n[1]\n{"message":"b"}\n').json()
    assert answer["rows"] == 2
    assert [(error["line"], error["reason"]) for error in answer["errors"]] == [(3, "not-json"), (4, "not-object")]
    assert answer["errors_total"] == 2
    assert [record["message"] for _, record in stored(edge)] == ["a", "b"]
    assert [letter.raw for letter in letters(edge.producer.log, "logflume.deadletter")] == [b"nonsense", b"[1]"]


def test_elements_of_an_array_are_numbered_and_a_bad_one_costs_only_itself(edge: HttpEdge) -> None:
    body = b'[{"message":"a"}, 7, {"n":NaN}, {"s":"\\ud800"}]'
    answer = edge.post(body, headers={"Content-Type": "application/json"}).json()
    assert [(error["line"], error["reason"]) for error in answer["errors"]] == [(2, "not-object"), (3, "not-finite")]
    assert answer["rows"] == 2


def test_an_answer_lists_the_first_thousand_errors_and_counts_all(edge: HttpEdge) -> None:
    answer = edge.post(b"x\n" * (MOST_TOLD + 7)).json()
    assert [error["line"] for error in answer["errors"]] == list(range(1, MOST_TOLD + 1))
    assert answer["errors_total"] == MOST_TOLD + 7


def test_an_atomic_request_with_one_bad_record_leaves_nothing(edge: HttpEdge) -> None:
    answer = edge.post(NDJSON + b"nonsense\n", query="?atomic=true")
    assert answer.status_code == 422
    assert [(error["line"], error["reason"]) for error in answer.json()["errors"]] == [(3, "not-json")]
    edge.client.flush()
    assert not edge.producer.log
    assert edge.post(NDJSON, query="?atomic=true").json()["rows"] == 2


def test_an_atomic_request_with_a_record_that_may_fit_into_no_block_is_refused_too(edge: HttpEdge) -> None:
    answer = edge.post(NDJSON + b'{"message":"%s"}\n' % (b"x" * 600_000), query="?atomic=true")
    assert answer.status_code == 422
    assert [(error["line"], error["reason"]) for error in answer.json()["errors"]] == [(3, "too-large")]


def test_requests_that_come_together_become_one_block() -> None:
    with http_edge(edge_linger_seconds=0.5) as edge:

        async def together() -> list[httpx.Response]:
            return await asyncio.gather(
                *(edge.ask("POST", "/v1/ingest/events", content=b'{"message":"%d"}' % n) for n in range(50))
            )

        assert {answer.status_code for answer in edge.runner.run(together())} == {200}
        assert [header.rows for header, _ in blocks(edge.producer.log, DATASETS)] == [50]


# --- G2: durable first ------------------------------------------------------------------------------------------------


def test_g2_no_answer_before_kafka_has_it(edge: HttpEdge) -> None:
    edge.producer.away = True

    async def back_later() -> httpx.Response:
        asked = asyncio.ensure_future(edge.ask("POST", "/v1/ingest/events", content=NDJSON))
        while not edge.producer._waiting:
            await asyncio.sleep(0.01)
        assert not asked.done()
        edge.producer.back()
        return await asked

    assert edge.runner.run(back_later()).status_code == 200


def test_g2_when_kafka_is_silent_for_too_long_the_answer_is_503_and_says_that_they_may_come() -> None:
    with http_edge(FakeProducer(away=True), edge_timeout_seconds=0.2) as edge:
        answer = edge.post(NDJSON)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "still on their way" in answer.json()["error"]


def test_bodies_are_not_even_received_while_the_memory_is_nearly_full() -> None:
    with http_edge(FakeProducer(away=True), edge_memory_bytes=1000, edge_timeout_seconds=0.1) as edge:
        edge.post(b'{"message":"%s"}' % (b"x" * 950))

        async def never() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        answer = edge.post(never())
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "nearly full" in answer.json()["error"]


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"Splunk {TOKEN}", f"ApiKey {TOKEN}"])
def test_a_token_may_come_in_every_way_that_agents_have(edge: HttpEdge, authorization: str) -> None:
    assert edge.post(NDJSON, token="", headers={"Authorization": authorization}).status_code == 200


@pytest.mark.parametrize("scheme", ["Basic", "ApiKey"])
def test_a_token_may_be_the_second_of_a_pair(edge: HttpEdge, scheme: str) -> None:
    pair = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    assert edge.post(NDJSON, token="", headers={"Authorization": f"{scheme} {pair}"}).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer x", f"Digest {TOKEN}", "Basic !!", f"Bearer {TOKEN[:-1]}B", "Basic bGY="]
)
def test_without_a_good_token_nothing_is_read(edge: HttpEdge, authorization: str) -> None:
    answer = edge.post(NDJSON, token="", headers={"Authorization": authorization})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert TOKEN[5:20] not in answer.text


def test_a_dataset_that_the_tenant_does_not_want_is_refused_and_an_unknown_one_not_found(edge: HttpEdge) -> None:
    assert edge.post(NDJSON, "http_requests").status_code == 200
    refused = edge.post(NDJSON, "http_requests", token=OTHER_TOKEN)
    assert (refused.status_code, "http_requests" in refused.json()["error"]) == (403, True)
    assert edge.post(NDJSON, "nonsense").status_code == 404
    assert edge.request("POST", "/v2").status_code == 404
    assert edge.request("GET", "/v1/ingest/events").status_code == 405


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (415, {"headers": {"Content-Type": "image/png"}}),
        (415, {"headers": {"Content-Encoding": "br"}}),
        (400, {"headers": {"Content-Encoding": "gzip"}}),
        (400, {"headers": {"Content-Encoding": "gzip"}, "content": gzip.compress(NDJSON)[:-4]}),
        (400, {"headers": {"Content-Type": "application/json"}}),
        (400, {"headers": {"Content-Type": "application/json"}, "content": b'"text"'}),
        (400, {"headers": {"Content-Type": "application/json"}, "content": b"[" * 10_000}),
        (400, {"headers": {"Content-Type": "application/avro"}}),
        (400, {"headers": {"Content-Type": "application/avro"}, "content": avro(RECORDS[:1])[:-1]}),
        (400, {"headers": {"Content-Type": "application/vnd.apache.arrow.stream"}}),
        (400, {"query": "?atomic=perhaps"}),
        (400, {"headers": {"Idempotency-Key": "x" * 300}}),
        (413, {"content": b" " * 100_001}),
        (413, {"headers": {"Content-Encoding": "gzip"}, "content": gzip.compress(b" " * 200_001)}),
        (413, {"content": b"{}\n" * 1001}),
        (413, {"headers": {"Content-Type": "application/avro"}, "content": avro([{}] * 1001)}),
        (413, {"headers": {"Content-Type": "application/json"}, "content": b"[" + b"{}," * 30_000 + b"{}]"}),
    ],
)
def test_g3_what_is_refused_leaves_nothing_behind(status: int, options: dict[str, Any]) -> None:
    limits = {"edge_http_body_bytes": 100_000, "edge_http_unpacked_bytes": 200_000, "edge_http_records": 1000}
    with http_edge(**limits, edge_http_work_bytes=4_000_000) as edge:
        answer = edge.post(**({"content": NDJSON} | options))
        assert (answer.status_code, set(answer.json())) == (status, {"error"})
        assert (edge.gateway.work.used, edge.gateway.work.requests) == (0, 0)
        edge.client.flush()
        assert not edge.producer.log


def test_b1_a_body_of_unknown_length_is_bounded_as_it_comes(edge: HttpEdge) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 20
            yield b" " * (1 << 20)

    assert edge.post(endless()).status_code == 413
    assert sent <= 18 << 20


def test_b2_a_body_that_comes_too_slowly_is_answered_408() -> None:
    with http_edge(edge_http_body_seconds=0.2) as edge:

        async def stuck() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(20)

        assert edge.post(stuck()).status_code == 408
        assert edge.gateway.work.used == 0


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_b1_a_bomb_takes_no_more_memory_than_a_body_may(encoding: str) -> None:
    text = bytes(60_000_000)
    bomb = gzip.compress(text, 1) if encoding == "gzip" else pa.compress(text, codec="zstd", asbytes=True)
    del text
    with http_edge(edge_http_unpacked_bytes=5_000_000) as edge:
        tracemalloc.start()
        try:
            answer = edge.post(bomb, headers={"Content-Encoding": encoding})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 5_000_000 + len(bomb) * 3 + 3_000_000


def test_w1_one_tenant_may_not_have_all_memory_or_all_requests() -> None:
    with http_edge(FakeProducer(away=True), edge_http_requests=4, edge_timeout_seconds=20) as edge:

        async def crowd() -> tuple[list[httpx.Response], httpx.Response]:
            waiting = [asyncio.ensure_future(edge.ask("POST", "/v1/ingest/events", content=NDJSON)) for _ in range(2)]
            while edge.client.fill == 0 or edge.gateway.work.requests < 2:
                await asyncio.sleep(0.01)
            over = await edge.ask("POST", "/v1/ingest/events", content=NDJSON)
            other = asyncio.ensure_future(edge.ask("POST", "/v1/ingest/events", content=NDJSON, token=OTHER_TOKEN))
            while edge.gateway.work.requests < 3:
                await asyncio.sleep(0.01)
            edge.producer.back()
            return [*await asyncio.gather(*waiting), await other], over

        taken, over = edge.runner.run(crowd())
        assert (over.status_code, over.headers["Retry-After"]) == (429, "2")
        assert [answer.status_code for answer in taken] == [200, 200, 200]


def test_w1_what_would_never_fit_is_413_not_a_429_to_come_again() -> None:
    with http_edge(edge_http_work_bytes=1_000_000) as edge:
        assert edge.post(b'{"message":"%s"}' % (b"x" * 200_000)).status_code == 200
        assert edge.post(b'{"message":"%s"}' % (b"x" * 300_000)).status_code == 413  # sent, and its lines
        assert edge.gateway.work.used == 0


def test_b1_a_body_in_the_smallest_pieces_counts_what_these_take() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5_000):
            yield b" "

    with http_edge(edge_http_work_bytes=500_000) as edge:
        assert edge.post(pieces()).status_code == 413


def test_w1_more_requests_than_may_be_in_work_are_answered_503() -> None:
    with http_edge(FakeProducer(away=True), edge_http_requests=1, edge_http_tenant_share=1.0) as edge:

        async def two() -> httpx.Response:
            first = asyncio.ensure_future(edge.ask("POST", "/v1/ingest/events", content=NDJSON))
            while edge.gateway.work.requests < 1:
                await asyncio.sleep(0.01)
            second = await edge.ask("POST", "/v1/ingest/events", content=NDJSON)
            edge.producer.back()
            assert (await first).status_code == 200
            return second

        assert edge.runner.run(two()).status_code == 503


def test_g1_whatever_goes_wrong_is_a_500_of_that_request_alone(edge: HttpEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(edge.gateway.landing, "land", None)
        answer = edge.post(NDJSON)
    assert (answer.status_code, edge.gateway.work.requests) == (500, 0)
    assert edge.post(NDJSON).status_code == 200


# --- Idempotency-Key --------------------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "batch-1"}


def test_k2_a_request_sent_again_gets_its_answer_again_and_is_stored_once(edge: HttpEdge) -> None:
    first = edge.post(NDJSON + b"nonsense\n", headers=KEY)
    assert edge.post(NDJSON + b"nonsense\n", headers=KEY).json() == first.json()
    assert len(stored(edge)) == 2
    assert edge.post(NDJSON + b"nonsense\n", headers=KEY, token=OTHER_TOKEN).status_code == 200
    assert len(stored(edge)) == 4


def test_k1_a_second_waits_for_the_first_and_is_not_done(edge: HttpEdge) -> None:
    edge.producer.away = True

    async def both() -> list[httpx.Response]:
        asked = [
            asyncio.ensure_future(edge.ask("POST", "/v1/ingest/events", content=NDJSON, headers=KEY)) for _ in range(3)
        ]
        while not edge.producer._waiting or edge.gateway.work.requests < 3:
            await asyncio.sleep(0.01)
        edge.producer.back()
        return await asyncio.gather(*asked)

    assert [answer.json()["rows"] for answer in edge.runner.run(both())] == [2, 2, 2]
    assert len(stored(edge)) == 2


def test_k3_a_key_with_another_request_is_refused(edge: HttpEdge) -> None:
    edge.post(NDJSON, headers=KEY)
    assert edge.post(NDJSON * 2, headers=KEY).status_code == 422
    assert edge.post(NDJSON, "http_requests", headers=KEY).status_code == 422
    assert len(stored(edge)) == 2


def test_k4_what_was_refused_is_forgotten(edge: HttpEdge) -> None:
    body = NDJSON + b"nonsense\n"
    assert edge.post(body, query="?atomic=true", headers=KEY).status_code == 422
    assert len(edge.gateway.answers) == 0
    assert edge.post(body, headers=KEY).status_code == 200


def test_k4_what_took_too_long_goes_on_and_its_key_waits_for_it() -> None:
    with http_edge(FakeProducer(away=True), edge_timeout_seconds=0.1) as edge:
        late = edge.post(NDJSON, headers=KEY)
        assert (late.status_code, "same Idempotency-Key" in late.json()["error"]) == (503, True)
        edge.producer.back()
        until(lambda: edge.producer.log, 20, "Kafka has it")
        assert edge.post(NDJSON, headers=KEY).json()["rows"] == 2
        assert len(stored(edge)) == 2


def test_k2_no_more_keys_are_in_work_than_may_be_remembered() -> None:
    with http_edge(FakeProducer(away=True), edge_timeout_seconds=0.05, edge_http_keys=3) as edge:
        asked = [edge.post(NDJSON, headers={"Idempotency-Key": str(number)}) for number in range(5)]
        assert ["still on its way" in answer.json()["error"] for answer in asked] == [True] * 3 + [False] * 2
        assert asked[-1].headers["Retry-After"] == "2"
        edge.producer.back()


def test_a_key_s_request_that_outlives_its_sender_does_not_hold_its_body() -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield NDJSON + b" " * 5_000_000

    with http_edge(FakeProducer(away=True), edge_timeout_seconds=0.05) as edge:
        tracemalloc.start()
        try:
            status = edge.post(sent(), headers=KEY).status_code
            while not edge.client.fill:  # until it is handed in
                edge.runner.run(asyncio.sleep(0.01))
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        edge.producer.back()
    assert (status, held < 1_000_000) == (503, True)


def test_k2_keys_are_forgotten_after_their_time_and_past_their_number() -> None:
    with http_edge(edge_http_keys=3) as edge:
        for number in range(10):
            edge.post(NDJSON, headers={"Idempotency-Key": str(number)})
        assert len(edge.gateway.answers) == 3
    with http_edge(edge_http_key_seconds=0.01) as edge:
        edge.post(NDJSON, headers=KEY)
        edge.runner.run(asyncio.sleep(0.02))
        edge.post(NDJSON, headers=KEY)
        assert len(stored(edge)) == 4


def test_while_kafka_is_away_answers_say_truly_what_was_taken_and_memory_stays_bounded() -> None:
    def text(seed: int) -> bytes:
        return random.Random(seed).randbytes(5_000).hex().encode()  # packing makes it no smaller than half

    with http_edge(FakeProducer(away=True), edge_memory_bytes=100_000, edge_timeout_seconds=0.05) as edge:
        answers = [edge.post(b'{"message":"%05d%s"}' % (n, text(n))) for n in range(30)]
        assert {answer.status_code for answer in answers} == {503}
        assert edge.client.fill <= 1.0
        taken = [n for n, answer in enumerate(answers) if "still on their way" in answer.json()["error"]]
        assert 0 < len(taken) < 30
        edge.producer.back()
        edge.client.flush()
        assert sorted(int(record["message"][:5]) for _, record in stored(edge)) == taken


def test_requests_are_counted_by_protocol_and_status(edge: HttpEdge) -> None:
    def count(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    requests, per = "logflume_edge_http_requests_total", {"protocol": "ingest"}
    before = [count(requests, status="200", **per), count(requests, status="401", **per)]
    rows_before, bytes_before = (count(f"logflume_edge_http_{what}_total", **per) for what in ("rows", "bytes"))
    edge.post(NDJSON)
    edge.post(NDJSON, token="")
    after = [count(requests, status="200", **per), count(requests, status="401", **per)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]
    assert count("logflume_edge_http_rows_total", **per) - rows_before == 2
    assert count("logflume_edge_http_bytes_total", **per) - bytes_before == len(NDJSON)
