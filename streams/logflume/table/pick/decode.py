"""From the bytes of a row group to the rows that have one of some ids: one column whole, of the others single pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from logflume.table.pick import footer as footers
from logflume.table.pick import small
from logflume.table.pick.footer import Chunk, Footer, Group, Page
from logflume.table.pick.small import Piece
from logflume.table.pick.thrift import Broken

MOST_ROWS: Final = 256
"""That have one of the ids: an id that so many records share is none."""


class Stretches:
    """Parts of a file, by where they start."""

    def __init__(self, parts: Iterable[tuple[int, memoryview]] = ()) -> None:
        self._parts = sorted(parts, key=itemgetter(0))

    def add(self, parts: Iterable[tuple[int, memoryview]]) -> None:
        """Have more of the file."""
        self._parts = sorted([*self._parts, *parts], key=itemgetter(0))

    def at(self, start: int, end: int) -> memoryview:
        """Return the bytes from ``start`` to ``end``. Raises ``Broken`` where they are not there."""
        found, at = [], start
        for begin, data in self._parts:
            if begin <= at < begin + len(data) or at == begin == end:
                found.append(data[at - begin : end - begin])
                at += len(found[-1])
                if at == end:
                    return found[0] if len(found) == 1 else memoryview(b"".join(found))
        if start == end:
            return memoryview(b"")
        raise Broken(f"nothing was read of {at} to {end}")


def numbers(footer: Footer, group: Group, data: Stretches, id_field: str, ids: Collection[str]) -> list[int]:
    """Return which rows of the group have one of the ids. Raises ``Broken``."""
    [key] = group.of(id_field)
    column = small.table(footer, [_piece(key, [footers.whole(key, group)], data)], group.rows).column(0)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_string(column.type):
        raise Broken(f"{id_field} has the type {column.type}")
    found: list[int] = pc.indices_nonzero(pc.is_in(column, pa.array(sorted(ids), pa.string()))).to_pylist()
    if len(found) > MOST_ROWS:
        raise Broken(f"{len(found)} rows have one of the ids")
    return found


@dataclass(frozen=True, slots=True)
class Cut:
    """Pages of a column, one after another."""

    chunk: Chunk
    pages: tuple[Page, ...]

    @property
    def span(self) -> tuple[int, int]:
        """Its first row, and how many they are."""
        return self.pages[0].first, sum(page.rows for page in self.pages)

    @property
    def places(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where they lie: the dictionary's page, which may be empty, and the others."""
        return (self.chunk.start, self.chunk.data), (self.pages[0].start, self.pages[-1].end)


def cuts(group: Group, data: Stretches, numbers: Sequence[int]) -> list[list[Cut]]:
    """Return for each row, by its number, what it is decoded from. Raises ``Broken``.

    Of each column it is one page. Of a field with several leaf columns, such as a map, whose pages end at rows of
    their own, as many as end together.
    """
    pages = [_pages(chunk, group, data) for chunk in group.chunks]
    return [list(_cuts(group, pages, number)) for number in numbers]


def rows(footer: Footer, data: Stretches, numbers: Sequence[int], cuts: Sequence[Sequence[Cut]]) -> list[pa.Table]:
    """Return rows by their numbers, each as a table of one, with all columns of the file. Raises ``Broken``."""
    decoded: dict[tuple[tuple[Page, ...], ...], list[tuple[int, pa.Table]]] = {}
    found = []
    for number, each in zip(numbers, cuts, strict=True):
        known = tuple(cut.pages for cut in each)
        if known not in decoded:
            decoded[known] = _decoded(footer, each, data)
        parts = [part.slice(number - first, 1) for first, part in decoded[known]]
        found.append(pa.table({name: part.column(name) for part in parts for name in part.schema.names}))
    return found


def _cuts(group: Group, pages: Sequence[Sequence[Page]], number: int) -> Iterator[Cut]:
    fields: dict[str, list[tuple[Chunk, Sequence[Page]]]] = {}
    for chunk, each in zip(group.chunks, pages, strict=True):
        fields.setdefault(chunk.field, []).append((chunk, each))
    for leaves in fields.values():
        low, high = number, number + 1
        while True:
            cuts = [
                Cut(chunk, tuple(page for page in each if page.first < high and low < page.first + page.rows))
                for chunk, each in leaves
            ]
            ends = [(first, first + count) for first, count in (cut.span for cut in cuts)]
            if len(set(ends)) == 1:
                break
            low, high = min(first for first, _ in ends), max(last for _, last in ends)
        yield from cuts


def _decoded(footer: Footer, cuts: Sequence[Cut], data: Stretches) -> list[tuple[int, pa.Table]]:
    """Decode them: a table for each stretch of rows that they are of, by its first row."""
    pieces: dict[tuple[int, int], list[Piece]] = {}
    for cut in cuts:
        pieces.setdefault(cut.span, []).append(_piece(cut.chunk, cut.pages, data))
    return [(first, small.table(footer, each, count)) for (first, count), each in pieces.items()]


def _pages(chunk: Chunk, group: Group, data: Stretches) -> list[Page]:
    if chunk.offsets is None:
        return [footers.whole(chunk, group)]
    return footers.pages(chunk, group, data.at(*chunk.offsets))


def _piece(chunk: Chunk, pages: Sequence[Page], data: Stretches) -> Piece:
    start, end = pages[0].start, pages[-1].end
    if (start, end) == (chunk.data, chunk.end):
        values = chunk.values
    else:
        values = sum(small.values(data.at(page.start, page.end)) for page in pages)
    return Piece(chunk, data.at(chunk.start, chunk.data), data.at(start, end), values)
