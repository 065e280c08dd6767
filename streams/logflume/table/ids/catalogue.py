"""What the index of a table's ids looks like: objects in ``_ids/`` of the table's folder, derived from its data files.

I1  It only leaves out. A data file that it does not know by path and size, or of which a piece can't be read, is
    searched by what stands in the file itself.
I2  Nothing of it is believed unchecked: a CRC stands behind the catalogue and behind each stripe, mixed with where it
    belongs, so that what is torn, cut, mixed up or another table's is known as such.
I3  A part is written once, under a name that no other ever has. ``current``, the catalogue, names the parts that stand;
    it is written anew. Of two who do so at once one loses what it did, and neither anything else.

A **part** holds the Bloom filters of many files (see ``granules``), turned by a quarter: first the first block of every
filter, then the second of every one, and so on. An id has its bits in one block of known number, so that one short
read, a **stripe**, tells of all of them. Filters of one length stand together, a **section**.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from logflume.table import bloom
from logflume.table.bloom import BLOCK_BYTES, Filters

FOLDER: Final = "_ids"
CURRENT: Final = f"{FOLDER}/current"
MOST_CATALOGUE_BYTES: Final = 64_000_000
"""Of ``current``: half a million files. A larger one is not read."""

_MAGIC: Final = b"LFids\x00\x00\x02"
_CRC_BYTES: Final = 4
_NAME: Final = re.compile(r"[0-9a-f]{32}")
_MOST_SIZE: Final = 1 << 62

File = tuple[str, int]
"""A data file: its path below the table, and its bytes."""


@dataclass(frozen=True, slots=True)
class Known:
    """A data file in a part. ``blocks``: of each of its filters; see ``Filters`` for None and for nothing."""

    file: File
    blocks: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Stripe:
    """One block of every filter of a section, and their CRC: where it lies, and what it is of."""

    start: int
    end: int
    seed: int
    owners: np.ndarray[Any, np.dtype[np.int64]]

    def matches(self, data: bytes, mask: bloom.Words) -> list[tuple[int, int]] | None:
        """Return which filters have the bits of ``mask``; None when ``data`` is not this stripe.

        Each as the number of its file in the part, and its own among those of the file in this section.
        """
        if not _whole(data, self.end - self.start, self.seed):
            return None
        found = np.flatnonzero(bloom.matches(data[:-_CRC_BYTES], mask))
        owners = self.owners[found]
        return list(zip(owners.tolist(), (found - np.searchsorted(self.owners, owners)).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Section:
    """The filters of ``blocks`` blocks each; ``owners``: of each its file, by number; ``start``: in the part."""

    blocks: int
    owners: np.ndarray[Any, np.dtype[np.int64]]
    start: int

    @property
    def width(self) -> int:
        """Bytes of one stripe."""
        return len(self.owners) * BLOCK_BYTES + _CRC_BYTES


@dataclass(frozen=True)
class Part:
    """One object of the index, and the files that it knows."""

    name: str
    files: tuple[Known, ...]

    @property
    def path(self) -> str:
        """Its path below the table."""
        return f"{FOLDER}/{self.name}"

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """In their order in the object."""
        owners: dict[int, list[int]] = {}
        for number, known in enumerate(self.files):
            for blocks in known.blocks or ():
                owners.setdefault(blocks, []).append(number)
        made, start = [], len(_MAGIC)
        for blocks in sorted(owners):
            section = Section(blocks, np.array(owners[blocks], np.int64), start)
            start += blocks * section.width
            made.append(section)
        return tuple(made)

    @cached_property
    def size(self) -> int:
        """Bytes of the object."""
        return len(_MAGIC) + sum(section.blocks * section.width for section in self.sections)

    def stripes(self, hash: int) -> Iterator[Stripe]:
        """Yield what is to be read to look for an id: one stripe a section."""
        for section in self.sections:
            number = bloom.block(hash, section.blocks)
            start = section.start + number * section.width
            yield Stripe(start, start + section.width, _seed(self.name, section.blocks, number), section.owners)

    def always(self) -> Iterator[int]:
        """Yield the numbers of the files that can't tell."""
        return (number for number, known in enumerate(self.files) if known.blocks is None)

    def encode(self, filters: Sequence[Filters]) -> pa.Buffer:
        """Return the object's bytes; ``filters``: of each file."""
        pieces: list[bytes] = [_MAGIC]
        for section in self.sections:
            bitsets = [
                bits for each in filters for bits in each.bitsets or () if len(bits) == section.blocks * BLOCK_BYTES
            ]
            blocks = np.frombuffer(b"".join(bitsets), np.uint8).reshape(len(bitsets), section.blocks, BLOCK_BYTES)
            for number, stripe in enumerate(np.ascontiguousarray(blocks.transpose(1, 0, 2))):
                data = stripe.tobytes()
                crc = zlib.crc32(data, _seed(self.name, section.blocks, number))
                pieces += [data, crc.to_bytes(_CRC_BYTES, "little")]
        return pa.py_buffer(b"".join(pieces))

    def decode(self, data: bytes) -> list[Filters] | None:
        """Return the filters of each file; None when ``data`` is not this part."""
        if len(data) != self.size or not data.startswith(_MAGIC):
            return None
        bitsets: list[list[bytes]] = [[] for _ in self.files]
        for section in self.sections:
            end = section.start + section.blocks * section.width
            stripes = [data[at : at + section.width] for at in range(section.start, end, section.width)]
            for number, stripe in enumerate(stripes):
                if not _whole(stripe, section.width, _seed(self.name, section.blocks, number)):
                    return None
            joined = np.frombuffer(b"".join(stripe[:-_CRC_BYTES] for stripe in stripes), np.uint8)
            blocks = joined.reshape(section.blocks, len(section.owners), BLOCK_BYTES)
            for owner, filter in zip(section.owners, np.ascontiguousarray(blocks.transpose(1, 0, 2)), strict=True):
                bitsets[owner].append(filter.tobytes())
        return [
            bloom.UNKNOWN if known.blocks is None else Filters(tuple(found))
            for known, found in zip(self.files, bitsets, strict=True)
        ]


def part_of(name: str, files: Sequence[File], filters: Sequence[Filters]) -> Part:
    """Return the part that ``encode`` makes of these files' filters. Filters of a file stand by their length."""
    known = [
        Known(file, None if each.bitsets is None else tuple(sorted(len(bits) // BLOCK_BYTES for bits in each.bitsets)))
        for file, each in zip(files, filters, strict=True)
    ]
    return Part(name, tuple(known))


@dataclass(frozen=True)
class Catalogue:
    """The parts of a table's index. ``field``: whose values the filters are of."""

    field: str
    parts: tuple[Part, ...] = ()

    @cached_property
    def known(self) -> dict[File, tuple[Part, int]]:
        """By file the part that knows it, and its number there."""
        return {known.file: (part, number) for part in self.parts for number, known in enumerate(part.files)}

    def encode(self, table: str) -> bytes:
        """Return the bytes of ``current``, for the table of this path."""
        parts = [
            {"name": part.name, "files": [[*known.file, known.blocks] for known in part.files]} for part in self.parts
        ]
        body = orjson.dumps({"field": self.field, "parts": parts})
        return _MAGIC + zlib.crc32(body, _belongs(table)).to_bytes(_CRC_BYTES, "little") + body


def decode(data: bytes, table: str, field: str) -> Catalogue:
    """Read the bytes of ``current`` of the table of this path; an empty catalogue when they are no such."""
    body = data[len(_MAGIC) + _CRC_BYTES :]
    crc = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + _CRC_BYTES], "little")
    if not data.startswith(_MAGIC) or zlib.crc32(body, _belongs(table)) != crc:
        return Catalogue(field)
    try:
        told = orjson.loads(body)
        parts = tuple(_part(each) for each in told["parts"]) if told["field"] == field else ()
    except (orjson.JSONDecodeError, ValueError, TypeError, KeyError, IndexError):
        return Catalogue(field)
    return Catalogue(field, parts)


def _part(told: dict[str, Any]) -> Part:
    if not _NAME.fullmatch(told["name"]):
        raise ValueError
    files = []
    for path, size, blocks in told["files"]:
        if not isinstance(path, str) or not _number(size, _MOST_SIZE):
            raise ValueError
        if blocks is not None and not all(_number(each, bloom.MOST_BYTES // BLOCK_BYTES) and each for each in blocks):
            raise ValueError
        files.append(Known((path, size), None if blocks is None else tuple(blocks)))
    return Part(told["name"], tuple(files))


def _number(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _whole(data: bytes, length: int, seed: int) -> bool:
    found = int.from_bytes(data[-_CRC_BYTES:], "little")
    return len(data) == length and zlib.crc32(data[:-_CRC_BYTES], seed) == found


def _seed(name: str, blocks: int, number: int) -> int:
    return zlib.crc32(f"{name}/{blocks}/{number}".encode())


def _belongs(table: str) -> int:
    return zlib.crc32(table.encode())
