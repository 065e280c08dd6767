"""What of its tables a query is handed: those files that can matter, by the log, by its time range, by its ids.

A file that is left out never changes an answer (see ``bounds``, ``snapshots`` and ``ids``). Of a table of which it
wants rows by their ids it is handed these rows alone, where they can be picked (see ``picking``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from logflume.explore import bounds
from logflume.explore.check import Checked
from logflume.explore.engine.frames import TableTask
from logflume.explore.gateway import Object
from logflume.explore.ids import Ids
from logflume.explore.learning import Learning
from logflume.explore.picking import Picker, Rows, Search
from logflume.explore.plain import plain_schema
from logflume.explore.snapshots import Snapshot, named
from logflume.explore.span import Span
from logflume.model.dataset import Dataset
from logflume.table import parquet
from logflume.table.schema import DATE, bounded, file_schema
from logflume.table.store import Store

_FEW_BYTES: Final = 16_000_000
"""Of all files of a query for an id: so little is read whole while its process plans."""


@dataclass
class Chosen:
    """The files of a query's tables, by the names that it knows, and the tables.

    ``read``: bytes that were read to choose them; ``opened``: files, by the same names, whose rows were picked.
    ``few``: they are the files of an id, and small. ``picked``: of each table whose rows were, all of them, which are
    in none of the files.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    tables: list[TableTask] = field(default_factory=list)
    read: int = 0
    opened: set[str] = field(default_factory=set)
    few: bool = False
    picked: dict[str, Rows] = field(default_factory=dict)

    def with_picked(self, datasets: Mapping[str, Dataset]) -> Mapping[str, Object]:
        """Return the files, and for the rows that were picked small ones of their own."""
        made = dict(self.objects)
        for name, rows in self.picked.items():
            for number, (date, table) in enumerate(rows.tables):
                data = parquet.encode(table, datasets[name]).data
                made[f"{name}/{DATE}={date}/picked-{number}.parquet"] = Object("", data.size, memoryview(data))
        return made


class Searches:
    """What is looked for by its ids, a table each, while what the tables hold is still being read."""

    def __init__(self, searches: Mapping[str, Coroutine[Any, Any, Search]]) -> None:
        self._tasks = {name: asyncio.create_task(search) for name, search in searches.items()}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def __enter__(self) -> Searches:
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().close()
            task.cancel()

    async def of(self, table: str) -> Search | None:
        """Return the search in a table, if there is one."""
        return await self._tasks[table] if table in self._tasks else None


class Choice:
    """For one event loop; ``close`` once."""

    def __init__(self, store: Store, datasets: Mapping[str, Dataset], *, learns: bool) -> None:
        self._store = store
        self._datasets = datasets
        self._ids = Ids(store)
        self._picker = Picker(self._ids)
        self._learning = Learning(store) if learns else None

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._learning is not None:
            await self._learning.close()
        self._ids.close()

    def begin(self, tenant: str, checked: Checked) -> Searches:
        """Begin to look for the ids that a query names. To be used as a ``with`` block."""
        wanted = {name: ids for name in sorted(checked.tables) if (ids := self._wanted(checked, name)) is not None}
        return Searches({name: self._search(tenant, name, ids) for name, ids in wanted.items()})

    async def of(self, checked: Checked, snapshots: Mapping[str, Snapshot], searches: Searches, span: Span) -> Chosen:
        """Choose what is handed over of each table. ``searches``: as ``begin`` gave them for this query."""
        chosen = Chosen()
        for name, snapshot in snapshots.items():
            dataset = self._datasets[name]
            use = checked.places.get(name)
            found = bounds.of(use, _kinds(dataset)) if use is not None else {}
            files = snapshot.within(found, span, dataset.time_field)
            columns = _columns(snapshot, dataset)
            chosen.tables.append(TableTask(name, columns, DATE, span.where(dataset.time_field)))
            picked = None
            search = await searches.of(name)
            if search is not None:
                look = await self._picker.rest(search, named(files))
                if self._learning is not None:
                    self._learning.hear(look, snapshot)
                files = files.filter(pa.array(look.may))
                chosen.read += look.bytes
                picked = await self._picker.rows(search, named(files))
            objects = snapshot.objects(name, files)
            if picked is None:
                chosen.objects |= objects
            else:
                chosen.opened.update(objects)
                chosen.read += sum(each.bytes for each in picked)
                dates = files.column(f"partition.{DATE}").to_pylist()
                rows = [
                    (date, pa.concat_tables(each.rows)) for date, each in zip(dates, picked, strict=True) if each.rows
                ]
                chosen.picked[name] = Rows(rows, columns)
        chosen.few = bool(searches) and sum(object.size for object in chosen.objects.values()) <= _FEW_BYTES
        return chosen

    async def _search(self, tenant: str, name: str, ids: frozenset[str]) -> Search:
        field = self._datasets[name].id_field
        assert field is not None
        return await self._picker.begin(self._store.table(tenant, name), field, ids)

    def _wanted(self, checked: Checked, name: str) -> frozenset[str] | None:
        """The ids that a query wants of a table; None when it may want others."""
        id_field, use = self._datasets[name].id_field, checked.places.get(name)
        return bounds.texts(use, id_field) if id_field is not None and use is not None else None


def _columns(snapshot: Snapshot, dataset: Dataset) -> pa.Schema:
    """The table's columns, and those that the dataset has got since its last rows came: null in every file."""
    known = set(snapshot.schema.names)
    new = [field for field in file_schema(dataset) if field.name not in known]
    return pa.schema([*snapshot.schema, *plain_schema(pa.schema(new))]) if new else snapshot.schema


def _kinds(dataset: Dataset) -> bounds.Kinds:
    stated = bounded(dataset)
    numbers = [name for name in stated if name.startswith("_src_")]
    return bounds.Kinds([name for name in stated if name not in numbers], [DATE], numbers)
