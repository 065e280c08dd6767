"""OTLP/HTTP for logs (``POST /v1/logs``), in protobuf and JSON: the mapping to records, and OTLP's answers.

Source: the OTLP specification 1.x. A request is taken or refused as a whole when its frame can't be read; of a readable
one each log is taken or rejected by itself, and the answer is 200 with ``partial_success``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from starlette.responses import Response

from logflume.edge.http.portion import LineError, Portion, Taken
from logflume.edge.http.protocols import otlp_json, otlp_proto, record
from logflume.edge.http.protocols.gathering import Gathering, Limits
from logflume.edge.http.protocols.otlp_log import SEVERITIES, Group, Log
from logflume.edge.http.refusal import Refusal, json_response
from logflume.errors import Poison

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

# google.rpc.Code by HTTP status.
_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 415: 3, 422: 3, 429: 8, 500: 13, 501: 12, 503: 14}
_UNKNOWN: Final = 2


class Logs:
    """A decoded request."""

    def __init__(self, content_type: str, gathering: Gathering) -> None:
        self.portions: tuple[Portion, ...] = gathering.portions()
        self._content_type = content_type
        self._refused = gathering.refused
        self._refusals = gathering.refusals

    def answer(self, taken: Taken) -> Response:
        """Return the ExportLogsServiceResponse: which logs were rejected, if any, and why the first ones."""
        errors = [*self._refused, *taken.errors]
        rejected = self._refusals + len(taken.errors)
        return Response(_response(self._content_type, rejected, errors), 200, media_type=self._content_type)


def decode(body: bytes, content_type: str, targets: record.Targets, limits: Limits) -> Logs:
    """Return the logs of a body as portions of the default dataset. Raises ``Refusal``."""
    kind = encoding(content_type)
    if kind is None:
        raise Refusal(415, f"the content type must be {PROTOBUF} or {JSON}, not {content_type[:100]!r}")
    gathering = Gathering(limits)
    number = 0
    read = otlp_proto.groups if kind == PROTOBUF else otlp_json.groups
    for group in read(body, gathering):
        tail = b""
        for log in group.logs:
            number += 1
            tail = tail or _tail(group)  # only now: a resource may stand over millions of empty scopes
            if isinstance(log, Poison):
                gathering.refuse(number, log.reason, log.detail)
            else:
                gathering.add(targets.default.name, _line(log, targets.default.time_field, tail), number)
    return Logs(kind, gathering)


def encoding(content_type: str) -> str | None:
    """Return which of the two encodings a Content-Type means; None: neither."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind if kind in (PROTOBUF, JSON) else None


def refused(refusal: Refusal, content_type: str) -> Response:
    """Return a google.rpc.Status in the request's encoding; protobuf when that is neither."""
    code = _CODES.get(refusal.status, _UNKNOWN)
    if encoding(content_type) == JSON:
        return json_response(refusal.status, {"code": code, "message": refusal.detail}, refusal.headers)
    body = b"\x08" + bytes([code]) + b"\x12" + _sized(refusal.detail.encode())
    return Response(body, refusal.status, refusal.headers, media_type=PROTOBUF)


def _tail(group: Group) -> bytes:
    """Return what all lines of a group end with: fields of the resource and scope, and both as they came."""
    attributes = group.resource.get("attributes", {})
    facts = {"service": attributes.get("service.name"), "host": attributes.get("host.name")}
    shared: dict[str, Any] = {name: value for name, value in facts.items() if type(value) is str}
    if group.scope.get("name"):
        shared["logger"] = group.scope["name"]
    if group.resource:
        shared["resource"] = group.resource
    if group.scope:
        shared["scope"] = group.scope
    return record.dump(shared)[1:]


def _line(log: Log, time_field: str, tail: bytes) -> bytes:
    own: dict[str, Any] = {}
    if log.time or log.observed_time:
        own[time_field] = record.instant(log.time or log.observed_time)
    if log.time and log.observed_time:
        own["observed_time"] = log.observed_time
    if log.severity_text:
        own["level"] = log.severity_text
    elif 0 < log.severity_number <= len(SEVERITIES):
        own["level"] = SEVERITIES[log.severity_number - 1]
    if log.severity_number:
        own["severity_number"] = log.severity_number
    if type(log.body) is str:
        own["message"] = log.body
    elif log.body is not None:
        own["body"] = log.body
    if log.attributes:
        own["attributes"] = log.attributes
    if log.typed:
        own[record.TYPED] = log.typed
    for name in ("trace_id", "span_id", "event_name", "flags", "dropped_attributes_count"):
        if value := getattr(log, name):
            own[name] = value
    head = record.dump(own)[:-2]  # without its brace and newline
    if tail == b"}\n":
        return head + tail
    return head + b"," + tail if len(head) > 1 else head + tail


def _response(content_type: str, rejected: int, errors: Sequence[LineError]) -> bytes:
    if not rejected:
        return b"{}" if content_type == JSON else b""
    message = f"{rejected} logs were rejected: " + "; ".join(_told(errors))
    if content_type == JSON:
        # 64-bit numbers are text in proto3's JSON.
        return orjson.dumps({"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": message}})
    partial = b"\x08" + _varint(rejected) + b"\x12" + _sized(message.encode())
    return b"\x0a" + _sized(partial)


def _told(errors: Sequence[LineError]) -> Iterator[str]:
    for error in sorted(errors, key=lambda each: each.number)[:10]:
        yield f"log {error.number}: {error.reason}: {error.detail[:200]}"


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
