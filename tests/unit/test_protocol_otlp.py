"""OTLP's logs: the mapping of both encodings, what is rejected, and the answers as OTLP's own messages read them."""

from __future__ import annotations

import resource

import orjson
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from logflume.edge.http.portion import LineError, Taken
from logflume.edge.http.protocols import otlp, record
from logflume.edge.http.refusal import Refusal
from tests.support.protocols import TARGETS, Reserved, field, limits, numbers, records

NS = 1_700_000_000_123_456_789

# After the example of the OTLP specification, with a value of each kind.
EXAMPLE = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "shop"}},
                    {"key": "host.name", "value": {"stringValue": "web-1"}},
                    {"key": "process.pid", "value": {"intValue": "4711"}},
                ]
            },
            "schemaUrl": "https://opentelemetry.io/schemas/1.24.0",
            "scopeLogs": [
                {
                    "scope": {"name": "shop.cart", "version": "1.2"},
                    "logRecords": [
                        {
                            "timeUnixNano": str(NS),
                            "observedTimeUnixNano": str(NS + 1),
                            "severityNumber": 17,
                            "severityText": "Error",
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "flags": 1,
                            "eventName": "cart.failed",
                            "droppedAttributesCount": 2,
                            "body": {"stringValue": "no such cart"},
                            "attributes": [
                                {"key": "text", "value": {"stringValue": "some"}},
                                {"key": "empty", "value": {"stringValue": ""}},
                                {"key": "yes", "value": {"boolValue": True}},
                                {"key": "int", "value": {"intValue": "9223372036854775807"}},
                                {"key": "double", "value": {"doubleValue": 637.704}},
                                {"key": "nan", "value": {"doubleValue": "NaN"}},
                                {"key": "bytes", "value": {"bytesValue": "AAE="}},
                                {"key": "unset"},
                                {
                                    "key": "list",
                                    "value": {"arrayValue": {"values": [{"stringValue": "many"}, {"intValue": 1}]}},
                                },
                                {
                                    "key": "map",
                                    "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}},
                                },
                            ],
                        }
                    ],
                }
            ],
        }
    ]
}


def as_protobuf() -> bytes:
    """``EXAMPLE`` in protobuf, made by OTLP's own classes."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add(schema_url="https://opentelemetry.io/schemas/1.24.0")
    for key, text in (("service.name", "shop"), ("host.name", "web-1")):
        group.resource.attributes.add(key=key).value.string_value = text
    group.resource.attributes.add(key="process.pid").value.int_value = 4711
    scope = group.scope_logs.add()
    scope.scope.name, scope.scope.version = "shop.cart", "1.2"
    log = scope.log_records.add(
        time_unix_nano=NS,
        observed_time_unix_nano=NS + 1,
        severity_number=17,
        severity_text="Error",
        trace_id=bytes.fromhex("5B8EFFF798038103D269B633813FC60C"),
        span_id=bytes.fromhex("EEE19B7EC3C1B174"),
        flags=1,
        event_name="cart.failed",
        dropped_attributes_count=2,
    )
    log.body.string_value = "no such cart"
    log.attributes.add(key="text").value.string_value = "some"
    log.attributes.add(key="empty").value.string_value = ""
    log.attributes.add(key="yes").value.bool_value = True
    log.attributes.add(key="int").value.int_value = 2**63 - 1
    log.attributes.add(key="double").value.double_value = 637.704
    log.attributes.add(key="nan").value.double_value = float("nan")
    log.attributes.add(key="bytes").value.bytes_value = b"\0\1"
    log.attributes.add(key="unset")
    items = log.attributes.add(key="list").value.array_value.values
    items.add().string_value = "many"
    items.add().int_value = 1
    log.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.string_value = "v"
    return request.SerializeToString()


def one(log: dict[str, object]) -> bytes:
    return orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]})


def decode(body: bytes, content_type: str = otlp.JSON) -> otlp.Logs:
    return otlp.decode(body, content_type, TARGETS, limits())


@pytest.mark.parametrize("encoding", [otlp.JSON, otlp.PROTOBUF])
def test_a_log_keeps_all_that_it_and_its_resource_and_scope_say_in_both_encodings(encoding: str) -> None:
    body = orjson.dumps(EXAMPLE) if encoding == otlp.JSON else as_protobuf()
    (found,) = records(decode(body, encoding + "; charset=utf-8").portions)["events"]
    assert found == {
        "time": NS,
        "observed_time": NS + 1,
        "level": "Error",
        "severity_number": 17,
        "service": "shop",
        "host": "web-1",
        "logger": "shop.cart",
        "message": "no such cart",
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
        "attributes": {"text": "some", "empty": "", "nan": "NaN", "bytes": "AAE="},
        "typed_attributes": {
            "yes": True,
            "int": 2**63 - 1,
            "double": 637.704,
            "unset": None,
            "list": ["many", 1],
            "map": {"k": "v"},
        },
        "event_name": "cart.failed",
        "flags": 1,
        "dropped_attributes_count": 2,
        "resource": {
            "attributes": {"service.name": "shop", "host.name": "web-1", "process.pid": 4711},
            "schema_url": "https://opentelemetry.io/schemas/1.24.0",
        },
        "scope": {"name": "shop.cart", "version": "1.2"},
    }


def test_a_log_without_a_time_takes_the_time_it_was_observed_and_a_number_names_its_level() -> None:
    body = one({"observedTimeUnixNano": str(NS), "severityNumber": "SEVERITY_NUMBER_WARN2"})
    assert records(decode(body).portions)["events"] == [{"time": NS, "level": "WARN2", "severity_number": 14}]


def test_a_structured_body_keeps_its_structure_and_an_empty_log_is_a_record() -> None:
    values = [{"key": "n", "value": {"intValue": "1"}}]
    assert records(decode(one({"body": {"kvlistValue": {"values": values}}})).portions)["events"] == [
        {"body": {"n": 1}}
    ]
    assert records(decode(one({})).portions)["events"] == [{}]


def test_a_time_that_would_be_read_as_seconds_is_written_as_text() -> None:
    assert records(decode(one({"timeUnixNano": "1500000000"})).portions)["events"] == [
        {"time": "1970-01-01T00:00:01.500000000Z"}
    ]


def test_of_an_attribute_sent_twice_the_last_counts_whatever_its_type() -> None:
    request = ExportLogsServiceRequest()
    log = request.resource_logs.add().scope_logs.add().log_records.add()
    for key in ("a", "b"):
        log.attributes.add(key=key).value.int_value = 1
        log.attributes.add(key=key).value.string_value = "last"
    log.attributes.add(key="b").value.int_value = 2
    (found,) = records(decode(request.SerializeToString(), otlp.PROTOBUF).portions)["events"]
    assert found == {"attributes": {"a": "last"}, "typed_attributes": {"b": 2}}


def test_a_resource_behind_its_logs_and_in_two_pieces_counts_for_them() -> None:
    pieces = [ExportLogsServiceRequest().resource_logs.add().resource for _ in range(2)]
    for piece, (key, text) in zip(pieces, (("service.name", "shop"), ("host.name", "web-1")), strict=True):
        piece.attributes.add(key=key).value.string_value = text
    body = field(1, field(2, field(2, b"")) + b"".join(field(1, piece.SerializeToString()) for piece in pieces))
    (found,) = records(decode(body, otlp.PROTOBUF).portions)["events"]
    assert (found["service"], found["host"]) == ("shop", "web-1")


@pytest.mark.parametrize(
    "bad",
    [
        {"timeUnixNano": "soon"},
        {"timeUnixNano": -1},
        {"severityNumber": "LOUD"},
        {"traceId": "xyz"},
        {"body": "text"},
        {"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]},
        {"attributes": {"a": 1}},
    ],
)
def test_a_bad_log_costs_only_itself(bad: dict[str, object]) -> None:
    """P2."""
    logs = [{"severityText": "first"}, bad, {"severityText": "last"}]
    found = decode(orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]}))
    assert [record["level"] for record in records(found.portions)["events"]] == ["first", "last"]
    assert numbers(found.portions) == {"events": [1, 3]}
    told = orjson.loads(found.answer(Taken(2)).body)["partialSuccess"]
    assert told["rejectedLogRecords"] == "1"
    assert told["errorMessage"].startswith("1 logs were rejected: log 2: malformed: ")


def test_a_broken_log_in_protobuf_costs_only_itself() -> None:
    """P2."""
    good = field(3, b"INFO")
    body = field(1, field(2, field(2, good) + field(2, field(3, b"\xff")) + field(2, good)))
    found = decode(body, otlp.PROTOBUF)
    assert numbers(found.portions) == {"events": [1, 3]}
    response = ExportLogsServiceResponse.FromString(found.answer(Taken(2, (LineError(3, "too-large", "x"),))).body)
    assert response.partial_success.rejected_log_records == 2
    assert "log 2: malformed" in response.partial_success.error_message
    assert "log 3: too-large: x" in response.partial_success.error_message


def test_full_success_is_an_empty_response_in_the_requests_encoding() -> None:
    answers = [decode(b"{}").answer(Taken(0)), decode(b"", otlp.PROTOBUF).answer(Taken(0))]
    assert [(each.status_code, each.body, each.headers["content-type"]) for each in answers] == [
        (200, b"{}", otlp.JSON),
        (200, b"", otlp.PROTOBUF),
    ]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"{", otlp.JSON), (b"[]", otlp.JSON), (b'{"resourceLogs":1}', otlp.JSON), (b"\x0a\x05ab", otlp.PROTOBUF)],
)
def test_a_frame_that_cannot_be_read_refuses_all(body: bytes, encoding: str) -> None:
    """P1."""
    with pytest.raises(Refusal) as caught:
        decode(body, encoding)
    assert caught.value.status == 400


def test_another_content_type_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        decode(b"{}", "text/plain")
    assert caught.value.status == 415


def test_a_refusal_is_a_status_of_grpc_with_the_time_to_wait() -> None:
    refusal = Refusal(503, "later", retry_seconds=7)
    binary, text = otlp.refused(refusal, otlp.PROTOBUF), otlp.refused(refusal, otlp.JSON)
    assert Status.FromString(binary.body) == Status(code=14, message="later")
    assert orjson.loads(text.body) == {"code": 14, "message": "later"}
    assert {binary.headers["retry-after"], text.headers["retry-after"]} == {"7"}


def test_a_large_resource_over_many_small_logs_is_refused_before_it_is_written_out() -> None:
    """P3."""
    resource = field(1, field(1, b"k") + field(2, field(1, b"v" * 100_000)))
    body = field(1, field(1, resource) + field(2, field(2, b"") * 5000))
    reserved = Reserved()
    with pytest.raises(Refusal) as caught:
        otlp.decode(body, otlp.PROTOBUF, TARGETS, limits(most_bytes=2_000_000, reserve=reserved))
    assert caught.value.status == 413
    assert reserved.size < 12_000_000


def test_empty_groups_count_as_records() -> None:
    """P3."""
    for body in (field(1, b"") * 101, field(1, field(2, b"") * 101)):
        with pytest.raises(Refusal) as caught:
            otlp.decode(body, otlp.PROTOBUF, TARGETS, limits(most_records=100))
        assert caught.value.status == 413


def test_memory_is_reserved_for_a_log_of_many_attributes() -> None:
    """P3."""
    reserved = Reserved()
    otlp.decode(field(1, field(2, field(2, field(6, b"") * 50_000))), otlp.PROTOBUF, TARGETS, limits(reserve=reserved))
    assert reserved.size > 2_000_000


def test_fields_without_a_meaning_are_counted_over_the_whole_body() -> None:
    """P3."""
    for body in (b"\x7a\x00" * 600, field(1, field(2, b"\x7a\x00" * 90)) * 6):
        with pytest.raises(Refusal) as caught:
            otlp.decode(body, otlp.PROTOBUF, TARGETS, limits(most_records=100))
        assert caught.value.status == 413


def test_lines_take_no_more_memory_than_their_bytes() -> None:
    """P3: a hole of kilobytes behind each would not show in any count of objects."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = [record.dump({"message": "a"}) for _ in range(100_000)]
    assert len(lines) == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB; 300,000 with holes
