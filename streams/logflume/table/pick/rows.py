"""The rows of a data file that have one of some ids, with as little of it read and decoded as they need.

P1  What is returned are the rows that a reader of the whole file would find, no more and no fewer. A file of another
    kind than ours (``Broken``) is for others to read.
P2  It is bounded: by the bytes of a row group, of a column that is decoded whole, and by the rows found.

Reads: the file's end, for the footer and the page index; then, when somebody knows in which granules the rows may be,
the pages of these. If nobody does, one block of each row group's Bloom filter, where there are several; then their ids;
then the pages of the rows. Each is some requests at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import obstore
import pyarrow as pa
from obstore.store import ObjectStore

from logflume.table import bloom
from logflume.table.pick import decode, thrift
from logflume.table.pick import footer as footers
from logflume.table.pick.decode import Cut, Paged, Run, Stretches
from logflume.table.pick.footer import Footer, Group
from logflume.table.pick.thrift import Broken

END_BYTES: Final = 65_536
"""Of a file that are read first: the footer of a file of ours has 8 kB, the page index as much."""
_MOST_END_BYTES: Final = 4_000_000
_MOST_BYTES: Final = 32_000_000
"""Of a row group, at once."""
_GAP_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 2 << 20


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


@dataclass(frozen=True, slots=True)
class Granules:
    """Which of a file's ``of`` equal runs of rows may have a row that is looked for, by number."""

    may: frozenset[int]
    of: int

    def within(self, groups: Sequence[Group]) -> list[tuple[Group, list[Run]]]:
        """Return the row groups that they are in, and where in each."""
        rows = sum(group.rows for group in groups)
        each = granule_rows(rows, self.of)
        found, start = [], 0
        for group in groups:
            runs = [(number * each - start, (number + 1) * each - start) for number in sorted(self.may)]
            inside = [(max(0, low), min(group.rows, high)) for low, high in runs if low < group.rows and high > 0]
            if inside:
                found.append((group, inside))
            start += group.rows
        return found


def granule_rows(rows: int, granules: int) -> int:
    """Return the rows of each of the equal runs of a file of ``rows`` rows; the last may have fewer."""
    return -(-rows // granules)


class Pieces(Protocol):
    """What was read of files, kept by path, start and end."""

    def get(self, key: tuple[str, int, int], /) -> memoryview | None:
        """Return a piece, or None."""

    def put(self, key: tuple[str, int, int], piece: memoryview, size: int, /) -> None:
        """Keep a piece."""


class Source:
    """One data file, and what is read of it: ``bytes``, without what was ``kept`` from before."""

    def __init__(self, objects: ObjectStore, path: str, kept: Pieces | None = None) -> None:
        self._objects = objects
        self._path = path
        self._kept = kept
        self.bytes = 0

    async def read(self, start: int, end: int) -> memoryview:
        """Read a piece. Raises ``Broken``, and obstore's errors."""
        data = memoryview(await obstore.get_range_async(self._objects, self._path, start=start, end=end))
        if len(data) != end - start:
            raise Broken(f"{len(data)} bytes from {start} to {end}")
        self.bytes += len(data)
        return data

    async def read_all(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, memoryview]]:
        """Read several places, in pieces at once, which are kept. Raises as ``read`` does."""
        pieces = [(at, min(end, at + _PIECE_BYTES)) for start, end in places for at in range(start, end, _PIECE_BYTES)]
        read = await asyncio.gather(*(self._piece(*piece) for piece in pieces))
        return [(start, data) for (start, _), data in zip(pieces, read, strict=True)]

    async def _piece(self, start: int, end: int) -> memoryview:
        key = self._path, start, end
        data = self._kept.get(key) if self._kept is not None else None
        if data is None:
            data = await self.read(start, end)
            if self._kept is not None:
                self._kept.put(key, data, len(data))
        return data


async def about(source: Source, size: int) -> About:
    """Read the end of a file of ``size`` bytes. Raises ``Broken``, and obstore's errors."""
    if not size:
        raise Broken("it is empty")
    start = max(0, size - END_BYTES)
    end = bytes(await source.read(start, size))
    length = bloom.footer_bytes(end)
    if length is not None and len(end) < length <= min(size, _MOST_END_BYTES):
        start = size - length
        end = bytes(await source.read(start, size))
    return About(footers.decode(end, size), start, end)


async def pick(
    source: Source,
    about: About,
    id_field: str,
    ids: Collection[str],
    granules: Granules | None = None,
) -> Picked:
    """Return the rows whose ``id_field`` is one of ``ids``. Raises ``Broken``, and obstore's errors.

    ``granules``: those that may have one, when they are known.
    """
    with thrift.understood("the file"):
        if granules is not None and (runs := _runs(about.footer, granules)) is not None:
            found = await _pick_within(source, about, id_field, ids, runs)
        else:
            found = await _pick(source, about, id_field, ids)
    return Picked(found, source.bytes)


def _runs(footer: Footer, granules: Granules) -> list[tuple[Group, list[Run]]] | None:
    """Where the granules are; None when that helps nobody: where a column's pages are not told of, all is one page."""
    runs = granules.within(footer.groups)
    return runs if all(chunk.offsets is not None for group, _ in runs for chunk in group.chunks) else None


async def _pick_within(
    source: Source,
    about: About,
    id_field: str,
    ids: Collection[str],
    runs: Sequence[tuple[Group, Sequence[Run]]],
) -> list[pa.Table]:
    """The rows within some runs of rows, all of whose pages are read at once."""
    index = _joined({place for group, _ in runs for place in _page_index(group, about.start)})
    data = Stretches([(about.start, memoryview(about.end)), *await source.read_all(index)])
    paged = [(Paged.of(group, data), of) for group, of in runs]
    places = _joined(_of(cut for group, of in paged for each in decode.cuts(group, of) for cut in each))
    data.add(await source.read_all(places))
    return await asyncio.to_thread(_decoded, about.footer, data, id_field, ids, paged)


def _decoded(
    footer: Footer,
    data: Stretches,
    id_field: str,
    ids: Collection[str],
    runs: Sequence[tuple[Paged, Sequence[Run]]],
) -> list[pa.Table]:
    found: list[pa.Table] = []
    for paged, of in runs:
        numbers = [n for run in of for n in decode.numbers_within(footer, paged, run, data, id_field, ids)]
        if len(found) + len(numbers) > decode.MOST_ROWS:
            raise Broken(f"{len(found) + len(numbers)} rows have one of the ids")
        cuts = decode.cuts(paged, [(number, number + 1) for number in numbers])
        found += decode.rows(footer, data, numbers, cuts)
    return found


async def _pick(
    source: Source,
    about: About,
    id_field: str,
    ids: Collection[str],
) -> list[pa.Table]:
    found: list[pa.Table] = []
    for group in await _groups(source, about.footer, id_field, ids):
        data = Stretches([(about.start, memoryview(about.end))])
        first = _places(group, id_field, about.start)
        data.add(await source.read_all(first))
        numbers = await asyncio.to_thread(decode.numbers, about.footer, group, data, id_field, ids)
        cuts = decode.cuts(Paged.of(group, data), [(number, number + 1) for number in numbers]) if numbers else []
        rest = _joined(_of(cut for each in cuts for cut in each))
        data.add(await source.read_all(rest))
        found += await asyncio.to_thread(decode.rows, about.footer, data, numbers, cuts)
        if len(found) > decode.MOST_ROWS:
            raise Broken(f"{len(found)} rows have one of the ids")
    return found


async def _groups(
    source: Source,
    footer: Footer,
    id_field: str,
    ids: Collection[str],
) -> Sequence[Group]:
    """Those row groups that may have one of the ids."""
    groups = [group for group in footer.groups if group.of(id_field)]
    if len(groups) <= 1:
        return groups
    hashes = [bloom.hash_of(id) for id in ids]
    may = await asyncio.gather(*(_may(source, group.of(id_field)[0].filter, hashes) for group in groups))
    return [group for group, has in zip(groups, may, strict=True) if has]


async def _may(source: Source, filter: tuple[int, int] | None, hashes: Sequence[int]) -> bool:
    """Whether a row group may have an id of one of the hashes, by its Bloom filter."""
    bits = None if filter is None else bloom.bits(*filter)
    if filter is None or bits is None:
        return True
    places = [filter[0], *(bits[0] + bloom.BLOCK_BYTES * bloom.block(hash, bits[1]) for hash in hashes)]
    lengths = [bits[0] - filter[0], *(bloom.BLOCK_BYTES for _ in hashes)]
    head, *blocks = await asyncio.gather(
        *(source.read(at, at + length) for at, length in zip(places, lengths, strict=True))
    )
    if not bloom.is_head(bytes(head), bits[1]):
        return True
    return any(bloom.matches(block, bloom.mask(hash))[0] for block, hash in zip(blocks, hashes, strict=True))


def _places(group: Group, id_field: str, start_of_end: int) -> list[tuple[int, int]]:
    """What is to be read first of a row group: its column of ids, and the page index.

    ``start_of_end``: from where on the file is there already.
    """
    [key] = group.of(id_field)
    places = [(key.start, key.end), *_page_index(group, start_of_end)]
    if (most := max(end - start for start, end in places)) > _MOST_BYTES:
        raise Broken(f"a column or a page index of {most} bytes")
    return places


def _page_index(group: Group, start_of_end: int) -> list[tuple[int, int]]:
    """Where a row group's page index is, if it is not there already."""
    index = [chunk.offsets for chunk in group.chunks if chunk.offsets is not None]
    if not index or (low := min(low for low, _ in index)) >= start_of_end:
        return []
    return [(low, max(high for _, high in index))]


def _of(cuts: Iterable[Cut]) -> set[tuple[int, int]]:
    """Where they lie. What is empty, such as the dictionary of who has none, lies nowhere."""
    return {(start, end) for cut in cuts for start, end in cut.places if start < end}


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
