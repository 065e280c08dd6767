"""``_extra``: JSON text for what a dataset's columns do not hold, exact to the last digit of an integer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

# From 20 digits on (19 below zero) an integer may not fit 64 bits: orjson would read it as a float.
_LONG_NUMBER = re.compile(r"[0-9]{20}|-[0-9]{19}")


def dumps(value: dict[str, Any]) -> str:
    """Return JSON text that ``loads`` reads back equal: big integers and lone surrogates included."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer past 64 bits, a lone surrogate, or nested deeper than orjson goes
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds; ``ValueError`` when it is no JSON object."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def parse(text: str) -> Any:
    """Return the JSON value of ``text``, exactly; ``ValueError`` when it is none. NaN and Infinity are none."""
    if _LONG_NUMBER.search(text):
        return _parse_exactly(text)
    try:
        return orjson.loads(text)
    except ValueError:
        return _parse_exactly(text)  # lone surrogates are JSON too


def check(column: pa.Array) -> None:
    """Raise ``ValueError`` unless every value of an ``_extra`` column is null or a JSON object."""
    if column.null_count == len(column):
        return
    for text in column.drop_null().to_pylist():
        try:
            value = orjson.loads(text)
        except ValueError:
            value = _parse_exactly(text)
        if type(value) is not dict:
            raise ValueError(f"{text[:80]} is no JSON object")


def normalised(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return an ``_extra`` column of JSON objects as we write them: no white space around, null instead of ``{}``."""
    if column.null_count == len(column):
        return column
    trimmed = pc.ascii_trim(column, " \t\r\n")
    empty = pc.match_substring_regex(trimmed, r"^\{[ \t\r\n]*\}$")
    return pc.if_else(empty, None, trimmed)


def merge(column: pa.Array | None, names: Sequence[str], values: Sequence[Sequence[Any]]) -> pa.Array:
    """Return an ``_extra`` column that also holds, row for row, the ``values`` (JSON values, None = absent) by name.

    A name that a row's ``_extra`` has already keeps what it has.
    """
    rows = len(values[0])
    texts = [None] * rows if column is None else column.to_pylist()
    merged: list[str | None] = []
    for text, *row in zip(texts, *values, strict=True):
        found = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        if found:
            text = dumps(found | loads(text)) if text else dumps(found)
        merged.append(text)
    return pa.array(merged, pa.string())


def json_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return a column as JSON values: timestamps as RFC 3339 without trailing zeros, maps as objects.

    NaN and the infinities, which JSON lacks, are None.
    """
    if pa.types.is_timestamp(column.type):
        return cast(list[Any], _rfc3339(column).to_pylist())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    values = cast(list[Any], column.to_pylist())
    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in values]
    return values


def _rfc3339(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    text = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    text = pc.replace_substring_regex(text, r"\.0+Z$", "Z")
    return pc.replace_substring_regex(text, r"(\.[0-9]*[1-9])0+Z$", r"\1Z")


def _parse_exactly(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is past every double")
    return value
