"""OTLP's logs in protobuf. The frame (resources, scopes) is walked here, each log is parsed by itself.

So one broken log costs only itself, and memory is that of one log at a time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logflume.block import reasons
from logflume.edge.http.protocols import protobuf
from logflume.edge.http.protocols.gathering import Gathering
from logflume.edge.http.protocols.otlp_log import MOST_DEPTH, Group, Log, non_finite
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

_MOST_LOG_BYTES: Final = 4 << 20
"""Of one log, as a Kafka message takes no more; a resource or scope may have as much."""

_OBJECTS: Final = 40
"""Bytes of protobuf's messages and of ours for a byte of a hostile one, such as thousands of empty attributes."""

# Field numbers of ExportLogsServiceRequest, ResourceLogs and ScopeLogs.
_RESOURCE_LOGS: Final = 1
_RESOURCE, _SCOPE_LOGS, _RESOURCE_SCHEMA = 1, 2, 3
_SCOPE, _LOG_RECORDS, _SCOPE_SCHEMA = 1, 2, 3


def groups(body: bytes, gathering: Gathering) -> Iterator[Group]:
    """Yield the groups, a step of ``gathering`` for each part of the frame. Raises ``Refusal`` for a broken one."""
    view = memoryview(body)
    for number, resource_logs in protobuf.fields(view, gathering):
        if number == _RESOURCE_LOGS:
            gathering.step()
            yield from _resource_logs(resource_logs, gathering)


def _resource_logs(view: memoryview, gathering: Gathering) -> Iterator[Group]:
    # Field order is the sender's choice: the resource may come last. Pieces of one message merge by concatenation.
    parts = list(_few(view, gathering, (_RESOURCE, _RESOURCE_SCHEMA)))
    gathering.objects(sum(len(part) for _, part in parts), _OBJECTS)
    resource = _frame(Resource, b"".join(part for number, part in parts if number == _RESOURCE))
    outer = _described(resource.attributes, resource.dropped_attributes_count, _last(parts, _RESOURCE_SCHEMA))
    for number, scope_logs in protobuf.fields(view, gathering):
        if number == _SCOPE_LOGS:
            gathering.step()
            yield _scope_logs(scope_logs, outer, gathering)


def _scope_logs(view: memoryview, resource: dict[str, Any], gathering: Gathering) -> Group:
    parts = list(_few(view, gathering, (_SCOPE, _SCOPE_SCHEMA)))
    gathering.objects(sum(len(part) for _, part in parts), _OBJECTS)
    scope = _frame(InstrumentationScope, b"".join(part for number, part in parts if number == _SCOPE))
    named = {"name": scope.name, "version": scope.version}
    described = {key: value for key, value in named.items() if value} | _described(
        scope.attributes, scope.dropped_attributes_count, _last(parts, _SCOPE_SCHEMA)
    )
    return Group(resource, described, _logs(view, gathering))


def _logs(view: memoryview, gathering: Gathering) -> Iterator[Log | Poison]:
    for number, record in protobuf.fields(view, gathering):
        if number == _LOG_RECORDS:
            try:
                gathering.objects(len(record), _OBJECTS)
                yield _log(record)
            except Poison as poison:
                yield poison


def _log(view: memoryview) -> Log:
    if len(view) > _MOST_LOG_BYTES:
        raise Poison(reasons.TOO_LARGE, f"a log of {len(view)} bytes; {_MOST_LOG_BYTES} are the most")
    try:
        record = LogRecord.FromString(view)  # type: ignore[arg-type]  # it takes any buffer
    except DecodeError as error:
        raise Poison(reasons.MALFORMED, f"no LogRecord: {str(error)[:200]}") from None
    texts: dict[str, str] = {}
    typed: dict[str, Any] = {}
    for pair in record.attributes:
        # The usual case first: asking which kind a value has costs as much as all else here.
        text = pair.value.string_value
        value = text or _value(pair.value)
        if type(value) is str:
            texts[pair.key] = value
            if typed:
                typed.pop(pair.key, None)
        else:
            typed[pair.key] = value
            texts.pop(pair.key, None)
    return Log(
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity_number,
        record.severity_text,
        record.body.string_value or (_value(record.body) if record.HasField("body") else None),
        texts,
        typed,
        record.dropped_attributes_count,
        record.flags,
        record.trace_id.hex(),
        record.span_id.hex(),
        record.event_name,
    )


def _value(value: AnyValue, depth: int = 0) -> Any:
    """Return an AnyValue as JSON has it: bytes as base64, NaN and infinities by name, an unset one as null."""
    if depth > MOST_DEPTH:
        raise Poison(reasons.TOO_DEEP, f"a value nested deeper than {MOST_DEPTH} lists and maps")
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return non_finite(value.double_value)
        case "array_value":
            return [_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
    return None


def _described(attributes: Any, dropped: int, schema_url: bytes) -> dict[str, Any]:
    """Return what is set of a resource's or scope's attributes, their dropped count and the schema's address."""
    found: dict[str, Any] = {}
    pairs: list[KeyValue] = list(attributes)
    try:
        if pairs:
            found["attributes"] = {pair.key: _value(pair.value) for pair in pairs}
        if schema_url:
            found["schema_url"] = schema_url.decode()
    except Poison as poison:
        raise Refusal(400, f"a resource or scope: {poison.detail}") from None
    except UnicodeDecodeError as error:
        raise Refusal(400, f"schema_url: {error}") from None
    if dropped:
        found["dropped_attributes_count"] = dropped
    return found


def _few(view: memoryview, gathering: Gathering, wanted: tuple[int, ...]) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of the ``wanted`` numbers, which all together may not be larger than one log."""
    size = 0
    for number, part in protobuf.fields(view, gathering):
        if number in wanted:
            size += len(part)
            if size > _MOST_LOG_BYTES:
                raise Refusal(413, f"a resource or scope may have {_MOST_LOG_BYTES} bytes")
            if part:
                yield number, part


def _frame(message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise Refusal(400, f"no {message.DESCRIPTOR.name}: {str(error)[:200]}") from None


def _last(parts: list[tuple[int, memoryview]], number: int) -> bytes:
    return bytes(next((part for found, part in reversed(parts) if found == number), b""))
