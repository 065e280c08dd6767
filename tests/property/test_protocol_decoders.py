"""The decoders of agents' protocols on any bytes: a refusal, or portions whose lines a parser counts alike (P1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cramjam
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logflume.edge.http.portion import Taken
from logflume.edge.http.protocols import elastic, loki, otlp, splunk
from logflume.edge.http.refusal import Refusal
from logflume.formats import JsonParser
from tests.support.protocols import DATASETS, TARGETS, field, limits
from tests.support.schedules import examples

Decode = Callable[[bytes], Any]

DECODERS: dict[str, Decode] = {
    "otlp protobuf": lambda body: otlp.decode(body, otlp.PROTOBUF, TARGETS, limits()),
    "otlp json": lambda body: otlp.decode(body, otlp.JSON, TARGETS, limits()),
    "elastic": lambda body: elastic.decode(body, "events", TARGETS, limits()),
    "loki json": lambda body: loki.decode(body, loki.JSON, TARGETS, limits()),
    "loki snappy": lambda body: loki.decode(body, loki.PROTOBUF, TARGETS, limits()),
    "loki protobuf": lambda body: loki.decode(
        bytes(cramjam.snappy.compress_raw(body)), loki.PROTOBUF, TARGETS, limits()
    ),
    "splunk": lambda body: splunk.decode_events(body, {"host": "h"}, TARGETS, limits()),
    "splunk raw": lambda body: splunk.decode_raw(body, {"time": "1"}, TARGETS, limits()),
}


def _otlp() -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.scope.name = "s"
    for number in range(2):
        log = scope.log_records.add(time_unix_nano=1_700_000_000_000_000_000 + number, severity_number=9)
        log.body.kvlist_value.values.add(key="k").value.array_value.values.add().double_value = 1.5
        log.attributes.add(key="a").value.string_value = "text"
    return request.SerializeToString()


VALID = [
    _otlp(),
    b'{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"1"}}]},"scopeLogs":[{"logRecords":'
    b'[{"timeUnixNano":"1","body":{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":"NaN"}}]}}}]}]}]}',
    b'{"create":{"_index":"x","_id":"1"}}\n{"@timestamp":"2026-01-01T00:00:00Z","message":"m"}\n{"delete":{}}\n',
    b'{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","{\\"a\\":1}",{"m":"n"}],["1","x"]]}]}',
    field(1, field(1, b'{a="b"}') + field(2, field(1, b"\x08\x01\x10\x02") + field(2, b"line") + field(3, b""))),
    b'{"event":{"a":1},"time":"1.5","fields":{"x":"y"}}{"event":"t"}\n{"event":"u"}\n',
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid body with some bytes changed, taken out, doubled or put in."""
    body = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        end = min(len(body), at + draw(st.integers(0, 8)))
        what = draw(st.sampled_from(["cut", "double", "insert", "flip"]))
        if what == "cut":
            del body[at:end]
        elif what == "double":
            body[at:at] = body[at:end]
        elif what == "insert":
            body[at:at] = draw(st.binary(max_size=6))
        elif at < len(body):
            body[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "streams", "values", "stream", "resourceLogs", "scopeLogs", "logRecords", "body"])
            | st.sampled_from(["create", "_index", "attributes", "key", "value", "fields", "time", "kvlistValue", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
).map(lambda value: orjson.dumps(value) if _fits(value) else b"{}")


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


PARSER = JsonParser(DATASETS["events"])


def _tried(decode: Decode, body: bytes) -> Any:
    try:
        return decode(body)
    except Refusal as refusal:
        return refusal


@settings(max_examples=examples(120))
@given(st.binary(max_size=64) | mutated() | JSON | st.lists(JSON, max_size=3).map(b"\n".join))
def test_any_bytes_become_portions_whose_lines_are_records_or_a_refusal(body: bytes) -> None:
    for name, decode in DECODERS.items():
        found = _tried(decode, body)
        if isinstance(found, Refusal):
            assert 400 <= found.status < 500, name
            continue
        for portion in found.portions:
            assert portion.numbers is not None
            assert portion.lines.count(b"\n") == len(portion.numbers), name
            assert list(portion.numbers) == sorted(set(portion.numbers.tolist())), name
            parsed = PARSER.parse(portion.lines)
            assert parsed.batch.num_rows + len(parsed.bad) == len(portion.numbers), name
            if name != "elastic":  # which hands on what it does not read
                assert not parsed.bad, (name, parsed.bad)
        if isinstance(found, elastic.Bulk):
            assert len(orjson.loads(found.answer(Taken(0), 0).body)["items"]) > 0
        else:
            assert found.answer(Taken(0)).status_code in (200, 204, 400)
