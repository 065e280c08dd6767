"""Bytes of a file become records: where each ends, and its line of JSON. Pure: the same bytes give the same records.

R1  What ``take`` consumed is a prefix of ``data``; its records hold every line of that prefix once and in order, but
    for blank lines and for the NUL bytes that stand where a file was cut while its writer went on.
R2  A record that may still go on is not taken ``until`` allows it: a reader that begins again at the consumed place
    reads it as if nothing had happened.
R3  No record is larger than ``record_bytes``: a longer line is cut there, and each piece is a line by itself. (Of JSON
    lines the pieces are dead letters then, so that no byte is lost.)
R4  Of ``data`` larger than three times ``record_bytes`` something is consumed, unless NULs fill it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
import orjson

from logflume.edge.buffer import Format
from logflume.edge.lines import Lines
from logflume.formats import cri, logfmt, text
from logflume.formats.text import Multiline
from logflume.model import Dataset, FieldType

_LF: Final = 10


class Until(IntEnum):
    """How far to read."""

    RECORD = 0
    """Records that are surely at their end."""
    LINE = 1
    """Whole lines: the file has been still for so long that its last record is at its end."""
    END = 2
    """Everything: nothing will be added to the last line any more."""


@dataclass(frozen=True, slots=True)
class Taken:
    """``rows`` records as lines, made of the first ``consumed`` bytes."""

    lines: Lines
    consumed: int

    @property
    def rows(self) -> int:
        """Records."""
        return len(self.lines)


@dataclass(frozen=True, slots=True)
class About:
    """What a record's file says about it; for the formats that have no fields of their own."""

    path: str
    host: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How the files of a source are read. ``format`` says how the packer reads what ``take`` gives."""

    format: Format
    take: Callable[[bytes, Until, About], Taken] = field(repr=False)


FORMATS: Final = ("json", "ndjson", "combined", "logfmt", "cri", "text")


def reading(name: str, dataset: Dataset, multiline: Multiline, record_bytes: int) -> Reading:
    """Return how to read the format ``name`` (one of ``FORMATS``) into ``dataset``."""
    if name in ("json", "ndjson"):
        return Reading(Format.NDJSON, functools.partial(_as_they_are, record_bytes))
    if name == "combined":
        return Reading(Format.COMBINED, functools.partial(_as_they_are, record_bytes))
    if name == "logfmt":
        others = next((field.name for field in dataset.fields if field.type is FieldType.MAP), "")
        names = frozenset(field.name for field in dataset.fields)
        return Reading(
            Format.NDJSON,
            functools.partial(_logfmt, record_bytes, names, others),
        )
    if name == "cri":
        return Reading(Format.NDJSON, functools.partial(_cri, record_bytes))
    return Reading(Format.NDJSON, functools.partial(_text, record_bytes, multiline))


# --- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Split:
    """Lines without their ends, and where in the data each one ends (its newline included)."""

    lines: list[bytes]
    ends: list[int]


def _split(data: bytes, until: Until, record_bytes: int) -> _Split:
    """Return the lines of ``data`` as R3 cuts them; the last one only when it has its newline or ``until`` is END."""
    lines: list[bytes] = []
    ends: list[int] = []
    at = 0
    raw = data.split(b"\n")
    rest = raw.pop()
    for whole in raw:
        stop = at + len(whole)
        if len(whole) > record_bytes or whole.startswith(b"\0"):
            at = _cut(whole, at, record_bytes, lines, ends, last=True)
            ends[-1] = stop + 1
        else:
            lines.append(whole)
            ends.append(stop + 1)
        at = stop + 1
    if until is Until.END and rest.strip(b"\0"):
        _cut(rest, at, record_bytes, lines, ends, last=True)
    elif until is not Until.END and len(rest.lstrip(b"\0")) > record_bytes:
        _cut(rest, at, record_bytes, lines, ends, last=False)
    return _Split(lines, ends)


def _cut(line: bytes, at: int, most: int, lines: list[bytes], ends: list[int], *, last: bool) -> int:
    """Append the pieces of a line that begins at ``at``, without the NULs it begins with; ``last``: the rest too."""
    bare = line.lstrip(b"\0")
    at += len(line) - len(bare)
    while len(bare) > most:
        stop = most
        while stop > most - 4 and bare[stop] & 0xC0 == 0x80:  # not inside of a character
            stop -= 1
        lines.append(bare[:stop])
        at += stop
        ends.append(at)
        bare = bare[stop:]
    if last:
        lines.append(bare)
        at += len(bare)
        ends.append(at)
    return at


def _consumed(ends: list[int], count: int) -> int:
    return ends[count - 1] if count else 0


# --- formats ----------------------------------------------------------------------------------------------------------


def _as_they_are(record_bytes: int, data: bytes, until: Until, about: About) -> Taken:
    """Hand lines on untouched: found by whole-array operations when all are ordinary."""
    end = data.rfind(b"\n") + 1
    plain = until is not Until.END and len(data) - end <= record_bytes and b"\0" not in data
    if plain and _longest(data[:end]) <= record_bytes:
        return Taken(Lines(data[:end]), end)
    split = _split(data, until, record_bytes)
    return Taken(Lines(_joined(split.lines)), _consumed(split.ends, len(split.ends)))


def _longest(lines: bytes) -> int:
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == _LF)
    return int(np.diff(ends, prepend=-1).max()) - 1 if len(ends) else 0


def _text(record_bytes: int, multiline: Multiline, data: bytes, until: Until, about: About) -> Taken:
    split = _split(data, until, record_bytes)
    groups, is_open = multiline.groups(split.lines, record_bytes)
    if is_open and until is Until.RECORD:
        groups.pop()
    fixed = {"host": about.host}
    found = []
    for group in groups:
        raw = b"\n".join([line.removesuffix(b"\r") for line in split.lines[group.first : group.last]]).rstrip()
        if not raw:
            continue
        message, whole = cri.decoded(raw)
        record: dict[str, Any] = fixed | {"message": message, "attributes": _attributes(about, whole)}
        if (time := text.instant(message)) is not None:
            record["time"] = time
        found.append(orjson.dumps(record))
    return Taken(Lines(_joined(found)), _consumed(split.ends, groups[-1].last if groups else 0))


def _logfmt(record_bytes: int, fields: frozenset[str], others: str, data: bytes, until: Until, about: About) -> Taken:
    split = _split(data, until, record_bytes)
    found = []
    for raw in split.lines:
        if not raw.strip():
            continue
        line, whole = cri.decoded(raw.strip())
        record = {"host": about.host} | logfmt.record(line, fields, others)
        if others:
            record[others] = _attributes(about, whole) | record.get(others, {})
        found.append(orjson.dumps(record))
    return Taken(Lines(_joined(found)), _consumed(split.ends, len(split.ends)))


def _attributes(about: About, whole: bool) -> dict[str, str]:
    return {"file": about.path} if whole else {"file": about.path, "undecoded": "true"}


@dataclass(slots=True)
class _Open:
    """A record of a container whose end has not come: its first line's number, and its parts."""

    line: int
    place: int
    """Among the records, which are in the order of their first lines."""
    time: bytes
    parts: list[bytes]
    size: int


def _cri(record_bytes: int, data: bytes, until: Until, about: About) -> Taken:
    split = _split(data, until, record_bytes)
    origin = cri.origin(about.path)
    fixed = {"host": about.host} | ({"service": origin["container"]} if origin else {})
    found: list[bytes] = []
    open_records: dict[bytes, _Open] = {}
    firsts: list[int] = []
    attributes: dict[bytes, Mapping[str, str]] = {}

    def close(stream: bytes, record: _Open) -> None:
        found[record.place] = cri.record(record.time, b"".join(record.parts), attributes[stream], fixed)

    for number, raw in enumerate(split.lines):
        line = cri.line(raw.removesuffix(b"\r"))
        if line is None:
            if raw.strip():  # not the runtime's: kept as it stands
                firsts.append(number)
                found.append(_foreign(raw.removesuffix(b"\r"), about, fixed))
            continue
        if line.stream not in attributes:
            attributes[line.stream] = {**(origin or {"file": about.path}), "stream": line.stream.decode()}
        record = open_records.get(line.stream)
        if record is not None and record.size + len(line.text) > record_bytes:
            close(line.stream, open_records.pop(line.stream))
            record = None
        if record is None:
            if line.whole and not open_records:  # the usual one
                firsts.append(number)
                found.append(cri.record(line.time, line.text, attributes[line.stream], fixed))
                continue
            record = open_records[line.stream] = _Open(number, len(found), line.time, [], 0)
            firsts.append(number)
            found.append(b"")
        record.parts.append(line.text)
        record.size += len(line.text)
        if line.whole:
            close(line.stream, open_records.pop(line.stream))
    count, lines = len(found), len(split.lines)
    if open_records and (until is not Until.RECORD or _full(data, split, record_bytes)):
        for stream, record in open_records.items():
            close(stream, record)
    elif open_records:
        oldest = min(open_records.values(), key=lambda record: record.place)
        count, lines = oldest.place, oldest.line
    return Taken(Lines(_joined(found[:count])), _consumed(split.ends, lines))


def _full(data: bytes, split: _Split, record_bytes: int) -> bool:
    """Whether there is so much behind that an open record can't wait (R4): one stream may be silent for ever."""
    return len(data) > 3 * record_bytes


def _foreign(raw: bytes, about: About, fixed: Mapping[str, Any]) -> bytes:
    message, whole = cri.decoded(raw)
    return orjson.dumps({**fixed, "message": message, "attributes": _attributes(about, whole)})


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n" if lines else b""
