"""Loki's push: labels, metadata and lines in both encodings, and what is refused."""

from __future__ import annotations

from typing import Any

import cramjam
import orjson
import pytest

from logflume.block import reasons
from logflume.edge.http.portion import LineError, Taken
from logflume.edge.http.protocols import loki
from logflume.edge.http.protocols.loki_entry import labels
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison
from tests.support.protocols import TARGETS, Reserved, field, limits, numbers, records, varint

SECONDS, NANOS = 1_700_000_000, 123_456_789
NS = SECONDS * 10**9 + NANOS


def pushed(*streams: tuple[dict[str, Any], list[Any]]) -> bytes:
    return orjson.dumps({"streams": [{"stream": stream, "values": values} for stream, values in streams]})


def packed(stream: str, *entries: tuple[str, dict[str, str]]) -> bytes:
    """A PushRequest as Promtail and Alloy send it."""
    content = field(1, stream.encode())
    for line, metadata in entries:
        time = field(1, b"\x08" + varint(SECONDS) + b"\x10" + varint(NANOS))
        pairs = [field(3, field(1, name.encode()) + field(2, value.encode())) for name, value in metadata.items()]
        content += field(2, time + field(2, line.encode()) + b"".join(pairs))
    return bytes(cramjam.snappy.compress_raw(field(1, content)))


def test_an_entry_whose_time_is_past_64_bits_is_refused_and_the_others_are_taken() -> None:
    late = field(2, field(1, b"\x08" + varint(2**62)) + field(2, b"late"))
    good = field(2, field(1, b"\x08" + varint(SECONDS)) + field(2, b"good"))
    body = bytes(cramjam.snappy.compress_raw(field(1, field(1, b"{}") + late + good)))
    push = decode(body, loki.PROTOBUF)
    assert [record["message"] for record in records(push.portions)["events"]] == ["good"]
    assert b"entry 1: malformed" in push.answer(Taken(1)).body


def decode(body: bytes, content_type: str = loki.JSON) -> loki.Push:
    return loki.decode(body, content_type, TARGETS, limits())


LABELS = {"app": "shop", "service_name": "cart", "level": "info"}
LINE = "no such cart"
RECORD = {
    "time": NS,
    "message": LINE,
    "service": "cart",
    "level": "info",
    "attributes": {"app": "shop"},
}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (pushed((LABELS, [[str(NS), LINE]])), "application/json; charset=utf-8"),
        (packed('{app="shop", service_name="cart",level="info"}', (LINE, {})), loki.PROTOBUF),
        (packed('{app="shop", service_name="cart",level="info"}', (LINE, {})), ""),
    ],
)
def test_labels_fill_the_fields_of_their_name_and_the_rest_are_attributes(body: bytes, encoding: str) -> None:
    assert records(decode(body, encoding).portions) == {"events": [RECORD]}


@pytest.mark.parametrize("encoding", [loki.JSON, loki.PROTOBUF])
def test_structured_metadata_joins_the_labels_and_never_displaces_one(encoding: str) -> None:
    metadata = {"trace_id": "abc", "app": "other", "level": "info", "pod": "p1"}
    if encoding == loki.JSON:
        body = pushed((LABELS, [[str(NS), LINE, metadata]]))
    else:
        body = packed('{app="shop",service_name="cart",level="info"}', (LINE, metadata))
    attributes = {"app": "shop", "app_extracted": "other", "pod": "p1"}
    assert records(decode(body, encoding).portions)["events"] == [
        RECORD | {"trace_id": "abc", "attributes": attributes}
    ]


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ('{"message":"m","level":"warn","n":1}', {"message": "m", "level": "warn", "n": 1, "time": NS}),
        ('{"time":"2026-07-01T00:00:00Z"}', {"time": "2026-07-01T00:00:00Z", "loki": {"time": NS}}),
        ('{"time":"12:31"}', {"time": NS, "own_time": "12:31"}),
        ('{"attributes":{"own":"1"}}', {"time": NS, "attributes": {"own": "1"}, "loki": {"attributes": {"a": "b"}}}),
        ("{not json}", {"message": "{not json}", "time": NS}),
        ("[1]", {"message": "[1]", "time": NS}),
        ("", {"message": "", "time": NS}),
        ("a\nb\u2028ü", {"message": "a\nb\u2028ü", "time": NS}),
    ],
)
def test_a_line_that_is_an_object_is_the_record_and_what_it_says_stands(line: str, record: dict[str, Any]) -> None:
    """P4."""
    (found,) = records(decode(pushed(({"a": "b"}, [[str(NS), line]]))).portions)["events"]
    assert found == {"attributes": {"a": "b"}} | record


def test_the_label_dataset_picks_the_dataset_and_its_labels_stay_apart() -> None:
    found = decode(
        pushed(
            ({"dataset": "http_requests", "host": "web-1"}, [[str(NS), '{"status":200}']]),
            ({"dataset": "nonesuch"}, [[str(NS), "line"]]),
        )
    )
    time_field = TARGETS.named("http_requests").time_field  # type: ignore[union-attr]
    assert records(found.portions) == {
        "http_requests": [{"status": 200, time_field: NS, "loki": {"attributes": {"host": "web-1"}}}],
        "events": [{"time": NS, "message": "line", "attributes": {"dataset": "nonesuch"}}],
    }


@pytest.mark.parametrize(
    "bad", [["soon", "x"], ["1"], "x", [str(2**63), "x"], ["1", 2], ["1", "x", {"a": 1}], ["1", "x", ["a"]], None]
)
def test_a_bad_entry_costs_only_itself(bad: Any) -> None:
    """P2."""
    found = decode(pushed(({}, [[str(NS), "first"], bad, [str(NS), "last"]])))
    assert numbers(found.portions) == {"events": [1, 3]}
    answer = found.answer(Taken(1, (LineError(3, "too-large", "why"),)))
    assert answer.status_code == 400
    assert b"2 entries were refused, 1 were stored\nentry 2: malformed: " in bytes(answer.body)
    assert b"entry 3: too-large: why" in bytes(answer.body)


def test_a_broken_entry_in_protobuf_costs_only_itself() -> None:
    """P2."""
    body = field(1, field(1, b"{}") + field(2, field(2, b"\xff")) + field(2, field(2, b"good")))
    found = decode(bytes(cramjam.snappy.compress_raw(body)), loki.PROTOBUF)
    assert numbers(found.portions) == {"events": [2]}


def test_success_is_an_empty_204() -> None:
    answer = decode(pushed(({}, [[str(NS), "x"]]))).answer(Taken(1))
    assert (answer.status_code, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"{", loki.JSON),
        (b"{}", loki.JSON),
        (b'{"streams":[1]}', loki.JSON),
        (b'{"streams":[{"stream":{"a":1},"values":[]}]}', loki.JSON),
        (b"no snappy", loki.PROTOBUF),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x05a")), loki.PROTOBUF),
        (bytes(cramjam.snappy.compress_raw(field(1, field(1, b"app=shop")))), loki.PROTOBUF),
    ],
)
def test_a_frame_that_cannot_be_read_refuses_all(body: bytes, encoding: str) -> None:
    """P1."""
    with pytest.raises(Refusal) as caught:
        decode(body, encoding)
    assert caught.value.status == 400
    assert loki.refused(caught.value).headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(("claimed", "status"), [(2**31, 413), (9_000_000, 400)])
def test_a_length_that_the_packed_bytes_cannot_have_is_not_believed(claimed: int, status: int) -> None:
    """P3."""
    reserved = Reserved()
    with pytest.raises(Refusal) as caught:
        loki.decode(varint(claimed) + b"\x00a", loki.PROTOBUF, TARGETS, limits(reserve=reserved))
    assert caught.value.status == status
    assert reserved.size == 0


def test_the_densest_honest_snappy_is_taken() -> None:
    """P3: the ratio is Snappy's own."""
    body = field(1, field(1, b"{}") + field(2, field(2, b"x" * 1_000_000)))
    found = decode(bytes(cramjam.snappy.compress_raw(body)), loki.PROTOBUF)
    assert numbers(found.portions) == {"events": [1]}


def test_large_labels_over_many_small_entries_are_refused_before_they_are_written_out() -> None:
    """P3."""
    body = pushed(({"k": "v" * 100_000}, [["1", ""]] * 5000))
    with pytest.raises(Refusal) as caught:
        loki.decode(body, loki.JSON, TARGETS, limits(most_bytes=2_000_000))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", {}),
        ('{a="1"}', {"a": "1"}),
        ('{ a = "1" , b="x,y}" }', {"a": "1", "b": "x,y}"}),
        (r'{a="q\"b\\c\n\x41\u00e9\101"}', {"a": 'q"b\\c\nAéA'}),
    ],
)
def test_labels_are_read_as_go_quotes_them(text: str, found: dict[str, str]) -> None:
    assert labels(text) == found


@pytest.mark.parametrize("text", ["", "a", '{a="1"', '{a="1"} x', "{a=1}", '{a="1",}{', '{="1"}'])
def test_other_texts_are_no_labels(text: str) -> None:
    with pytest.raises(Poison) as caught:
        labels(text)
    assert caught.value.reason == reasons.MALFORMED
