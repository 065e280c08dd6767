"""Rows by their id, picked out of a table's files: begun before it is known which files the table has now.

PI1 Only files of the query's own snapshot count, and every one of them that may have such a row is looked into, or
    nothing is picked at all.
PI2 What can't be picked (many files, many rows, a file of another kind, one that can't be read) is left to the query's
    process, which reads the files and tells what is wrong with them.

The index beside the table names the file, while the table's log is still being read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import pyarrow as pa
import structlog
from obstore.exceptions import BaseError

from logflume.explore.ids import Ids, Index, Look
from logflume.explore.kept import Kept
from logflume.table.bucket import said
from logflume.table.ids.catalogue import File
from logflume.table.pick import rows as picked
from logflume.table.pick.rows import About, Granules, Picked, Source
from logflume.table.pick.thrift import Broken
from logflume.table.schema import DATE

MOST_FILES: Final = 8
_SECONDS: Final = 5.0
_AT_ONCE: Final = 4
"""Files that are picked from, of all questions: each may hold a row group."""
_KEPT_BYTES: Final = 32_000_000
_KEPT_PIECES_BYTES: Final = 64_000_000
"""Of the pages that were read last: who has looked for a record looks at it again, and at others of the same minute."""

_log = structlog.get_logger(__name__)


class Picker:
    """Picks rows out of files, and keeps what stands in those besides rows. For one event loop."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._kept: Kept[str, About] = Kept(_KEPT_BYTES)
        self._pieces: Kept[tuple[str, int, int], memoryview] = Kept(_KEPT_PIECES_BYTES)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def begin(self, table: str, id_field: str, wanted: frozenset[str]) -> Search:
        """Look for the ids in all files that the index of a table knows, of which the last one is asked meanwhile."""
        kept = self._ids.kept(table, id_field)
        ahead = asyncio.create_task(self._look(kept, wanted)) if kept is not None else None
        try:
            index = await self._ids.index(table, id_field)
            same = ahead is not None and kept is not None and index.catalogue is kept.catalogue
            look = await ahead if ahead is not None and same else await self._look(index, wanted)
        finally:
            if ahead is not None:
                ahead.cancel()
        search = Search(index, wanted, look)
        may = [number for number, has in enumerate(look.may) if has]
        if len(may) <= MOST_FILES:
            self._begin(search, [(look.files[number], look.granules.get(number)) for number in may])
        return search

    async def _look(self, index: Index, wanted: frozenset[str]) -> Look:
        return await self._ids.look(index, list(index.catalogue.known), wanted)

    async def rest(self, search: Search, files: Sequence[File]) -> Look:
        """Look for the ids in a table's ``files``, those that the index does not know among them."""
        known = search.index.catalogue.known
        strange = [number for number, file in enumerate(files) if file not in known]
        look = search.of(files)
        if strange:
            other = await self._ids.look(search.index, [files[number] for number in strange], search.wanted)
            look.bytes += other.bytes
            look.unknown.update(strange)
            look.spoiled |= other.spoiled
            for number, has in zip(strange, other.may, strict=True):
                look.may[number] = has
        return look

    async def rows(self, search: Search, files: Sequence[File]) -> list[Picked] | None:
        """Return of each of the ``files``, those that may have one, the rows with one of the ids; None: see PI2."""
        if len(files) > MOST_FILES:
            return None
        self._begin(search, [(file, None) for file in files if file not in search.reading])
        try:
            async with asyncio.timeout(_SECONDS):
                return await asyncio.gather(*(asyncio.shield(search.reading[file]) for file in files))
        except (Broken, BaseError, OSError, TimeoutError) as error:
            _log.info("explore.not-picked", table=search.index.table, why=said(error))
            return None

    def _begin(self, search: Search, files: Sequence[tuple[File, Granules | None]]) -> None:
        for file, granules in files:
            task = asyncio.create_task(self._pick(search, file, granules))
            task.add_done_callback(_heard)
            search.reading[file] = task

    async def _pick(self, search: Search, file: File, granules: Granules | None) -> Picked:
        path, size = f"{search.index.table}/{file[0]}", file[1]
        source = Source(self._ids.objects, path, self._pieces)
        about = self._kept.get(path)
        if about is None:
            about = await picked.about(source, size)
            self._kept.put(path, about, about.held)
        async with self._turns:
            return await picked.pick(source, about, search.index.catalogue.field, search.wanted, granules)


@dataclass
class Search:
    """Ids that are looked for in one table. ``close`` once."""

    index: Index
    wanted: frozenset[str]
    look: Look
    reading: dict[File, asyncio.Task[Picked]] = field(default_factory=dict)

    def of(self, files: Sequence[File]) -> Look:
        """Return what the index tells of ``files``; of those that it does not know nothing."""
        place = {file: number for number, file in enumerate(self.look.files)}
        at = [place.get(file) for file in files]
        may = [number is not None and bool(self.look.may[number]) for number in at]
        unknown = {mine for mine, number in enumerate(at) if number in self.look.unknown}
        return Look(
            self.index,
            files,
            self.look.hashes,
            pa.array(may, pa.bool_()).to_numpy(zero_copy_only=False).copy(),
            unknown=unknown,
            spoiled=set(self.look.spoiled),
            bytes=self.look.bytes,
        )

    def close(self) -> None:
        """End what is still read."""
        for task in self.reading.values():
            task.cancel()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that were picked out of a table: of each file that has some, as it has them, with the date of its folder.

    ``schema``: the columns that a query sees.
    """

    tables: Sequence[tuple[date, pa.Table]]
    schema: pa.Schema

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(rows.num_rows for _, rows in self.tables)

    def seen(self, columns: Sequence[str]) -> pa.Table:
        """Return ``columns`` of the rows as the engine has them: null where a file lacks one."""
        types = {column: self.schema.field(column).type for column in columns}
        schema = pa.schema([pa.field(column, type, column != DATE) for column, type in types.items()])
        parts = [pa.table(_columns(rows, types, date), schema) for date, rows in self.tables]
        return pa.concat_tables(parts) if parts else schema.empty_table()


def _columns(rows: pa.Table, types: Mapping[str, pa.DataType], date: date) -> list[pa.ChunkedArray | pa.Array]:
    have = dict(zip(rows.schema.names, rows.columns, strict=True))
    found = []
    for name, type in types.items():
        column = have.get(name)
        if name == DATE:
            column = pa.array([date] * rows.num_rows, type)
        elif column is None:
            column = pa.nulls(rows.num_rows, type)
        found.append(column if column.type == type else column.cast(type))
    return found


def _heard(task: asyncio.Task[Picked]) -> None:
    """A failure is told to who waits for it; one of a file that is none of the table's any more is nobody's."""
    if not task.cancelled():
        task.exception()
