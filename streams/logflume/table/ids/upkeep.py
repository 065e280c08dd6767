"""Bringing a table's index of ids up to date: by whoever compacts, and by explorers that miss it. Never by a sink.

See ``catalogue`` for what the index is. Filters are made of new files' ids, into a part of their own, or together with
parts that are not much larger, so that there are few (their sizes grow by ``_GROWTH``) and each filter is copied a few
times only.

U1  Nothing here outlives deleted rows. A part is put, then the table's log is read, then the part is named: a part with
    a file that went is written again without it. Who deletes rows commits that, then deletes the index (``forget``): it
    finds the part, or the part's writer finds the commit.
U2  A part that nobody named, as when its writer died, and one of which no file is the table's any more, goes when the
    table is looked after again, an hour later.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError

from logflume.clock import Clock
from logflume.errors import Retryable
from logflume.table import bloom, log, snapshot
from logflume.table.bloom import Filters
from logflume.table.ids import catalogue as catalogues
from logflume.table.ids import granules
from logflume.table.ids.catalogue import Catalogue, File, Part
from logflume.table.store import Store

MOST_PART_BYTES: Final = 32_000_000
"""Of a part, but for one file's filters: what a writer may hold three times in memory. 10 M ids."""

_GROWTH: Final = 4
_AT_ONCE: Final = 8
_LEFT_FOR: Final = timedelta(hours=1)
"""After which a part that no catalogue names was left behind: whoever is about to name it has done so."""


def read(store: Store, table: str, field: str) -> Catalogue:
    """Return what stands in the index of the table at this path; empty when there is none. Raises ``Retryable``."""
    path = f"{table}/{catalogues.CURRENT}"
    try:
        found = obstore.get(store.objects, path)
        if found.meta["size"] > catalogues.MOST_CATALOGUE_BYTES:
            return Catalogue(field)
        return catalogues.decode(bytes(found.bytes()), table, field)
    except FileNotFoundError:
        return Catalogue(field)
    except (BaseError, OSError) as error:
        raise Retryable(f"{store.uri(path)} could not be read: {error}") from error


def extend(
    store: Store,
    table: str,
    field: str,
    files: Iterable[File],
    clock: Clock,
    *,
    spoiled: Collection[str] = (),
    wanted: Callable[[], bool] = lambda: True,
) -> Catalogue:
    """Have the index of the table at path ``table`` know ``files``, which are all that the table has now.

    ``field``: the dataset's id field. ``spoiled``: names of parts that can't be read, and are made anew.
    ``wanted``: asked between parts whether to go on. What is done then stands, and so it does when this fails:
    raises ``Retryable``, and answers stay right whatever became of it.
    """
    return _Upkeep(store, table, field, dict.fromkeys(files), clock).extend(spoiled, wanted)


def forget(store: Store, table: str) -> None:
    """Delete the index of the table at this path; it is made anew when it is missed. Raises ``Retryable``."""
    for place in store.list_below(f"{table}/{catalogues.FOLDER}"):
        store.delete(place)


class _Upkeep:
    def __init__(self, store: Store, table: str, field: str, files: dict[File, None], clock: Clock) -> None:
        self._store = store
        self._table = table
        self._field = field
        self._files = files
        self._clock = clock

    def extend(self, spoiled: Collection[str], wanted: Callable[[], bool]) -> Catalogue:
        had = read(self._store, self._table, self._field)
        there = self._listed()
        sound = [part for part in had.parts if there.get(part.name) == part.size and part.name not in spoiled]
        stands = Catalogue(self._field, tuple(part for part in sound if any(map(self._lives, part.files))))
        new = [file for file in self._files if file not in stands.known]
        if stands != had and not new:
            self._write(stands)
        for part in had.parts:
            if part not in stands.parts and part.name in there:
                self._drop(part)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while new and wanted():
                new, stands = self._more(new, stands, pool)
        self._sweep(stands)
        return stands

    def _more(self, new: list[File], stands: Catalogue, pool: ThreadPoolExecutor) -> tuple[list[File], Catalogue]:
        """Write one part; return the files that are left, and what stands then."""
        files: list[File] = []
        filters: list[Filters] = []
        size = 0
        while new and size < MOST_PART_BYTES:
            some, new = new[:_AT_ONCE], new[_AT_ONCE:]
            for file, found in zip(some, pool.map(self._filters, some), strict=True):
                if found is not None:
                    files.append(file)
                    filters.append(found)
                    size += found.size
        gone = []
        for weight, part in sorted(((self._weight(part), part) for part in stands.parts), key=lambda each: each[0]):
            if weight > size * _GROWTH or size + weight > MOST_PART_BYTES:
                break
            old = self._of(part)
            if old is None:  # its files are new again
                new += [known.file for known in part.files if self._lives(known)]
            else:
                alive = [number for number, known in enumerate(part.files) if self._lives(known)]
                files += [part.files[number].file for number in alive]
                filters += [old[number] for number in alive]
                size += weight
            gone.append(part)
        kept = [part for part in stands.parts if part not in gone]
        made = self._part(files, filters)
        if made is not None:
            kept.append(made)
        stands = Catalogue(self._field, tuple(kept))
        self._write(stands)
        for part in gone:
            self._drop(part)
        return new, stands

    def _drop(self, part: Part) -> None:
        """Delete a part; whoever reads by a catalogue that names it finds nothing there, and searches the files."""
        self._store.delete(f"{self._table}/{part.path}")

    def _weight(self, part: Part) -> int:
        """Bytes of the filters of those files in a part that the table still has."""
        return sum(sum(known.blocks or ()) for known in part.files if self._lives(known)) * bloom.BLOCK_BYTES

    def _lives(self, known: catalogues.Known) -> bool:
        return known.file in self._files

    def _filters(self, file: File) -> Filters | None:
        """The filters of a data file's granules; None when it is gone meanwhile."""
        path, size = file
        try:
            return granules.filters(self._store.objects, f"{self._table}/{path}", size, self._field)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise Retryable(f"{self._store.uri(self._table)}/{path} could not be read: {error}") from error

    def _of(self, part: Part) -> list[Filters] | None:
        try:
            data = obstore.get_range(self._store.objects, f"{self._table}/{part.path}", start=0, end=part.size)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise Retryable(f"{self._store.uri(self._table)}/{part.path} could not be read: {error}") from error
        return part.decode(bytes(data))

    def _part(self, files: Sequence[File], filters: Sequence[Filters]) -> Part | None:
        """Put a part of those files that the table has after it is put (U1); None: it has none of them."""
        while files:
            part = catalogues.part_of(uuid.uuid4().hex, files, filters)
            self._store.write(f"{self._table}/{part.path}", part.encode(filters))
            there = self._there()
            alive = [number for number, file in enumerate(files) if file in there]
            if len(alive) == len(files):
                return part
            self._drop(part)
            files, filters = [files[number] for number in alive], [filters[number] for number in alive]
        return None

    def _there(self) -> set[File]:
        """The files that the table has now."""
        table = log.open_table(self._store, self._table)
        return {(file.path, file.size) for file in snapshot.files(table)} if table is not None else set()

    def _write(self, stands: Catalogue) -> None:
        self._store.write(f"{self._table}/{catalogues.CURRENT}", pa.py_buffer(stands.encode(self._table)))

    def _listed(self) -> dict[str, int]:
        """The objects of the index, by name their bytes."""
        return {name: size for name, size, _ in self._objects()}

    def _objects(self) -> list[tuple[str, int, float]]:
        """Name, bytes and age in seconds of what is in the index's folder."""
        now = self._clock.now_ns() / 1e9
        folder = f"{self._table}/{catalogues.FOLDER}"
        try:
            found = [each for page in obstore.list(self._store.objects, folder) for each in page]
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise Retryable(f"{self._store.uri(folder)} could not be listed: {error}") from error
        return [
            (each["path"].rpartition("/")[2], each["size"], now - each["last_modified"].timestamp()) for each in found
        ]

    def _sweep(self, stands: Catalogue) -> None:
        """Delete parts that nobody names, old enough that nobody will."""
        named = {part.name for part in stands.parts} | {catalogues.CURRENT.rpartition("/")[2]}
        for name, _, age_seconds in self._objects():
            if name not in named and age_seconds > _LEFT_FOR.total_seconds():
                self._store.delete(f"{self._table}/{catalogues.FOLDER}/{name}")
