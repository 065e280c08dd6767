"""Thrift's compact protocol, as Parquet's footers, page headers and indexes have it: read and written generically.

From "Thrift compact protocol encoding". A structure is a mapping from a field's number to ``(type, value)``: whole
numbers as int, texts as bytes, lists as ``(type of the items, items)``. Types that Parquet does not use are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

TRUE: Final = 1
FALSE: Final = 2
BYTE: Final = 3
I16: Final = 4
I32: Final = 5
I64: Final = 6
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12

Value = tuple[int, Any]
Struct = Mapping[int, Value]

_DEEPEST: Final = 32
_LONGEST: Final = 10
"""Bytes of a number."""


class Broken(ValueError):
    """These bytes are no such structure."""


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Raise ``Broken`` for what is there, but not as the format has it: lacks a field, has another type, is no text."""
    try:
        yield
    except Broken:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise Broken(f"{what}: {error!r}") from error


class Reader:
    """Reads structures from ``data``, one after another; ``at`` is where the next begins. Raises ``Broken``."""

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._data = data
        self.at = at

    def struct(self) -> dict[int, Value]:
        """Read the next."""
        try:
            return self._struct(0)
        except IndexError:
            raise Broken("it ends too early") from None

    def _struct(self, depth: int) -> dict[int, Value]:
        if depth > _DEEPEST:
            raise Broken("it is too deep")
        found: dict[int, Value] = {}
        number = 0
        while head := self._data[self.at]:
            self.at += 1
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._signed()
            found[number] = kind, self._value(kind, depth)
        self.at += 1
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == BINARY:
            return self._take(self._unsigned())
        if kind == STRUCT:
            return self._struct(depth + 1)
        if kind == LIST:
            return self._list(depth)
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            return self._take(1)
        if kind == DOUBLE:
            return self._take(8)
        raise Broken(f"type {kind}")

    def _list(self, depth: int) -> tuple[int, list[Any]]:
        head = self._data[self.at]
        self.at += 1
        kind, count = head & 0x0F, head >> 4
        if count == 15:
            count = self._unsigned()
        if count > len(self._data) - self.at:
            raise Broken(f"a list of {count}")
        if kind in (TRUE, FALSE):  # as items they have a byte each
            return kind, [byte == TRUE for byte in self._take(count)]
        return kind, [self._value(kind, depth) for _ in range(count)]

    def _take(self, length: int) -> bytes:
        taken = bytes(self._data[self.at : self.at + length])
        if len(taken) != length:
            raise Broken("it ends too early")
        self.at += length
        return taken

    def _unsigned(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        if byte < 0x80:
            return byte
        number, shift = byte & 0x7F, 7
        while byte >= 0x80:
            byte = self._data[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > 7 * _LONGEST:
                raise Broken("a number without an end")
        return number

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)


def encode(struct: Struct) -> bytes:
    """Return the bytes of a structure."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def _put_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number in sorted(struct):
        kind, value = struct[number]
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, number)
        last = number
        if kind not in (TRUE, FALSE):
            _put(out, kind, value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_signed(out, value)
    elif kind == BINARY:
        _put_unsigned(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind == LIST:
        items, values = value
        out.append(min(len(values), 15) << 4 | items)
        if len(values) >= 15:
            _put_unsigned(out, len(values))
        for each in values:
            _put(out, items, each)
    elif kind in (TRUE, FALSE):
        out.append(TRUE if value else FALSE)
    else:
        out += value


def _put_signed(out: bytearray, number: int) -> None:
    _put_unsigned(out, (number << 1) ^ (number >> 63))


def _put_unsigned(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
