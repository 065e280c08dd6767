"""Records of a segment as bytes: each can be told from damage, and found again behind it. Pure.

FR1  A record that ``scan`` gives is one that ``frame`` made for this spool, bit for bit.
FR2  Every byte that is in no record given is in exactly one ``Damage``, so that records behind damage are found.

A record: a head of 48 bytes (magic, spool, version, kind, length, number, count, time, CRC of the head), the payload,
the payload's CRC. The head's own CRC lets its length be trusted when the payload is broken. The magic holds the spool's
random id, so that no text that somebody logs can pass for a record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from logflume.errors import Refused

ID_BYTES = 8
VERSION = 1

_MAGIC = b"LFsp"
_HEAD = struct.Struct("<4s8sBB2xIQIxxxxQ")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size
FRAME_BYTES = HEAD_BYTES + _CRC.size
"""What a record takes beside its payload."""


class Kind(IntEnum):
    """What a record says."""

    CHECKPOINT = 1
    MESSAGES = 2
    SENT = 3
    DONE = 4


_KINDS = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Head:
    """``number`` is the first of ``count`` messages that the record is about; ``time_ns`` is when it was written."""

    kind: Kind
    length: int
    number: int
    count: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole record, at ``at`` in its segment."""

    at: int
    head: Head
    payload: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return FRAME_BYTES + len(self.payload)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record. ``head``: of the record that they were, if that much is known."""

    at: int
    size: int
    torn: bool
    """The segment's end, as a crash in the middle of a write leaves it: less than a record, or nothing but zeros."""
    head: Head | None = None


def frame(spool: bytes, kind: Kind, number: int, count: int, time_ns: int, payload: bytes) -> bytes:
    """The bytes of one record of the spool with the id ``spool``."""
    head = _HEAD.pack(_MAGIC, spool, VERSION, kind, len(payload), number, count, time_ns)
    return b"".join((head, _CRC.pack(zlib.crc32(head)), payload, _CRC.pack(zlib.crc32(payload))))


def scan(spool: bytes, data: bytes) -> Iterator[Frame | Damage]:
    """Give the records of a segment, and what lies between them (FR1, FR2).

    Raises ``Refused`` for a record of a version that this release can't read.
    """
    at = 0
    while at < len(data):
        head = read_head(spool, data, at)
        if head is not None:
            end = at + FRAME_BYTES + head.length
            if end <= len(data):
                payload = read_payload(data[at:end])
                yield Damage(at, end - at, False, head) if payload is None else Frame(at, head, payload)
                at = end
                continue
        found = _next(spool, data, at + 1)
        rest = data[at:found]
        # Appends tear at the end: a record that began well and has no end. Anything else there was whole once.
        torn = found == len(data) and (head is not None or len(rest) < HEAD_BYTES or not rest.strip(b"\0"))
        yield Damage(at, found - at, torn, head)
        at = found


def read_head(spool: bytes, data: bytes, at: int = 0) -> Head | None:
    """The head at ``at``, or None when there is none that is whole."""
    if len(data) - at < HEAD_BYTES:
        return None
    packed = data[at : at + _HEAD.size]
    if _CRC.unpack_from(data, at + _HEAD.size)[0] != zlib.crc32(packed):
        return None
    magic, owner, version, kind, length, number, count, time_ns = _HEAD.unpack(packed)
    if magic != _MAGIC or owner != spool:
        return None
    if version != VERSION or kind not in _KINDS:
        raise Refused(f"the spool has records of version {version}, kind {kind}; this release reads version {VERSION}")
    return Head(Kind(kind), length, number, count, time_ns)


def read_payload(record: bytes) -> bytes | None:
    """The payload of one whole record, or None when it is broken; its head is not looked at."""
    payload = record[HEAD_BYTES : -_CRC.size]
    return payload if _CRC.unpack(record[-_CRC.size :])[0] == zlib.crc32(payload) else None


def _next(spool: bytes, data: bytes, start: int) -> int:
    """Where the next record begins that has a whole head; the end when there is none."""
    at = data.find(_MAGIC + spool, start)
    while at >= 0 and read_head(spool, data, at) is None:
        at = data.find(_MAGIC + spool, at + 1)
    return len(data) if at < 0 else at
