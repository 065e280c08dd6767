"""Rows a CPU second of each agents' protocol: ``python -m benchmarks.protocols``. One process, no network, no Kafka.

``decode`` makes lines of JSON of a body, ``read`` makes columns of those, as the edge's packer does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import cramjam
import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logflume import contract, model
from logflume.edge.http.portion import Portion
from logflume.edge.http.protocols import elastic, loki, otlp, splunk
from logflume.edge.http.protocols.gathering import Limits
from logflume.edge.http.protocols.record import Targets
from logflume.formats import JsonParser

ROWS: Final = 4000
ROUNDS: Final = 7
NS: Final = 1_700_000_000_123_456_789
DATASETS: Final = model.load(contract.find(""))
TARGETS: Final = Targets(DATASETS, "events")
LIMITS: Final = Limits(256_000_000, 1_000_000, lambda size: None)


def main() -> None:
    """Print the table of docs/protocols.md."""
    print(f"{'body':48} {'B/row':>6} {'decode':>9} {'read':>9} {'both':>9}   rows a CPU second")
    for name, (body, decode) in cases().items():
        decoding, reading = [], []
        parser = JsonParser(DATASETS["events"])
        for _ in range(ROUNDS):
            begun = time.process_time()
            (portion,) = decode(body)
            decoded = time.process_time()
            parsed = parser.parse(portion.lines)
            reading.append(time.process_time() - decoded)
            decoding.append(decoded - begun)
            assert parsed.batch.num_rows == ROWS
        first, second = min(decoding), min(reading)
        rates = [f"{ROWS / seconds:>9,.0f}" for seconds in (first, second, first + second)]
        print(f"{name:48} {len(body) / ROWS:>6.0f} {' '.join(rates)}")


def cases() -> dict[str, tuple[bytes, Callable[[bytes], tuple[Portion, ...]]]]:
    """Bodies of ``ROWS`` records, and what decodes them."""
    request = otlp_request()
    hec = [hec_event(number) for number in range(ROWS)]

    def by_loki(kind: str) -> Callable[[bytes], tuple[Portion, ...]]:
        return lambda body: loki.decode(body, kind, TARGETS, LIMITS).portions

    def by_elastic(body: bytes) -> tuple[Portion, ...]:
        return elastic.decode(body, None, TARGETS, LIMITS).portions

    def by_hec(body: bytes) -> tuple[Portion, ...]:
        return splunk.decode_events(body, {}, TARGETS, LIMITS).portions

    return {
        "OTLP protobuf, 6 attributes": (
            request.SerializeToString(),
            lambda body: otlp.decode(body, otlp.PROTOBUF, TARGETS, LIMITS).portions,
        ),
        "OTLP JSON, the same": (
            orjson.dumps(otlp_json(request)),
            lambda body: otlp.decode(body, otlp.JSON, TARGETS, LIMITS).portions,
        ),
        "Elasticsearch, index events, its fields": (b"".join(bulk("events", {})), by_elastic),
        "Elasticsearch, another index, another field": (b"".join(bulk("web", {"log": {"file": "x"}})), by_elastic),
        "Loki JSON, text": (orjson.dumps(push(text)), by_loki(loki.JSON)),
        "Loki JSON, lines of JSON, metadata": (orjson.dumps(push(structured, {"trace_id": "abc"})), by_loki(loki.JSON)),
        "Loki protobuf, text, metadata": (loki_packed(), by_loki(loki.PROTOBUF)),
        "Splunk HEC, an event a line": (b"\n".join(map(orjson.dumps, hec)), by_hec),
        "Splunk HEC, events without newlines": (b"".join(map(orjson.dumps, hec)), by_hec),
        "Splunk HEC, raw lines": (
            "\n".join(map(text, range(ROWS))).encode(),
            lambda body: splunk.decode_raw(body, {"host": "web-1"}, TARGETS, LIMITS).portions,
        ),
    }


def text(number: int) -> str:
    """A line of a log."""
    return f"the cart {number} of the customer was not there when the order came, so it is made again"


def structured(number: int) -> str:
    """The same as an object."""
    return orjson.dumps({"message": text(number), "level": "warn", "cart": number}).decode()


def otlp_request() -> ExportLogsServiceRequest:
    """What a collector sends: one resource, one scope."""
    chance = random.Random(1)
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    for key in ("service.name", "host.name", "k8s.pod.name", "telemetry.sdk.language"):
        group.resource.attributes.add(key=key).value.string_value = f"the {key}"
    scope = group.scope_logs.add()
    scope.scope.name = "shop.cart"
    for number in range(ROWS):
        log = scope.log_records.add(
            time_unix_nano=NS + number, severity_text="INFO", severity_number=9, trace_id=chance.randbytes(16)
        )
        log.body.string_value = text(number)
        for place in range(5):
            log.attributes.add(key=f"attribute.{place}").value.string_value = f"value {place}"
        log.attributes.add(key="number").value.int_value = number
    return request


def otlp_json(request: ExportLogsServiceRequest) -> dict[str, Any]:
    """The same request in OTLP's JSON."""

    def attributes(pairs: Any) -> list[dict[str, Any]]:
        return [
            {"key": pair.key, "value": {"stringValue": pair.value.string_value}}
            if pair.value.string_value
            else {"key": pair.key, "value": {"intValue": str(pair.value.int_value)}}
            for pair in pairs
        ]

    (group,) = request.resource_logs
    logs = [
        {
            "timeUnixNano": str(log.time_unix_nano),
            "severityText": log.severity_text,
            "severityNumber": log.severity_number,
            "traceId": log.trace_id.hex(),
            "body": {"stringValue": log.body.string_value},
            "attributes": attributes(log.attributes),
        }
        for log in group.scope_logs[0].log_records
    ]
    scope = {"scope": {"name": "shop.cart"}, "logRecords": logs}
    return {"resourceLogs": [{"resource": {"attributes": attributes(group.resource.attributes)}, "scopeLogs": [scope]}]}


def bulk(index: str, more: dict[str, Any]) -> list[bytes]:
    """Actions and sources in turn."""
    action = orjson.dumps({"create": {"_index": index}}) + b"\n"
    source = {"@timestamp": "2026-07-01T12:00:00.123Z", "level": "INFO", "host": "web-1", "service": "shop"} | more
    return [action + orjson.dumps(source | {"message": text(number)}) + b"\n" for number in range(ROWS)]


def push(line: Callable[[int], str], metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """One stream of four labels."""
    labels = {"app": "shop", "level": "info", "host": "web-1", "namespace": "front"}
    values = [[str(NS + number), line(number), *([metadata] if metadata else [])] for number in range(ROWS)]
    return {"streams": [{"stream": labels, "values": values}]}


def loki_packed() -> bytes:
    """A push in protobuf: field by field, as logproto.PushRequest has them."""
    stream = _field(1, b'{app="shop", level="info", host="web-1", namespace="front"}')
    time_field = _field(1, b"\x08" + _varint(NS // 10**9) + b"\x10" + _varint(NS % 10**9))
    metadata = _field(3, _field(1, b"trace_id") + _field(2, b"abc"))
    entries = b"".join(_field(2, time_field + _field(2, text(number).encode()) + metadata) for number in range(ROWS))
    return bytes(cramjam.snappy.compress_raw(_field(1, stream + entries)))


def hec_event(number: int) -> dict[str, Any]:
    """An event with all that stands beside one."""
    beside = {"time": 1_700_000_000.123, "host": "web-1", "source": "/var/log/shop", "sourcetype": "shop"}
    return beside | {"index": "main", "event": text(number), "fields": {"pod": "p1"}}


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


if __name__ == "__main__":
    main()
