"""Messages of JSON, each of one record or of several lines, as lines of one text that says whose each line is.

What the records of a message are depends on its own bytes alone:

- White space and a byte order mark around it are no part of it.
- Without a line feed it is one record.
- With line feeds it is one record when the whole is one JSON value (an object printed over several lines); else each
  line that is not blank is a record.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from logflume.block import reasons
from logflume.block.wire import MOST_ROWS
from logflume.errors import Poison
from logflume.formats import lines

_ONE_EACH: Final = 1


@dataclass(frozen=True, slots=True)
class Messages:
    """The records of some messages: ``counts[i]`` neighbouring ``lines`` are those of message ``i``.

    ``spoiled`` says of messages without a record why they have none.
    """

    lines: lines.Lines
    counts: npt.NDArray[np.int64]
    spoiled: dict[int, Poison]

    def owners(self) -> npt.NDArray[np.int64]:
        """Return which message each line is of."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def numbers(self) -> npt.NDArray[np.int32]:
        """Return which record of its message each line is, counted from 0."""
        firsts = np.cumsum(self.counts) - self.counts
        return (np.arange(len(self.lines)) - np.repeat(firsts, self.counts)).astype(np.int32)


def of_messages(values: Sequence[bytes], always_lines: Container[int] = ()) -> Messages:
    """Return the records of ``values``; those numbered in ``always_lines`` are read line by line in any case."""
    data = b"\n".join(values)
    found = lines.bounds(data) if values and values[-1] else None
    if found is not None and len(found[0]) == len(values) and lines.all_tidy(data, *found):
        ones = np.full(len(values), _ONE_EACH, np.int64)
        return Messages(lines.Lines(data, *found, odd=np.empty(0, np.int64)), ones, {})
    return _each(values, always_lines)


def _each(values: Sequence[bytes], always_lines: Container[int]) -> Messages:
    texts: list[bytes] = []
    counts = np.zeros(len(values), np.int64)
    spoiled: dict[int, Poison] = {}
    for at, value in enumerate(values):
        bare = value.removeprefix(lines.MARK).strip(lines.SPACE)
        feeds = bare.count(b"\n")
        if not bare:
            spoiled[at] = Poison(reasons.NOT_JSON, "the message is empty")
        elif feeds >= MOST_ROWS:
            spoiled[at] = Poison(reasons.TOO_MANY_ROWS, f"{feeds + 1} lines; a message has {MOST_ROWS} at most")
        else:
            text, counts[at] = _records(bare, feeds, at in always_lines)
            texts.append(text)
    return Messages(_lines(b"\n".join(texts)), counts, spoiled)


def _records(bare: bytes, feeds: int, always_lines: bool) -> tuple[bytes, int]:
    """Return the records of one message, each on one line, and how many they are."""
    if not feeds:
        return bare, 1
    if bare.count(b"}\n{") == feeds and bare.startswith(b"{") and bare.endswith(b"}"):
        return bare, feeds + 1
    if not always_lines and _is_one(bare):
        # JSON allows no line feed inside a text, so each of them is white space.
        return bare.replace(b"\n", b" "), 1
    kept = [line.strip(lines.SPACE) for line in bare.split(b"\n")]
    kept = [line for line in kept if line]
    return b"\n".join(kept), len(kept)


def _is_one(text: bytes) -> bool:
    """Whether ``text`` is one JSON value; both parsers stop where the first value ends, however long the text is."""
    try:
        orjson.loads(text)
        return True
    except ValueError:
        if b"\\u" not in text:
            return False
    try:  # a lone surrogate is JSON, which orjson refuses
        json.loads(text)
        return True
    except (ValueError, RecursionError):
        return False


def _lines(data: bytes) -> lines.Lines:
    """Return the lines of ``data``, of which none is blank."""
    found = lines.bounds(data)
    if found is None:
        nothing = np.empty(0, np.int64)
        return lines.Lines(b"", nothing, nothing, nothing)
    starts, ends = found
    text = np.frombuffer(data, np.uint8)
    odd = np.flatnonzero((text[starts] != ord("{")) | (text[ends - 1] != ord("}")))
    return lines.Lines(data, starts, ends, odd)
