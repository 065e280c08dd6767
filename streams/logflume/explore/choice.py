"""Which files of its tables a query is handed: those that can matter, by the log, by its time range, by its ids.

A file that is left out never changes an answer (see ``bounds``, ``snapshots`` and ``ids``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from logflume.explore import bounds
from logflume.explore.check import Checked
from logflume.explore.engine.frames import TableTask
from logflume.explore.gateway import Object
from logflume.explore.ids import Ids, Index
from logflume.explore.learning import Learning
from logflume.explore.plain import plain_schema
from logflume.explore.snapshots import Snapshot, named
from logflume.explore.span import Span
from logflume.model.dataset import Dataset
from logflume.table.schema import DATE, bounded, file_schema
from logflume.table.store import Store

_FEW_BYTES: Final = 16_000_000
"""Of all files of a query for an id: so little is read whole while its process plans."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files of a query's tables, by the names that it knows, and the tables.

    ``read``: bytes that were read to choose them. ``few``: they are the files of an id, and small.
    """

    objects: Mapping[str, Object]
    tables: tuple[TableTask, ...]
    read: int
    few: bool


class Choice:
    """For one event loop; ``close`` once."""

    def __init__(self, store: Store, datasets: Mapping[str, Dataset], *, learns: bool) -> None:
        self._store = store
        self._datasets = datasets
        self._ids = Ids(store)
        self._learning = Learning(store) if learns else None

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._learning is not None:
            await self._learning.close()
        self._ids.close()

    async def indexes(self, tenant: str, checked: Checked) -> Mapping[str, Index]:
        """Read the indexes of those tables whose ids a query names; by the tables' names."""
        wanted = {
            name: self._ids.index(self._store.table(tenant, name), id_field)
            for name in sorted(checked.tables)
            if (id_field := self._datasets[name].id_field) and self._wanted(checked, name) is not None
        }
        return dict(zip(wanted, await asyncio.gather(*wanted.values()), strict=True))

    async def of(
        self, checked: Checked, snapshots: Mapping[str, Snapshot], indexes: Mapping[str, Index], span: Span
    ) -> Chosen:
        """Choose the files of each table. ``indexes``: as ``indexes`` gave them for this query."""
        objects: dict[str, Object] = {}
        tables, read = [], 0
        for name, snapshot in snapshots.items():
            dataset = self._datasets[name]
            use, ids = checked.places.get(name), self._wanted(checked, name)
            found = bounds.of(use, _kinds(dataset)) if use is not None else {}
            files = snapshot.within(found, span, dataset.time_field)
            if name in indexes and ids is not None:
                look = await self._ids.look(indexes[name], named(files), ids)
                if self._learning is not None:
                    self._learning.hear(look, snapshot)
                files = files.filter(pa.array(look.may))
                read += look.bytes
            objects |= snapshot.objects(name, files)
            tables.append(TableTask(name, _columns(snapshot, dataset), DATE, span.where(dataset.time_field)))
        few = bool(indexes) and sum(object.size for object in objects.values()) <= _FEW_BYTES
        return Chosen(objects, tuple(tables), read, few)

    def _wanted(self, checked: Checked, name: str) -> frozenset[str] | None:
        """The ids that a query wants of a table; None when it may want others."""
        id_field, use = self._datasets[name].id_field, checked.places.get(name)
        return bounds.texts(use, id_field) if id_field is not None and use is not None else None


def _columns(snapshot: Snapshot, dataset: Dataset) -> pa.Schema:
    """The table's columns, and those that the dataset has got since its last rows came: null in every file."""
    new = [field for field in file_schema(dataset) if field.name not in snapshot.schema.names]
    return pa.schema([*snapshot.schema, *plain_schema(pa.schema(new))])


def _kinds(dataset: Dataset) -> bounds.Kinds:
    stated = bounded(dataset)
    numbers = [name for name in stated if name.startswith("_src_")]
    return bounds.Kinds([name for name in stated if name not in numbers], [DATE], numbers)
