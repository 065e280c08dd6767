"""What both encodings of Loki's push become before they are mapped: streams of entries under their labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from logflume.block import reasons
from logflume.errors import Poison

INT64: Final = range(-(2**63), 2**63)
"""What an entry's time may be."""


class Entry(NamedTuple):
    """One line: its time in nanoseconds since 1970, its text, and its structured metadata."""

    ns: int
    line: str
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stream:
    """Entries under one set of labels; a ``Poison`` is an entry refused."""

    labels: dict[str, str]
    entries: Iterator[Entry | Poison]


_LABEL: Final = re.compile(r'\s*([^\s=,{}"]+)\s*=\s*"([^"\\]*(?:\\.[^"\\]*)*)"\s*(,|\})', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_SINGLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def labels(text: str) -> dict[str, str]:
    """Return the labels of ``{name="value", …}``, values quoted as Go does. Raises ``Poison``."""
    body = text.strip()
    if body.strip("{} \t") == "" and body.startswith("{") and body.endswith("}"):
        return {}
    found: dict[str, str] = {}
    at = 1
    while body.startswith("{") and (match := _LABEL.match(body, at)):
        name, value, after = match.groups()
        found[name] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        at = match.end()
        if at == len(body) and after == "}":
            return found
    raise Poison(reasons.MALFORMED, f'labels must be {{name="value", …}}, not {text[:100]!r}')


def _unescaped(match: re.Match[str]) -> str:
    x, u, long, octal, single = match.groups()
    if single is not None:
        return _SINGLE.get(single, single)
    code = int(x or u or long, 16) if octal is None else int(octal, 8)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
