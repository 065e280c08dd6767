"""One JSON record read exactly: integers of any size, lone surrogates; strict where JSON is. Slow, for the odd line."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import orjson

from logflume.block import reasons
from logflume.errors import Poison

MOST_DEPTH: Final = 64
"""Objects and arrays inside one another, the record itself counted; deeper ones are attacks on the readers' stacks."""

_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def load(line: bytes) -> dict[str, Any]:
    """Return the object that ``line`` holds; of duplicate keys the last counts.

    Raises:
        Poison: it is no JSON object; the reason says why not.
    """
    # Counted first: looking at each bracket costs more than all the rest, and a flood of bad lines has them all here.
    if line.count(b"{") + line.count(b"[") > MOST_DEPTH and depth(line) > MOST_DEPTH:
        raise Poison(reasons.TOO_DEEP, f"nested deeper than {MOST_DEPTH} objects and arrays")
    try:
        value = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise Poison(reasons.NOT_UTF8, str(error)[:300]) from error
    except ValueError as error:
        raise Poison(reasons.NOT_JSON, str(error)[:300]) from error
    return checked(value)


def quickly(line: bytes) -> dict[str, Any]:
    """Do as ``load`` for a line known to be shallow and without long numbers, at orjson's speed where it can."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # Where the two can't differ its word is enough: a second parser would double what a flood of bad lines costs.
        odd = b"\\u" in line or b"NaN" in line or b"Infinity" in line or error.msg.startswith("number")
        if line.isascii() and not odd:
            raise Poison(reasons.NOT_JSON, str(error)[:300]) from error
        return load(line)
    return checked(value)


def checked(value: Any) -> dict[str, Any]:
    """Return ``value`` if it is an object; ``Poison`` otherwise."""
    if type(value) is not dict:
        raise Poison(
            reasons.NOT_OBJECT, f"a record is a JSON object, this is {_KINDS.get(type(value), 'something else')}"
        )
    return value


def depth(line: bytes) -> int:
    """Return how deep the brackets of ``line`` are nested, those inside strings left out."""
    deepest = now = 0
    for match in _BRACKETS.finditer(line):
        token = match[0]
        if token in b"{[":
            now += 1
            deepest = max(deepest, now)
        elif token in b"}]":
            now -= 1
    return deepest


_KINDS: Final = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
    int: "a number",
    float: "a number",
}


def _no_constant(name: str) -> None:
    raise Poison(reasons.NOT_FINITE, f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Poison(reasons.NOT_FINITE, f"{text[:40]} is past every double")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python's guard against quadratic time
        raise Poison(reasons.NOT_FINITE, f"an integer of {len(text)} digits; 4,300 are the most") from None


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
"""Made once: ``json.loads`` with these options makes one for every line."""
