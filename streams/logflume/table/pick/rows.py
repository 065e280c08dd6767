"""The rows of a data file that have one of some ids, with as little of it read and decoded as they need.

P1  What is returned are the rows that a reader of the whole file would find, no more and no fewer. A file of another
    kind than ours (``Broken``) is for others to read.
P2  It is bounded: by the bytes of a row group, of a column that is decoded whole, and by the rows found.

Reads: the file's end, for the footer and the page index; where there are several row groups and nobody knows which, one
block of each one's Bloom filter; then their ids; then the pages of the rows. Each is some requests at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import obstore
import pyarrow as pa
from obstore.store import ObjectStore

from logflume.table import bloom
from logflume.table.pick import decode, thrift
from logflume.table.pick import footer as footers
from logflume.table.pick.decode import Stretches
from logflume.table.pick.footer import Footer, Group
from logflume.table.pick.thrift import Broken

END_BYTES: Final = 65_536
"""Of a file that are read first: the footer of a file of ours has 8 kB, the page index as much."""
_MOST_END_BYTES: Final = 4_000_000
_MOST_BYTES: Final = 32_000_000
"""Of a row group, at once."""
_GAP_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class About:
    """What stands in a file besides rows. ``end``: its last bytes, from ``start`` on."""

    footer: Footer
    start: int
    end: bytes

    @property
    def held(self) -> int:
        """Bytes that it takes, about: a footer in Python is ten times as long."""
        return len(self.end) + 100_000


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows, each a table of one with the columns that its file has, and the bytes that were read for them."""

    rows: Sequence[pa.Table]
    bytes: int


async def about(objects: ObjectStore, path: str, size: int) -> About:
    """Read the end of a file of ``size`` bytes. Raises ``Broken``, and obstore's errors."""
    if not size:
        raise Broken("it is empty")
    start = max(0, size - END_BYTES)
    end = bytes(await _read(objects, path, start, size))
    length = bloom.footer_bytes(end)
    if length is not None and len(end) < length <= min(size, _MOST_END_BYTES):
        start = size - length
        end = bytes(await _read(objects, path, start, size))
    return About(footers.decode(end, size), start, end)


async def pick(
    objects: ObjectStore,
    path: str,
    about: About,
    id_field: str,
    ids: Collection[str],
    groups: Collection[int] | None = None,
) -> Picked:
    """Return the rows whose ``id_field`` is one of ``ids``. Raises ``Broken``, and obstore's errors.

    ``groups``: the row groups that may have one, by number, when they are known.
    """
    with thrift.understood("the file"):
        return await _pick(objects, path, about, id_field, ids, groups)


async def _pick(
    objects: ObjectStore,
    path: str,
    about: About,
    id_field: str,
    ids: Collection[str],
    groups: Collection[int] | None,
) -> Picked:
    found, read = [], 0
    for group in await _groups(objects, path, about.footer, id_field, ids, groups):
        data = Stretches([(about.start, memoryview(about.end))])
        first = _places(group, id_field, about.start)
        data.add(await _all(objects, path, first))
        numbers = await asyncio.to_thread(decode.numbers, about.footer, group, data, id_field, ids)
        cuts = decode.cuts(group, data, numbers) if numbers else []
        rest = _joined({place for each in cuts for cut in each for place in cut.places})
        data.add(await _all(objects, path, rest))
        read += sum(end - start for start, end in (*first, *rest))
        found += await asyncio.to_thread(decode.rows, about.footer, data, numbers, cuts)
        if len(found) > decode.MOST_ROWS:
            raise Broken(f"{len(found)} rows have one of the ids")
    return Picked(found, read)


async def _groups(
    objects: ObjectStore,
    path: str,
    footer: Footer,
    id_field: str,
    ids: Collection[str],
    known: Collection[int] | None,
) -> Sequence[Group]:
    """Those row groups that may have one of the ids."""
    wanted = footer.groups if known is None else [footer.groups[number] for number in sorted(known)]
    groups = [group for group in wanted if group.of(id_field)]
    if known is not None:
        return groups
    if len(groups) <= 1:
        return groups
    hashes = [bloom.hash_of(id) for id in ids]
    may = await asyncio.gather(*(_may(objects, path, group.of(id_field)[0].filter, hashes) for group in groups))
    return [group for group, has in zip(groups, may, strict=True) if has]


async def _may(objects: ObjectStore, path: str, filter: tuple[int, int] | None, hashes: Sequence[int]) -> bool:
    """Whether a row group may have an id of one of the hashes, by its Bloom filter."""
    bits = None if filter is None else bloom.bits(*filter)
    if filter is None or bits is None:
        return True
    places = [filter[0], *(bits[0] + bloom.BLOCK_BYTES * bloom.block(hash, bits[1]) for hash in hashes)]
    lengths = [bits[0] - filter[0], *(bloom.BLOCK_BYTES for _ in hashes)]
    head, *blocks = await asyncio.gather(
        *(_read(objects, path, at, at + length) for at, length in zip(places, lengths, strict=True))
    )
    if not bloom.is_head(bytes(head), bits[1]):
        return True
    return any(bloom.matches(block, bloom.mask(hash))[0] for block, hash in zip(blocks, hashes, strict=True))


def _places(group: Group, id_field: str, start_of_end: int) -> list[tuple[int, int]]:
    """What is to be read first of a row group: its column of ids, and the page index.

    ``start_of_end``: from where on the file is there already.
    """
    [key] = group.of(id_field)
    places = [(key.start, key.end)]
    index = [chunk.offsets for chunk in group.chunks if chunk.offsets is not None]
    if index and (low := min(low for low, _ in index)) < start_of_end:
        places.append((low, max(high for _, high in index)))
    if (most := max(end - start for start, end in places)) > _MOST_BYTES:
        raise Broken(f"a column or a page index of {most} bytes")
    return places


def _joined(places: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that lie near to each other as one: to read what is between them takes less than a request."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if found and start - found[-1][1] <= _GAP_BYTES:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    if (most := sum(end - start for start, end in found)) > _MOST_BYTES:
        raise Broken(f"pages of {most} bytes")
    return found


async def _all(objects: ObjectStore, path: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, memoryview]]:
    """Read several places, in pieces at once."""
    pieces = [(at, min(end, at + _PIECE_BYTES)) for start, end in places for at in range(start, end, _PIECE_BYTES)]
    read = await asyncio.gather(*(_read(objects, path, *piece) for piece in pieces))
    return [(start, data) for (start, _), data in zip(pieces, read, strict=True)]


async def _read(objects: ObjectStore, path: str, start: int, end: int) -> memoryview:
    data = memoryview(await obstore.get_range_async(objects, path, start=start, end=end))
    if len(data) != end - start:
        raise Broken(f"{len(data)} bytes from {start} to {end}")
    return data
