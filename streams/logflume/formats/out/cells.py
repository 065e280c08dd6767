"""A column's values as JSON text, by whole columns: no Python object a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BINARY: Final = pa.binary()
_QUOTE, _BACKSLASH, _FIRST_PLAIN = 0x22, 0x5C, 0x20
_SHORT: Final = {0x08: b"\\b", 0x09: b"\\t", 0x0A: b"\\n", 0x0C: b"\\f", 0x0D: b"\\r"}
_TO_SECONDS: Final = len("2026-11-22T12:34:56")
_NS_WIDTH: Final = len("2026-11-22T12:34:56.123456789")

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Cell:
    """JSON text of a column: each value is ``before``, what stands in ``texts`` (binary; null is null), ``after``."""

    before: bytes
    texts: pa.Array
    after: bytes

    def whole(self) -> pa.Array:
        """Return the texts with what stands around them."""
        if not self.before and not self.after:
            return self.texts
        return pc.binary_join_element_wise(self.before, self.texts, self.after, b"")


def cell(column: pa.Array) -> Cell:
    """Return the JSON texts of a column of any field's type. NaN and the infinities, which JSON lacks, are null."""
    kind = column.type
    if column.null_count == len(column):  # Arrow gives such columns no bytes to look at, now and then
        return Cell(b"", pa.nulls(len(column), BINARY), b"")
    if pa.types.is_string(kind):
        return Cell(b'"', escaped(column), b'"')
    if pa.types.is_timestamp(kind):
        return Cell(b'"', rfc3339(column), b'"')
    if pa.types.is_floating(kind):
        return Cell(b"", _text(pc.if_else(pc.is_finite(column), column, None)), b"")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return Cell(b"", _text(column), b"")
    if pa.types.is_map(kind):
        starts, (keys, items) = _entries(column, column.keys, column.items)
        pairs = pc.binary_join_element_wise(b'"', escaped(keys), b'":', _or_null(items), b"")
        return Cell(b"{", _joined(column, starts, pairs), b"}")
    if pa.types.is_list(kind):
        starts, (values,) = _entries(column, column.values)
        return Cell(b"[", _joined(column, starts, _or_null(values)), b"]")
    raise TypeError(f"no field has the type {kind}")


def escaped(column: pa.Array) -> pa.Array:
    """Return strings as they stand between the quotes of JSON text.

    Most columns hold nothing to escape, and are returned as they are: looking costs 1 ns a byte or less.
    """
    if column.null_count == len(column):
        return column.cast(BINARY)
    _, offsets, data = _parts(column)
    mask = data < _FIRST_PLAIN
    controls = np.unique(data[mask]).tolist()
    mask = (data == _QUOTE) | (data == _BACKSLASH)
    at = np.flatnonzero(mask)
    if len(at):
        data = np.insert(data, at, _BACKSLASH)
        offsets = offsets + np.searchsorted(at, offsets).astype(np.int32)
        column = _strings(column, offsets, data)
    column = column.cast(BINARY)
    for control in controls:
        column = pc.replace_substring(column, bytes([control]), _SHORT.get(control, b"\\u%04x" % control))
    return column


def rfc3339(column: pa.Array) -> pa.Array:
    """Return instants as RFC 3339 text, in UTC, with as many digits of a second as they have."""
    if column.null_count == len(column):
        return pa.nulls(len(column), BINARY)
    # Without the zone, which is UTC: Arrow takes 2 us to look at each value's zone.
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    valid, _, data = _parts(text)
    width = _width(column.type.unit)
    if len(data) != width * np.count_nonzero(valid):
        raise pa.ArrowInvalid("a time beyond the years 1 to 9999")  # nanoseconds reach from 1677 to 2262
    rows = np.full((len(column), width + 1), ord("Z"), np.uint8)
    rows[valid, :width] = data.reshape(-1, width)
    rows[:, 10] = ord("T")
    keep = np.repeat(valid[:, np.newaxis], width + 1, axis=1)
    zero = np.ones(len(column), bool)
    for at in range(width - 1, _TO_SECONDS, -1):  # from the last digit to the first: at most nine
        zero &= rows[:, at] == ord("0")
        keep[zero, at] = False
    if width > _TO_SECONDS:
        keep[zero, _TO_SECONDS] = False  # the point
    ends = np.zeros(len(column) + 1, np.int32)
    np.cumsum(keep.sum(axis=1), out=ends[1:])
    return _strings(column, ends, rows[keep]).cast(BINARY)


def _width(unit: str) -> int:
    return {"s": _TO_SECONDS, "ms": _NS_WIDTH - 6, "us": _NS_WIDTH - 3, "ns": _NS_WIDTH}[unit]


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()).cast(BINARY)


def _or_null(values: pa.Array) -> pa.Array:
    return pc.fill_null(cell(values).whole(), b"null")


def _entries(column: pa.Array, *children: pa.Array) -> tuple[Offsets, list[pa.Array]]:
    """Return where each list's or map's entries start, and the part of ``children`` that they are: a slice's own."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    first, entries = int(offsets[0]), int(offsets[-1] - offsets[0])
    return offsets - offsets[0], [child.slice(first, entries) for child in children]


def _joined(column: pa.Array, starts: Offsets, entries: pa.Array) -> pa.Array:
    """Return each list's or map's entries with commas between; null where it is null itself."""
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(starts), entries), b",")
    return pc.if_else(column.is_null(), None, joined) if column.null_count else joined


def _parts(column: pa.Array) -> tuple[npt.NDArray[np.bool_], Offsets, Bytes]:
    """Return which values of a string column there are, the offsets of all, and the bytes they point into."""
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
    valid = np.asarray(column.is_valid())
    return valid, offsets - offsets[0], data[offsets[0] : offsets[-1]]


def _strings(like: pa.Array, offsets: Offsets, data: Bytes) -> pa.Array:
    """Return a string array of these parts, null where ``like`` is."""
    valid = pa.py_buffer(np.packbits(np.asarray(like.is_valid()), bitorder="little")) if like.null_count else None
    starts = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    return pa.StringArray.from_buffers(len(like), starts, pa.py_buffer(data), valid, like.null_count)
