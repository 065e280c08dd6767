"""Parquet's Bloom filters of an id field: where a data file's stand, and whether one may hold an id.

From "Parquet format, Bloom filter": split-block filters of 32-byte blocks, over XXH64 (seed 0) of a value's bytes. The
engine tests them too, but has to open each file for it; whoever tests them here need not hand the others over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

BLOCK_BYTES: Final = 32
MOST_BYTES: Final = 16_000_000
"""Of one file's filters: a file with more is not filtered. Ours have 256 kB for 100,000 rows."""

_END_BYTES: Final = 65_536  # the footer of a file of ours has 10 kB, and a small file's filters lie just before it
_MOST_FOOTER_BYTES: Final = 16_000_000
_MAGIC: Final = b"PAR1"
_SALT: Final = np.array(
    [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31], np.uint32
)
_HEADER: Final = b"\x1c\x1c\x00\x00" * 3 + b"\x00"
"""After a header's length (Thrift, compact): split blocks, XXH64, not compressed. There is nothing else yet."""

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_WORD: Final = (1 << 64) - 1

Words = np.ndarray[Any, np.dtype[np.uint32]]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is known of a data file's ids. ``bitsets``: each of some rows, such as a row group's, of whole blocks.

    None: it can't tell, and is to be searched. Empty: it has no ids, so that no id is in it.
    """

    bitsets: tuple[bytes, ...] | None

    @property
    def size(self) -> int:
        """Bytes of all bitsets."""
        return sum(map(len, self.bitsets or ()))

    def may_hold(self, hash: int) -> bool:
        """Whether the file may have a row with the id of this hash."""
        if self.bitsets is None:
            return True
        looked_for = mask(hash)
        return any(bool(matches(_block_of(bitset, hash), looked_for)[0]) for bitset in self.bitsets)


UNKNOWN: Final = Filters(None)
NO_IDS: Final = Filters(())


def block(hash: int, blocks: int) -> int:
    """Return the number of the one block, of so many, in which an id of this hash has left its bits."""
    return ((hash >> 32) * blocks) >> 32


def mask(hash: int) -> Words:
    """Return the bits that an id of this hash sets in its block: one in each of 8 words."""
    return np.uint32(1) << ((np.uint32(hash & 0xFFFFFFFF) * _SALT) >> np.uint32(27))


def matches(blocks: bytes | memoryview, mask: Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each of the blocks, one after another, has all bits of ``mask``."""
    words = np.frombuffer(blocks, np.dtype("<u4")).reshape(-1, len(_SALT))
    found: np.ndarray[Any, np.dtype[np.bool_]] = ((words & mask) == mask).all(axis=1)
    return found


def read(objects: ObjectStore, path: str, size: int, column: str) -> Filters:
    """Read a data file's filters of ``column``; ``UNKNOWN`` for what is none of a plain Parquet file.

    One request for a small file, two for a large one. Raises obstore's errors, ``FileNotFoundError`` too.
    """
    start = max(0, size - _END_BYTES)
    end = bytes(obstore.get_range(objects, path, start=start, end=size))
    footer = footer_bytes(end)
    if footer is None:
        return UNKNOWN
    if footer > len(end):
        start = max(0, size - footer)
        end = bytes(obstore.get_range(objects, path, start=start, end=size))
    places = _places(end[-footer:], column)
    if places is None or not _plausible(places, size):
        return UNKNOWN
    if not places:
        return NO_IDS
    first = min(offset for offset, _ in places)
    if first >= start:
        regions = [end[offset - start : offset - start + length] for offset, length in places]
    else:
        lengths = [length for _, length in places]
        read = obstore.get_ranges(objects, path, starts=[offset for offset, _ in places], lengths=lengths)
        regions = [bytes(region) for region in read]
    bitsets = [_bitset(region) for region in regions]
    return Filters(tuple(each for each in bitsets if each is not None)) if None not in bitsets else UNKNOWN


def footer_bytes(end: bytes) -> int | None:
    """The length of the footer and what follows it; None when the file does not end like one that has a footer."""
    if len(end) < 2 * len(_MAGIC) or end[-4:] != _MAGIC:
        return None
    length = int.from_bytes(end[-8:-4], "little") + 8
    return length if length <= _MOST_FOOTER_BYTES else None


def _places(footer: bytes, column: str) -> list[tuple[int, int]] | None:
    """Offset and length of each row group's filter; None when one has none, empty when there is no such column."""
    try:
        about = pq.read_metadata(pa.BufferReader(footer))
    except (pa.ArrowException, OSError):
        return None
    paths = [about.schema.column(at).path for at in range(about.num_columns)]
    if column not in paths:  # something nested of the name is no id field: whether that has ids is not ours to say
        return [] if all(path.split(".")[0] != column for path in paths) else None
    places = []
    for number in range(about.num_row_groups):
        chunk = about.row_group(number).column(paths.index(column))
        if chunk.physical_type != "BYTE_ARRAY" or chunk.bloom_filter_offset is None or not chunk.bloom_filter_length:
            return None
        places.append((chunk.bloom_filter_offset, chunk.bloom_filter_length))
    return places


def _plausible(places: Sequence[tuple[int, int]], size: int) -> bool:
    """Whether the filters lie within the file, and are no more than a file of ours could have."""
    within = all(offset >= 0 and length > 0 and offset + length <= size for offset, length in places)
    return within and sum(length for _, length in places) <= MOST_BYTES


def bits(start: int, end: int) -> tuple[int, int] | None:
    """Return where the bits of a filter from ``start`` to ``end`` begin, and their blocks; None: another kind."""
    for width in range(1, 6):  # of the number that tells their length
        length = end - start - 1 - width - len(_HEADER)
        if (
            length > 0
            and length % BLOCK_BYTES == 0
            and (2 * length).bit_length() in range(7 * width - 6, 7 * width + 1)
        ):
            return end - length, length // BLOCK_BYTES
    return None


def is_head(head: bytes, blocks: int) -> bool:
    """Whether ``head`` is what stands before the bits of a filter of so many blocks."""
    left, told = 2 * blocks * BLOCK_BYTES, bytearray()
    while left >= 0x80:
        told.append(left & 0x7F | 0x80)
        left >>= 7
    return head == b"\x15" + bytes([*told, left]) + _HEADER


def _bitset(region: bytes) -> bytes | None:
    """The bits after a filter's header; None when it is of another kind, or not whole."""
    if region[:1] != b"\x15":  # field 1, a number
        return None
    length, at, shift = 0, 1, 0
    while at < len(region) and shift < 35:
        length |= (region[at] & 0x7F) << shift
        shift += 7
        at += 1
        if region[at - 1] < 0x80:
            break
    length >>= 1  # zigzag
    head = region[at : at + len(_HEADER)]
    bits = region[at + len(_HEADER) :]
    whole = head == _HEADER and len(bits) == length and length > 0 and length % BLOCK_BYTES == 0
    return bits if whole else None


def _block_of(bitset: bytes, hash: int) -> bytes:
    at = block(hash, len(bitset) // BLOCK_BYTES) * BLOCK_BYTES
    return bitset[at : at + BLOCK_BYTES]


def hash_of(id: str) -> int:
    """Return XXH64 of an id, as Parquet's filters have it (see xxHash's specification)."""
    data = id.encode("utf-8", "surrogatepass")
    at, left = 0, len(data)
    if left >= 32:
        lanes = [(_P1 + _P2) & _WORD, _P2, 0, -_P1 & _WORD]
        while left - at >= 32:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        h = sum(_rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _WORD
        for lane in lanes:
            h = ((h ^ _round(0, lane)) * _P1 + _P4) & _WORD
    else:
        h = _P5
    h = (h + len(data)) & _WORD
    while left - at >= 8:
        h = (_rotate(h ^ _round(0, int.from_bytes(data[at : at + 8], "little")), 27) * _P1 + _P4) & _WORD
        at += 8
    if left - at >= 4:
        h = (_rotate(h ^ (int.from_bytes(data[at : at + 4], "little") * _P1 & _WORD), 23) * _P2 + _P3) & _WORD
        at += 4
    for byte in data[at:]:
        h = _rotate(h ^ (byte * _P5 & _WORD), 11) * _P1 & _WORD
    h = ((h ^ (h >> 33)) * _P2) & _WORD
    h = ((h ^ (h >> 29)) * _P3) & _WORD
    return h ^ (h >> 32)


def _round(lane: int, word: int) -> int:
    return _rotate((lane + word * _P2) & _WORD, 31) * _P1 & _WORD


def _rotate(word: int, by: int) -> int:
    return ((word << by) | (word >> (64 - by))) & _WORD
