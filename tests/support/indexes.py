"""Indexes of ids beside tables of tests: brought up to date, asked, and harmed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from logflume.clock import ManualClock, SystemClock
from logflume.explore.ids import Ids, Look
from logflume.explore.snapshots import Snapshots
from logflume.table import parquet
from logflume.table.ids.catalogue import Catalogue
from logflume.table.ids.upkeep import extend
from logflume.table.store import Store


def extended(store: Store, tenant: str = "acme", clock: ManualClock | None = None, **more: Any) -> Catalogue:
    """Bring the index of a tenant's requests up to date."""
    held = Snapshots(store).read(tenant, "http_requests")
    return extend(store, held.path, "RayID", held.named, clock or SystemClock(), **more)


def asked(store: Store, ids: Collection[str], tenant: str = "acme", by: Ids | None = None) -> Look:
    """Ask which files of a tenant's requests may hold one of these ids, by ``by``, or who knows nothing yet."""
    [look] = asked_each(store, [ids], tenant, by)
    return look


def asked_each(
    store: Store, questions: Sequence[Collection[str]], tenant: str = "acme", by: Ids | None = None
) -> list[Look]:
    """Ask several things, one after another."""

    async def ask() -> list[Look]:
        looking = by or Ids(store)
        try:
            named = held.named
            return [await looking.look(await looking.index(held.path, "RayID"), named, ids) for ids in questions]
        finally:
            if by is None:
                looking.close()

    held = Snapshots(store).read(tenant, "http_requests")
    return asyncio.run(ask())


def handed(store: Store, id: str, tenant: str = "acme") -> list[str]:
    """The names of the files that a query for this id is handed, oldest first."""
    look = asked(store, [id], tenant)
    return sorted(path for (path, _), may in zip(look.files, look.may, strict=True) if may)


def objects(store: Store, tenant: str = "acme") -> dict[str, Path]:
    """The objects of the index in a folder's store, by name."""
    folder = Path(store.full(store.table(tenant, "http_requests"))) / "_ids"
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}


def part(store: Store, tenant: str = "acme") -> Path:
    """The only part of an index."""
    [path] = [path for name, path in objects(store, tenant).items() if name != "current"]
    return path


def of_bytes(rows: pa.Table, dataset: Any, encode: Any = parquet.encode) -> parquet.Encoded:
    """As ``parquet.encode``, by somebody for whom an id is no text: whether it is one is not ours to say."""
    made = encode(rows, dataset)
    held = pq.read_table(pa.BufferReader(made.data))
    at = held.schema.get_field_index("RayID")
    sink = pa.BufferOutputStream()
    pq.write_table(held.set_column(at, "RayID", held.column(at).cast(pa.binary())), sink)
    return parquet.Encoded(sink.getvalue(), made.rows, made.stats, made.value_bytes)


def without_filters(rows: pa.Table, dataset: Any, encode: Any = parquet.encode) -> parquet.Encoded:
    """As ``parquet.encode``, by somebody who knows of no Bloom filters."""
    made = encode(rows, dataset)
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(pa.BufferReader(made.data)), sink)
    return parquet.Encoded(sink.getvalue(), made.rows, made.stats, made.value_bytes)
