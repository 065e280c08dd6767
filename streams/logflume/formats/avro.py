"""Avro object container files to JSON records, by fastavro.

Logical types become what a log record holds: instants RFC 3339 text, dates and times ISO 8601, decimals and UUIDs text.
Bytes become text as in Avro's own JSON encoding, one character a byte. NaN is spelled ``NaN``: no JSON, so that whoever
reads the lines refuses that record, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO
from uuid import UUID

import fastavro

from logflume.errors import Poison
from logflume.formats.avro_schema import checked

_MOST_DECIMAL_BYTES = 1024
"""Of one decimal: 2,466 digits. Reading one takes time by the square of its bytes, for 4 MB most of an hour."""


def _bounded(read: Callable[..., Any]) -> Callable[..., Any]:
    def decimal(data: bytes, *schemas: Any) -> Any:
        if len(data) > _MOST_DECIMAL_BYTES:
            raise ValueError(f"a decimal of {len(data)} bytes; {_MOST_DECIMAL_BYTES} are the most")
        return read(data, *schemas)

    return decimal


# fastavro's own place for readers of logical types; it has one for the process.
for _kind in ("bytes-decimal", "fixed-decimal"):
    fastavro.read.LOGICAL_READERS[_kind] = _bounded(fastavro.read.LOGICAL_READERS[_kind])


def records(file: BinaryIO) -> Iterator[bytes]:
    """Yield each record as a line of JSON; ``Poison`` when the file is no Avro container, or is torn.

    What came before the damage has been yielded by then.
    """
    number = 0
    try:
        container = fastavro.reader(file)
        checked(container.writer_schema)
        for number, record in enumerate(container, start=1):  # noqa: B007
            yield _line(record)
    except Exception as failure:  # fastavro raises whatever a broken file leads it to
        what = f"{type(failure).__name__}: {failure}"
        raise Poison("torn-file", f"the Avro container can't be read past record {number}: {what}") from failure


def _line(record: object) -> bytes:
    return json.dumps(record, default=plain, separators=(",", ":")).encode() + b"\n"


def plain(value: object) -> object:
    """Return the JSON value of what fastavro gives for bytes and for logical types."""
    if isinstance(value, datetime):
        text = value.isoformat()
        return text.replace("+00:00", "Z") if value.tzinfo else text
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"Avro's {type(value).__name__} has no JSON value")
