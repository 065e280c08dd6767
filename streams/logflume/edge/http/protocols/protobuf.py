"""The frame of protobuf messages: their fields one by one, as views, without building a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from logflume.edge.http.protocols.gathering import Gathering
from logflume.edge.http.refusal import Refusal

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MOST_VARINT: Final = 10


def fields(view: memoryview, gathering: Gathering) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each length-delimited field, in order; other fields are passed over.

    Raises ``Refusal`` when the bytes are no message, or when ``gathering`` has seen too many fields.
    """
    at, end = 0, len(view)
    count, most = 0, gathering.fields_left
    while at < end:
        count += 1
        if count > most:
            raise Refusal(413, "the body has too many fields; send smaller batches")
        key = view[at]  # field numbers below 16 take one byte, and nearly all are
        at += 1
        if key > 127:
            key, at = _varint(view, at - 1)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(view, at)
            if size > end - at:
                raise _broken("a field reaches past the end of its message")
            yield key >> 3, view[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(view, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            raise _broken(f"wire type {kind}")
        if key < 8:
            raise _broken("field number 0")
    if at > end:
        raise _broken("a field reaches past the end of its message")
    gathering.fields_left -= count


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at ``at``, and where it ends."""
    value = 0
    for step in range(_MOST_VARINT):
        if at >= len(view):
            raise _broken("it ends inside a number")
        byte = view[at]
        at += 1
        value |= (byte & 127) << (7 * step)
        if byte < 128:
            return value, at
    raise _broken("a number of more than 64 bits")


def _broken(detail: str) -> Refusal:
    return Refusal(400, f"the body is no protobuf message of this kind: {detail}")
