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


Run = tuple[int, int]
"""Rows of a row group, one after another: the number of the first, and of the one after the last."""


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


@dataclass(frozen=True, slots=True)
class Paged:
    """A row group, and of each of its chunks the pages."""

    group: Group
    pages: Sequence[Sequence[Page]]

    @classmethod
    def of(cls, group: Group, data: Stretches) -> Paged:
        """Look them up in the page index, which ``data`` has. Raises ``Broken``."""
        return cls(group, [_pages(chunk, group, data) for chunk in group.chunks])


def numbers(footer: Footer, group: Group, data: Stretches, id_field: str, ids: Collection[str]) -> list[int]:
    """Return which rows of the group have one of the ids. Raises ``Broken``."""
    [key] = group.of(id_field)
    return _numbers(footer, key, [footers.whole(key, group)], data, ids)


def numbers_within(
    footer: Footer, paged: Paged, run: Run, data: Stretches, id_field: str, ids: Collection[str]
) -> list[int]:
    """Return which rows of a run have one of the ids. Raises ``Broken``."""
    [(key, pages)] = [each for each in zip(paged.group.chunks, paged.pages, strict=True) if each[0].field == id_field]
    return [n for n in _numbers(footer, key, _overlap(pages, *run), data, ids) if run[0] <= n < run[1]]


def _numbers(footer: Footer, key: Chunk, pages: Sequence[Page], data: Stretches, ids: Collection[str]) -> list[int]:
    rows = sum(page.rows for page in pages)
    column = small.table(footer, [_piece(key, pages, data)], rows).column(0)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_string(column.type):
        raise Broken(f"{key.field} has the type {column.type}")
    there = pc.indices_nonzero(pc.is_in(column, pa.array(sorted(ids), pa.string()))).to_pylist()
    found = [pages[0].first + number for number in there]
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


def cuts(paged: Paged, runs: Sequence[Run]) -> list[list[Cut]]:
    """Return for each run what its rows are decoded from.

    Of each column these are the pages that have one. Of a field with several leaf columns, such as a map, whose pages
    end at rows of their own, as many as end together.
    """
    return [list(_cuts(paged, *run)) for run in runs]


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


def _overlap(pages: Sequence[Page], low: int, high: int) -> tuple[Page, ...]:
    return tuple(page for page in pages if page.first < high and low < page.first + page.rows)


def _cuts(paged: Paged, first: int, end: int) -> Iterator[Cut]:
    fields: dict[str, list[tuple[Chunk, Sequence[Page]]]] = {}
    for chunk, each in zip(paged.group.chunks, paged.pages, strict=True):
        fields.setdefault(chunk.field, []).append((chunk, each))
    for leaves in fields.values():
        low, high = first, end
        while True:
            cuts = [Cut(chunk, _overlap(each, low, high)) for chunk, each in leaves]
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
    elif chunk.flat:
        values = sum(page.rows for page in pages)
    else:
        values = sum(small.values(data.at(page.start, page.end)) for page in pages)
    return Piece(chunk, data.at(chunk.start, chunk.data), data.at(start, end), values)
