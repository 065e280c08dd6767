"""One Python record as one line of JSON, or a typed error that says why it can't be one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from logflume.block import reasons
from logflume.errors import Poison


def encode(record: Mapping[str, Any]) -> bytes:
    """Return ``record`` as one line of JSON, its newline included.

    Takes what orjson takes (dates, UUIDs, data classes and numpy scalars too), and integers of any size. Raises
    ``Poison`` for anything else; NaN and infinities, which JSON lacks, are refused rather than turned into null.
    """
    if not isinstance(record, dict):
        if not isinstance(record, Mapping):
            raise Poison(reasons.NOT_OBJECT, f"a record is a mapping of names to values, not {type(record).__name__}")
        record = dict(record)
    try:
        line = orjson.dumps(record) + b"\n"  # a copy: orjson's own bytes keep the kilobyte they were made in
    except TypeError:
        return _slowly(record)
    if b"null" in line and _holds_non_finite(record):
        raise Poison(reasons.NOT_FINITE, "NaN and infinities are no JSON values; leave the field out, or send text")
    return line


def _slowly(record: dict[str, Any]) -> bytes:
    """What orjson refuses: integers past 64 bits and keys that are not text pass here."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text.encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as failure:
        raise Poison(reasons.NOT_JSON, f"the record can't be written as JSON: {failure}") from failure


def _plain(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _holds_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return value - value != 0.0
    if isinstance(value, Mapping):
        return any(_holds_non_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_non_finite(item) for item in value)
    return False
