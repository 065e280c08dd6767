"""Which files of a table may hold an id: by the index beside the table, and by the files' own Bloom filters.

W1  Only files that can't hold any of the ids are left out; a file that nothing is known of stays.
W2  Whatever the store or the index is like, the query goes on: what can't be read in time leaves nothing out.
W3  It reads below one table's path, that of the query's own tenant.

The index is read anew for each question (a short request, in which the store says that nothing has changed), and one
stripe of each of its parts. A file that it does not know is asked by its own filters, which are kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import obstore
import structlog
from obstore.exceptions import BaseError, NotModifiedError
from obstore.store import ObjectStore

from logflume.explore.kept import Kept
from logflume.table import bloom
from logflume.table.bloom import Filters
from logflume.table.bucket import said
from logflume.table.ids import catalogue as catalogues
from logflume.table.ids.catalogue import Catalogue, File, Part, Stripe
from logflume.table.pick.rows import Granules
from logflume.table.store import Store

_SECONDS: Final = 5.0
"""Of a question that may be spent here, before it goes on with all files."""
_MOST_STRIPES: Final = 512
_MOST_OWN: Final = 64
"""Files that are asked by their own filters, half a megabyte each: a query's process does it as well, and as slowly."""
_MOST_IDS: Final = 100
"""Of more ids each file has one, as a rule, and testing them would hold up everybody's queries."""
_AT_ONCE: Final = 16
_KEPT_FILTERS_BYTES: Final = 64_000_000
_KEPT_CATALOGUES_BYTES: Final = 16_000_000
V = TypeVar("V")
Flags = np.ndarray[Any, np.dtype[np.bool_]]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Index:
    """A table's index as it stood when a question was asked."""

    table: str
    catalogue: Catalogue


@dataclass
class Look:
    """One question to one table's files: what is found out of them, each by its number.

    ``may``: whether it may have a row with one of the ids. ``unknown``: those that the index did not tell of, by itself
    or because one of its parts, ``spoiled`` by name, could not be read. ``bytes``: that were read to find it out.
    ``granules``: of files that may have such a row, in which of their granules, where the index tells.
    """

    index: Index
    files: Sequence[File]
    hashes: Sequence[int]
    may: Flags
    unknown: set[int] = field(default_factory=set)
    spoiled: set[str] = field(default_factory=set)
    bytes: int = 0
    granules: dict[int, Granules] = field(default_factory=dict)


class Ids:
    """See W1 to W3. For one event loop; ``close`` once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalogues: Kept[tuple[str, str], tuple[Catalogue, str]] = Kept(_KEPT_CATALOGUES_BYTES)
        self._filters: Kept[str, Filters] = Kept(_KEPT_FILTERS_BYTES)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "logflume-ids")

    @property
    def objects(self) -> ObjectStore:
        """What the files are read from."""
        return self._store.objects

    def close(self) -> None:
        """End what still reads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def kept(self, table: str, field: str) -> Index | None:
        """Return the index as it was read last; it is likely to stand still."""
        kept = self._catalogues.get((table, field))
        return None if kept is None else Index(table, kept[0])

    async def index(self, table: str, field: str) -> Index:
        """Read the index of the table at this path, of the ids in ``field``; one that knows nothing if it can't be."""
        path = f"{table}/{catalogues.CURRENT}"
        kept = self._catalogues.get((table, field))
        try:
            async with asyncio.timeout(_SECONDS):
                options: Any = {"if_none_match": kept[1]} if kept else {}
                found = await obstore.get_async(self._store.objects, path, options=options)
                size, tag = found.meta["size"], found.meta["e_tag"]
                if size > catalogues.MOST_CATALOGUE_BYTES:
                    raise OSError(f"it has {size} bytes")
                catalogue = catalogues.decode(bytes(await found.bytes_async()), table, field)
        except NotModifiedError:
            assert kept is not None
            return Index(table, kept[0])
        except FileNotFoundError:
            return Index(table, Catalogue(field))
        except (BaseError, OSError, TimeoutError) as error:
            _log.warning("explore.no-index", path=path, error=said(error))
            return Index(table, Catalogue(field))
        if tag:
            self._catalogues.put((table, field), (catalogue, tag), size)
        return Index(table, catalogue)

    async def look(self, index: Index, files: Sequence[File], ids: Collection[str]) -> Look:
        """Find out which files may have a row with one of ``ids``."""
        if len(ids) > _MOST_IDS:
            return Look(index, files, [], np.ones(len(files), dtype=bool))
        look = Look(index, files, [bloom.hash_of(id) for id in ids], np.zeros(len(files), dtype=bool))
        try:
            async with asyncio.timeout(_SECONDS):
                await self._by_index(look)
                await self._by_themselves(look)
        except TimeoutError:
            _log.warning("explore.index-too-slow", table=index.table, files=len(files))
            look.may[:] = True
        return look

    async def _by_index(self, look: Look) -> None:
        known = look.index.catalogue.known
        parts: dict[str, Part] = {}
        wanted: dict[str, dict[int, int]] = {}
        for number, file in enumerate(look.files):
            if file in known:
                part, there = known[file]
                parts[part.name] = part
                wanted.setdefault(part.name, {})[there] = number
            else:
                look.unknown.add(number)
        if len(look.hashes) * sum(len(part.sections) for part in parts.values()) > _MOST_STRIPES:
            look.unknown.update(range(len(look.files)))
            return
        await asyncio.gather(*(self._by_part(look, parts[name], numbers) for name, numbers in wanted.items()))

    async def _by_part(self, look: Look, part: Part, numbers: dict[int, int]) -> None:
        """``numbers``: by a file's number in the part its number in the question."""
        asked = [(hash, stripe) for hash in look.hashes for stripe in part.stripes(hash)]
        read = await asyncio.gather(*(self._stripe(look, part, stripe) for _, stripe in asked))
        found: dict[int, set[int]] = {there: set() for there in part.always()} if look.hashes else {}
        for (hash, stripe), data in zip(asked, read, strict=True):
            matches = None if data is None else stripe.matches(data, bloom.mask(hash))
            if matches is None:
                look.unknown.update(numbers.values())
                if data is not None:
                    _log.warning("explore.index-spoiled", table=look.index.table, part=part.name)
                look.spoiled.add(part.name)
                return
            for there, granule in matches:
                found.setdefault(there, set()).add(granule)
        for there in found.keys() & numbers.keys():
            look.may[numbers[there]] = True
            blocks = part.files[there].blocks
            if blocks is not None:
                look.granules[numbers[there]] = Granules(frozenset(found[there]), len(blocks))

    async def _stripe(self, look: Look, part: Part, stripe: Stripe) -> bytes | None:
        path = f"{look.index.table}/{part.path}"
        reading = obstore.get_range_async(self._store.objects, path, start=stripe.start, end=stripe.end)
        data = await _or_nothing(path, reading)
        look.bytes += len(data or b"")
        return None if data is None else bytes(data)

    async def _by_themselves(self, look: Look) -> None:
        numbers = sorted(look.unknown)
        if len(numbers) > _MOST_OWN:
            look.may[numbers] = True
            return
        found = await asyncio.gather(*(self._own(look, look.files[number]) for number in numbers))
        for number, filters in zip(numbers, found, strict=True):
            look.may[number] = any(filters.may_hold(hash) for hash in look.hashes)

    async def _own(self, look: Look, file: File) -> Filters:
        path, size = f"{look.index.table}/{file[0]}", file[1]
        kept = self._filters.get(path)
        if kept is not None:
            return kept
        name = look.index.catalogue.field
        reading = asyncio.get_running_loop().run_in_executor(
            self._pool, bloom.read, self._store.objects, path, size, name
        )
        filters = await _or_nothing(path, reading)
        if filters is None:
            return bloom.UNKNOWN
        look.bytes += filters.size
        self._filters.put(path, filters, filters.size + len(path))
        return filters


async def _or_nothing(path: str, reading: Awaitable[V]) -> V | None:
    """None for what can't be read, which is told; what is gone is nothing to tell."""
    try:
        return await reading
    except FileNotFoundError:
        return None
    except (BaseError, OSError) as error:
        _log.warning("explore.no-index", path=path, error=said(error))
        return None
