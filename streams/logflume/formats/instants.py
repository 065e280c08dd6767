"""Timestamps of records: RFC 3339 with a zone, or numbers since 1970 UTC, to nanoseconds; the instant survives exactly.

Whole numbers are seconds, ms, us or ns by their magnitude; a number with a fraction is seconds. What is no instant
between 1677 and 2262 (a leap second, a tenth digit of the fraction, a text without a zone) is said not to fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

TYPE: Final = pa.timestamp("ns", tz="UTC")

# Below each bound a whole number has that many nanoseconds a unit; the second value is the largest that fits 64 bits.
_SECONDS, _MILLIS, _MICROS = 10**11, 10**14, 10**17
_MOST_NS: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)",
    re.ASCII,
)


def from_text(texts: pa.Array) -> pa.Array:
    """Return the instants of a string array; ``pa.ArrowInvalid`` when one of them is none."""
    return texts.cast(TYPE)


def from_numbers(numbers: pa.Array) -> pa.Array:
    """Return the instants of an int64 array; ``OverflowError`` when one of them is out of range."""
    values = numbers.fill_null(0).to_numpy()
    size = np.abs(values)  # the smallest int64, which numpy takes for NaT, stays negative
    unit = np.select([size < _SECONDS, size < _MILLIS, size < _MICROS], [1_000_000_000, 1_000_000, 1_000], 1)
    if (size > _MOST_NS // unit).any() or (size < 0).any():
        raise OverflowError("a number is no instant between 1677 and 2262")
    return pa.array(values * unit, pa.int64(), mask=numbers.is_null().to_numpy(zero_copy_only=False)).cast(TYPE)


def from_values(values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """Return the instants of JSON values, null where one is none, and the indices of those that are none."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds <= {str}:
            return from_text(pa.array(values, pa.string())), []
        if kinds == {int}:
            return from_numbers(pa.array(values, pa.int64())), []
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        pass
    return _from_each(values)


def from_value(value: Any) -> int | None:
    """Return the nanoseconds since 1970 UTC that a JSON value means, or None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        size = abs(value)
        unit = 10**9 if size < _SECONDS else 10**6 if size < _MILLIS else 10**3 if size < _MICROS else 1
        return _in_range(value * unit)
    if isinstance(value, float):
        ns = Decimal(repr(value)) * 10**9
        return _in_range(int(ns)) if abs(value) < _SECONDS and ns == int(ns) else None
    if isinstance(value, str):
        return _from_text(value)
    return None


def _from_text(text: str) -> int | None:
    """Read one text. pyarrow's cast takes the same but a small t and z; its refusal of one costs 0.5 ms."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    try:
        naive = datetime(int(year), int(month), int(day), int(hour), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    if int(zone_hours or 0) > 23 or int(zone_minutes or 0) > 59:
        return None
    zone_seconds = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
    since = naive - _EPOCH
    seconds = since.days * 86_400 + since.seconds + (zone_seconds if sign == "-" else -zone_seconds)
    return _in_range(seconds * 10**9 + int((fraction or "").ljust(9, "0")))


def _in_range(ns: int) -> int | None:
    return ns if -_MOST_NS <= ns <= _MOST_NS else None


def _from_each(values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    found = [from_value(value) for value in values]
    misfits = [i for i, value in enumerate(values) if value is not None and found[i] is None]
    return pa.array(found, pa.int64()).cast(TYPE), misfits
