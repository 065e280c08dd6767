"""OTLP's logs in JSON: proto3's mapping as OTLP uses it (lowerCamelCase, ids in hexadecimal, 64-bit numbers as text).

Names it does not know are ignored, as OTLP demands. Enum values are taken as numbers and as names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from logflume.block import reasons
from logflume.edge.http.protocols.gathering import Gathering, parse_json
from logflume.edge.http.protocols.otlp_log import MOST_DEPTH, SEVERITIES, Group, Log, non_finite, split
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_SEVERITY_NAME: Final = "SEVERITY_NUMBER_"
_NON_FINITE: Final = ("NaN", "Infinity", "-Infinity")

_UNSIGNED: Final = range(2**64)
_SIGNED: Final = range(-(2**63), 2**63)


def groups(body: bytes, gathering: Gathering) -> Iterator[Group]:
    """Yield the groups of a request, a step of ``gathering`` for each. Raises ``Refusal`` for a broken frame."""
    request = parse_json(body)
    for resource_logs in _frame(_objects, request, "resourceLogs"):
        resource = _frame(_described, resource_logs, "resource")
        for scope_logs in _frame(_objects, resource_logs, "scopeLogs"):
            gathering.step()
            yield Group(resource, _frame(_described, scope_logs, "scope"), _logs(scope_logs))


def _frame(read: Any, parent: Any, name: str) -> Any:
    try:
        return read(parent, name)
    except Poison as poison:
        raise Refusal(400, f"{name}: {poison.detail}") from None


def _logs(scope_logs: Any) -> Iterator[Log | Poison]:
    for record in _frame(_list, scope_logs, "logRecords"):
        try:
            yield _log(_object(record))
        except Poison as poison:
            yield poison


def _log(record: dict[str, Any]) -> Log:
    texts, typed = split(_attributes(record))
    return Log(
        _integer(record.get("timeUnixNano"), _UNSIGNED),
        _integer(record.get("observedTimeUnixNano"), _UNSIGNED),
        _severity(record.get("severityNumber")),
        _text(record.get("severityText")),
        None if record.get("body") is None else _value(record["body"]),
        texts,
        typed,
        _integer(record.get("droppedAttributesCount"), _UNSIGNED),
        _integer(record.get("flags"), _UNSIGNED),
        _hex(record.get("traceId")),
        _hex(record.get("spanId")),
        _text(record.get("eventName")),
    )


def _described(parent: Any, name: str) -> dict[str, Any]:
    """Return what is set of a resource or scope, and the schema's address, which stands beside it."""
    thing = _object(parent[name]) if parent.get(name) is not None else {}
    found: dict[str, Any] = {}
    for key in ("name", "version"):
        if name == "scope" and _text(thing.get(key)):
            found[key] = thing[key]
    if attributes := _attributes(thing):
        found["attributes"] = attributes
    if schema_url := _text(parent.get("schemaUrl")):
        found["schema_url"] = schema_url
    if dropped := _integer(thing.get("droppedAttributesCount"), _UNSIGNED):
        found["dropped_attributes_count"] = dropped
    return found


def _attributes(thing: Mapping[str, Any], depth: int = 0, name: str = "attributes") -> dict[str, Any]:
    pairs = (_object(pair) for pair in _list(thing, name))
    return {_text(pair.get("key")): _value(pair.get("value"), depth) for pair in pairs}


def _value(value: Any, depth: int = 0) -> Any:
    """Return an AnyValue as plain JSON: as ``otlp_proto`` gives it."""
    if depth > MOST_DEPTH:
        raise Poison(reasons.TOO_DEEP, f"a value nested deeper than {MOST_DEPTH} lists and maps")
    if value is None:
        return None
    for kind, content in _object(value).items():
        match kind:
            case "stringValue" | "bytesValue":
                return _text(content)
            case "boolValue":
                if type(content) is not bool:
                    raise _malformed("boolValue", content)
                return content
            case "intValue":
                return _integer(content, _SIGNED)
            case "doubleValue":
                return _double(content)
            case "arrayValue":
                return [_value(item, depth + 1) for item in _list(_object(content), "values")]
            case "kvlistValue":
                return _attributes(_object(content), depth + 1, "values")
    return None


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _malformed("an object", value)
    return value


def _list(parent: Any, name: str) -> list[Any]:
    value = _object(parent).get(name)
    if value is None:
        return []
    if type(value) is not list:
        raise _malformed(f"{name}: an array", value)
    return value


def _objects(parent: Any, name: str) -> list[dict[str, Any]]:
    return [_object(item) for item in _list(parent, name)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise _malformed("a string", value)
    return value


def _hex(value: Any) -> str:
    text = _text(value)
    if not _HEX.fullmatch(text):
        raise _malformed("an id in hexadecimal", value)
    return text.lower()


def _integer(value: Any, within: range) -> int:
    if value is None:
        return 0
    if (type(value) is str and _INTEGER.fullmatch(value)) or (type(value) is float and value.is_integer()):
        value = int(value)
    if type(value) is not int or value not in within:
        raise _malformed("a whole number of 64 bits", value)
    return value


def _double(value: Any) -> float | str:
    if type(value) is str:
        if value in _NON_FINITE:
            return value
        value = _number(value)
    if type(value) not in (int, float):
        raise _malformed("a number", value)
    return non_finite(float(value))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _severity(value: Any) -> int:
    if type(value) is not str or _INTEGER.fullmatch(value):
        return _integer(value, _SIGNED)
    name = value.removeprefix(_SEVERITY_NAME)
    if name in SEVERITIES:
        return SEVERITIES.index(name) + 1
    if name == "UNSPECIFIED":
        return 0
    raise _malformed("a severity", value)


def _malformed(wanted: str, value: Any) -> Poison:
    shown = repr(value)[:60] if isinstance(value, str | int | float) else type(value).__name__
    return Poison(reasons.MALFORMED, f"{wanted} was expected, not {shown}")
