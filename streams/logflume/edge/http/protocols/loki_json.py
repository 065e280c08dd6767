"""Loki's push in JSON: ``{"streams": [{"stream": {…labels}, "values": [["<ns>", "<line>", {…metadata}]]}]}``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from logflume.block import reasons
from logflume.edge.http.protocols.gathering import Gathering, parse_json
from logflume.edge.http.protocols.loki_entry import INT64, Entry, Stream
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

_NS: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def streams(body: bytes, gathering: Gathering) -> Iterator[Stream]:
    """Yield the streams of a body, a step of ``gathering`` each. Raises ``Refusal`` when its frame can't be read."""
    for stream in _list(parse_json(body), "streams"):
        gathering.step()
        try:
            labels = _texts(stream.get("stream") or {}, "stream") if isinstance(stream, dict) else {}
        except Poison as poison:
            raise Refusal(400, poison.detail) from None
        yield Stream(labels, _entries(_list(stream, "values")))


def _entries(values: list[Any]) -> Iterator[Entry | Poison]:
    for value in values:
        try:
            yield _entry(value)
        except Poison as poison:
            yield poison


def _entry(value: Any) -> Entry:
    if type(value) is not list or not 2 <= len(value) <= 3 or type(value[1]) is not str:
        raise Poison(reasons.MALFORMED, 'an entry is ["<nanoseconds>", "<line>"], and perhaps an object of metadata')
    ns = value[0]
    if type(ns) is str and _NS.fullmatch(ns):
        ns = int(ns)
    if type(ns) is not int or ns not in INT64:
        raise Poison(reasons.MALFORMED, f"an entry's time is nanoseconds since 1970, not {str(ns)[:40]!r}")
    return Entry(ns, value[1], _texts(value[2], "metadata") if len(value) == 3 and value[2] else {})


def _list(parent: Any, name: str) -> list[Any]:
    value = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(value, list):
        raise Refusal(400, f"{name}: an array was expected")
    return value


def _texts(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(type(item) is str for item in value.values()):
        raise Poison(reasons.MALFORMED, f"{name}: an object of strings was expected")
    return value
