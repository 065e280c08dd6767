"""A Parquet file's footer, as far as picking rows needs it: where the pages of each column lie.

From "Parquet format": FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, OffsetIndex. The names below are the fields'
numbers there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from logflume.table import bloom
from logflume.table.pick import thrift
from logflume.table.pick.thrift import Broken, Struct

MOST_CHUNK_BYTES: Final = 32_000_000
"""Of a column in a row group, when all of it must be decoded."""

_VERSION, _SCHEMA, _ROW_GROUPS, _CREATED_BY = 1, 2, 4, 6  # FileMetaData
_COLUMNS, _GROUP_ROWS = 1, 3  # RowGroup
_META, _OFFSETS_AT, _OFFSETS_LENGTH, _CRYPTO, _ENCRYPTED = 3, 4, 5, 8, 9  # ColumnChunk
_TYPE, _ENCODINGS, _PATH, _CODEC, _VALUES, _PLAIN_BYTES, _BYTES = 1, 2, 3, 4, 5, 6, 7  # ColumnMetaData
_DATA_AT, _DICTIONARY_AT = 9, 11
_BLOOM_AT, _BLOOM_LENGTH = 14, 15
_KEPT: Final = (_TYPE, _ENCODINGS, _PATH, _CODEC, _VALUES, _PLAIN_BYTES, _BLOOM_AT, _BLOOM_LENGTH)
"""Of a ColumnMetaData: its statistics are half of a footer."""
_REPETITION, _NAME, _CHILDREN = 3, 4, 5  # SchemaElement
_REPEATED: Final = 2
_LOCATIONS = 1  # OffsetIndex
_PAGE_AT, _PAGE_BYTES, _PAGE_ROW = 1, 2, 3  # PageLocation
_NUMBER: Final = rb"([\x80-\xff]{0,9}[\x00-\x7f])"
_LOCATIONS_HEAD: Final = re.compile(
    rb"\x19(?:([\x1c\x2c\x3c\x4c\x5c\x6c\x7c\x8c\x9c\xac\xbc\xcc\xdc\xec])|\xfc%b)" % _NUMBER
)
_LOCATION: Final = re.compile(rb"\x16%b\x15%b\x16%b\x00" % (_NUMBER, _NUMBER, _NUMBER))
"""A list of PageLocation, and one of them, as everybody writes them."""


class Page(NamedTuple):
    """Where a data page lies, with its header, and its rows by number in their row group."""

    start: int
    end: int
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A leaf column of a row group. ``start`` to ``end``: all its pages; ``data``: the first that has values.

    ``offsets``: where its pages are told of, None where they are not. ``flat``: each row has one value, or null.
    """

    field: str
    meta: Struct
    start: int
    data: int
    end: int
    offsets: tuple[int, int] | None
    flat: bool

    @property
    def values(self) -> int:
        """Values of all its pages, nulls among them."""
        return _whole(self.meta, _VALUES)

    @property
    def plain_bytes(self) -> int:
        """Of its pages when they are unpacked."""
        return _whole(self.meta, _PLAIN_BYTES)

    @property
    def filter(self) -> tuple[int, int] | None:
        """Where its Bloom filter starts and ends; None when it has none."""
        at, length = self.meta.get(_BLOOM_AT), self.meta.get(_BLOOM_LENGTH)
        return (at[1], at[1] + length[1]) if at is not None and length is not None else None


@dataclass(frozen=True, slots=True)
class Group:
    """A row group."""

    rows: int
    chunks: tuple[Chunk, ...]

    def of(self, field: str) -> list[Chunk]:
        """Return the leaf columns of a field, in order; of a plain field one."""
        return [chunk for chunk in self.chunks if chunk.field == field]


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself. ``about``: what is needed of its FileMetaData to read pages; ``root``: its schema's
    root, ``fields``: by name the other elements of that.
    """

    about: Struct
    root: Struct
    fields: Mapping[str, Sequence[Struct]]
    groups: tuple[Group, ...]


def decode(end: bytes, size: int) -> Footer:
    """Read the footer from the last bytes of a file of ``size`` bytes, which hold all of it. Raises ``Broken``."""
    length = bloom.footer_bytes(end)
    if length is None or length > len(end):
        raise Broken("no footer")
    about = thrift.Reader(end, len(end) - length).struct()
    with thrift.understood("the footer"):
        elements = about[_SCHEMA][1][1]
        fields = dict(_fields(elements))
        flat = {name for name, of in fields.items() if len(of) == 1 and _whole(of[0], _REPETITION) != _REPEATED}
        groups = tuple(_group(group, size - length, flat) for group in about[_ROW_GROUPS][1][1])
        kept = {number: about[number] for number in (_VERSION, _CREATED_BY) if number in about}
        return Footer(kept, elements[0], fields, groups)


def pages(chunk: Chunk, group: Group, index: bytes | memoryview) -> list[Page]:
    """Read the offset index of a chunk. Raises ``Broken``."""
    with thrift.understood("the page index"):
        places = _usual(bytes(index)) or _told(thrift.Reader(index).struct())
    ends = [first for _, _, first in places[1:]] + [group.rows]
    found = [Page(at, at + size, first, end - first) for (at, size, first), end in zip(places, ends, strict=True)]
    begun = bool(found) and found[0].first == 0
    if not begun or not all(chunk.data <= p.start < p.end <= chunk.end and p.rows > 0 for p in found):
        raise Broken("the offset index is of other pages")
    return found


def _usual(index: bytes) -> list[tuple[int, ...]] | None:
    """Where pages lie, their bytes and first rows, in half of the time; None where they are not told as usual."""
    head = _LOCATIONS_HEAD.match(index)
    if head is None:
        return None
    count = head[1][0] >> 4 if head[1] else _unsigned(head[2])
    found: list[tuple[int, ...]] = []
    at, signs = head.end(), 0
    for _ in range(count):
        location = _LOCATION.match(index, at)
        if location is None:
            return None
        place, size, first = map(_unsigned, location.groups())
        signs |= place | size | first
        found.append((place >> 1, size >> 1, first >> 1))
        at = location.end()
    return None if signs & 1 else found  # one is less than nothing


def _unsigned(number: bytes) -> int:
    if len(number) == 1:
        return number[0]
    value = 0
    for byte in reversed(number):
        value = value << 7 | byte & 0x7F
    return value


def _told(index: Struct) -> list[tuple[int, ...]]:
    fields = (_PAGE_AT, _PAGE_BYTES, _PAGE_ROW)
    return [tuple(_whole(page, number) for number in fields) for page in index[_LOCATIONS][1][1]]


def whole(chunk: Chunk, group: Group) -> Page:
    """Return all of a chunk as one page. Raises ``Broken`` when it is too large for that."""
    if max(chunk.end - chunk.start, chunk.plain_bytes) > MOST_CHUNK_BYTES:
        raise Broken(f"a column of {chunk.plain_bytes} bytes")
    return Page(chunk.data, chunk.end, 0, group.rows)


def _fields(elements: Sequence[Struct]) -> Iterator[tuple[str, Sequence[Struct]]]:
    at = 1
    while at < len(elements):
        begin, open = at, 1
        while open:
            open += _whole(elements[at], _CHILDREN, 0) - 1
            at += 1
        yield elements[begin][_NAME][1].decode(), elements[begin:at]


def _group(told: Struct, most: int, flat: Collection[str]) -> Group:
    return Group(_whole(told, _GROUP_ROWS), tuple(_chunk(each, most, flat) for each in told[_COLUMNS][1][1]))


def _chunk(told: Struct, most: int, flat: Collection[str]) -> Chunk:
    if _CRYPTO in told or _ENCRYPTED in told:
        raise Broken("it is encrypted")
    meta = told[_META][1]
    field = meta[_PATH][1][1][0].decode()
    data = _whole(meta, _DATA_AT)
    dictionary = _whole(meta, _DICTIONARY_AT, 0)
    start = dictionary if 0 < dictionary < data else data
    end = start + _whole(meta, _BYTES)
    if not 0 < start <= data < end <= most:
        raise Broken(f"a column from {start} to {end}")
    offsets = None
    if _OFFSETS_AT in told:
        at = _whole(told, _OFFSETS_AT)
        offsets = at, at + _whole(told, _OFFSETS_LENGTH)
    kept = {number: meta[number] for number in _KEPT if number in meta}
    return Chunk(field, kept, start, data, end, offsets, field in flat)


def _whole(struct: Struct, number: int, otherwise: int | None = None) -> int:
    if number not in struct and otherwise is not None:
        return otherwise
    value: Any = struct[number][1]
    if not isinstance(value, int) or value < 0:
        raise Broken(f"field {number} is {value!r}")
    return value
