"""The JSON objects of a HEC body: one a line, or one right behind the other, or over several lines."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, Final

from logflume.block import reasons
from logflume.edge.http.body import json_weight
from logflume.edge.http.protocols.gathering import Reserve
from logflume.edge.http.protocols.record import Load
from logflume.errors import Poison

_BLANK: Final = b" \t\r\n"
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_FIND_END: Final = json.JSONDecoder().raw_decode

Found = dict[str, Any] | Poison


def objects(body: bytes, load: Load, reserve: Reserve) -> Iterator[Found]:
    """Yield each object, or why there is none.

    Behind the first mistake that hides where an object ends, each line stands for itself: an object over several lines
    is not looked for any more, or hostile bytes could have each line read to the end of the body.
    """
    at = 0
    while at < len(body):
        end = body.find(b"\n", at) + 1 or len(body)
        line = body[at:end].strip(_BLANK)
        if line:
            found = None if b"}{" in line else _loaded(line, load)
            if not isinstance(found, dict):
                yield from _anyhow(body[at:], load, reserve)
                return
            yield found
        at = end


def _anyhow(body: bytes, load: Load, reserve: Reserve) -> Iterator[Found]:
    """Do as ``objects`` where a line is not an object: with a parser that says where one ends, twice as slow."""
    reserve(json_weight(body) + 4 * len(body))
    text = body.decode(errors="surrogateescape")
    behind = yield from _several(text, load)
    if behind is None:
        return
    at = text.find("\n", behind) + 1
    while 0 < at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield from _several(text[at:end], load)
        at = end


def _several(text: str, load: Load) -> Generator[Found, None, int | None]:
    """Yield the objects that follow one another in ``text``. Returns where a mistake is, or None."""
    at = _skip(text, 0)
    while at < len(text):
        try:
            _, end = _FIND_END(text, at)
        except (ValueError, RecursionError) as error:
            yield Poison(reasons.MALFORMED, f"no JSON: {str(error)[:200]}")
            return at
        yield _loaded(text[at:end].encode(errors="surrogateescape"), load)
        at = _skip(text, end)
    return None


def _loaded(line: bytes, load: Load) -> Found:
    try:
        return load(line)
    except Poison as poison:
        return poison


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
