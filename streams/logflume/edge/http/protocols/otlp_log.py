"""What both encodings of OTLP's logs become before they are mapped: groups of logs under one resource and scope."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from logflume.errors import Poison

MOST_DEPTH: Final = 48
"""Of a value's lists and maps; a record may nest 64 deep, and the value lies a few down in it."""

# The short names of SeverityNumber 1 to 24 (OpenTelemetry's log data model).
SEVERITIES: Final = tuple(
    f"{name}{step or ''}" for name in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for step in ("", 2, 3, 4)
)


class Log(NamedTuple):
    """A LogRecord: its fields as OTLP names them, ids in hexadecimal, 0 and "" for what was not set."""

    time: int
    observed_time: int
    severity_number: int
    severity_text: str
    body: Any
    attributes: dict[str, str]
    typed: dict[str, Any]
    dropped_attributes_count: int
    flags: int
    trace_id: str
    span_id: str
    event_name: str


@dataclass(frozen=True, slots=True)
class Group:
    """Logs under one resource and scope, both as JSON objects with their attributes; a ``Poison`` is a log refused."""

    resource: dict[str, Any]
    scope: dict[str, Any]
    logs: Iterator[Log | Poison]


def split(attributes: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the attributes that are text, and the others."""
    texts = {key: value for key, value in attributes.items() if type(value) is str}
    if len(texts) == len(attributes):
        return texts, {}
    return texts, {key: value for key, value in attributes.items() if type(value) is not str}


def non_finite(value: float) -> float | str:
    """Return a double as JSON can hold it: NaN and the infinities by their names, as proto3's JSON has them."""
    if value - value == 0.0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
