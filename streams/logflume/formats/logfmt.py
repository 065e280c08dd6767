"""logfmt: ``level=info msg="it began" user=7``, a line a record. Every line is a record: one that is no logfmt is its
own message, so that nothing is lost for its shape.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

import orjson

_PAIR: Final = re.compile(r'([^\s="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))|)(?:\s+|$)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NUMBER: Final = re.compile(r"\d{1,19}|\d{1,11}\.\d{1,6}", re.ASCII)

ALIASES: Final = {
    "ts": "time",
    "timestamp": "time",
    "@timestamp": "time",
    "lvl": "level",
    "severity": "level",
    "msg": "message",
}
"""What loggers call the fields of ``events``."""


def pairs(line: str) -> list[tuple[str, str]] | None:
    """Return the names and values of ``line`` in order (a name alone is "true"), or None when it is no logfmt.

    It is when it begins with ``name=value`` and consists of such pairs and of names.
    """
    found: list[tuple[str, str]] = []
    at = len(line) - len(line.lstrip())
    while at < len(line):
        match = _PAIR.match(line, at)
        if match is None or (not found and "=" not in match[0]):
            return None
        name, quoted, bare = match.groups()
        if quoted is not None:
            found.append((name, _ESCAPED.sub(_unescaped, quoted) if "\\" in quoted else quoted))
        else:
            found.append((name, "true" if bare is None else bare))
        at = match.end()
    return found or None


def record(line: str, fields: Collection[str], others: str = "") -> dict[str, Any]:
    """Return ``line`` as a record of a dataset with ``fields``.

    Values of names that the dataset does not know stand in the field ``others`` (a map), or by themselves when that is
    "". Of a name that stands twice the last counts, and the whole line is kept as ``line``.
    """
    found = pairs(line)
    if found is None:
        return {"message": line}
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in found:
        alias = ALIASES.get(name, name)
        if alias in fields and alias != others and alias not in known:
            known[alias] = _instant(value) if alias == "time" else value
        elif name in fields and name != others:
            known[name] = value
            known["line"] = line
        else:
            if name in unknown:
                known["line"] = line
            unknown[name] = value
    if not unknown:
        return known
    return known | {others: unknown} if others else unknown | known


def _instant(text: str) -> str | int | float:
    """A time that is a number must not stay text: only numbers are read as seconds."""
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) == 5:
        try:
            return str(orjson.loads(f'"\\{code}"'))
        except orjson.JSONDecodeError:  # half of a pair of surrogates
            return match[0]
    return _ESCAPES.get(code, code)
