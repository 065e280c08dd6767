"""Small sorted rows, stores that fail when told to, and what a table holds, read by others than the code under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.errors import Retryable
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.table.store import Store
from logflume.table.table import Appended, Table

NOON = 1_764_072_000_000_000_000  # 2025-11-25T12:00:00Z
DAY = 86_400_000_000_000

SMALL = Dataset(
    "http_requests",
    (
        Field("RayID", FieldType.STRING),
        Field("EdgeStartTimestamp", FieldType.TIMESTAMP),
        Field("ClientRequestHost", FieldType.STRING, dictionary=True),
        Field("EdgeResponseStatus", FieldType.INT),
        Field("RequestHeaders", FieldType.MAP),
        Field("BotTags", FieldType.STRINGS),
    ),
    time_field="EdgeStartTimestamp",
    id_field="RayID",
)


def rows(
    ids: Sequence[str], *, times: Sequence[int | None] | None = None, dataset: Dataset = SMALL, **columns: Any
) -> pa.Table:
    """Sorted rows with these ids, and ``times`` (ns); other columns are null, or given."""
    count = len(ids)
    given: dict[str, Any] = {
        "RayID": ids,
        "EdgeStartTimestamp": times or [NOON + 1000 * i for i in range(count)],
        "_received": [NOON] * count,
        "_src_topic": ["topic"] * count,
        "_src_partition": [0] * count,
        "_src_offset": list(range(count)),
        "_src_row": [0] * count,
        **columns,
    }
    schema = sorted_schema(dataset)
    return pa.table({f.name: pa.array(given.get(f.name, [None] * count), f.type) for f in schema}, schema)


def append(
    store: Store, ids: Sequence[str], app_id: str = "app", upto: int | None = None, tenant: str = "acme", **more: Any
) -> Appended:
    """Append rows of which each has a sorted offset of its own, up to ``upto``; stored ``at`` noon, or given."""
    end = len(ids) if upto is None else upto
    offsets = np.arange(end - len(ids), end, dtype=np.int64)
    dataset, clock = more.get("dataset", SMALL), ManualClock(more.pop("at", NOON))
    return Table(store, dataset, tenant, clock=clock).append(app_id, end, offsets, rows(ids, **more))


def held(store: Store, tenant: str = "acme", dataset: str = "http_requests") -> pa.Table:
    """All rows of a table, by its log's files and pyarrow; ``_date`` from the path."""
    path = store.table(tenant, dataset)
    table = DeltaTable(store.uri(path), storage_options=store.delta_options)
    names = pa.table(table.get_add_actions()).column("path").to_pylist()
    parts = []
    for name in names:
        part = pq.read_table(store.full(f"{path}/{name}"), filesystem=store.filesystem, partitioning=None)
        parts.append(part.append_column("_date", pa.array([name.split("/")[0].split("=")[1]] * part.num_rows)))
    return pa.concat_tables(parts, promote_options="default")


def ids(store: Store, tenant: str = "acme") -> list[str]:
    """The ids of all rows of a table, sorted."""
    return sorted(held(store, tenant).column("RayID").to_pylist())


class Crash(BaseException):
    """The process ended here."""


class TroubledStore(Store):
    """A store whose next conditional put goes wrong as ``trouble`` says; afterwards it is well again.

    ``crash``/``fail``: before it is made; ``crash-after``/``unheard``: made, but nobody hears of it; a function: run
    before the put, as what somebody else does in between.
    """

    trouble: str | Callable[[], None] | None = None

    def put_if_absent(self, path: str, data: bytes) -> str | None:
        """Make an object, or go wrong."""
        if path.startswith("deletions/"):
            return super().put_if_absent(path, data)  # an order, which comes before the commit that is meant
        trouble, self.trouble = self.trouble, None
        if trouble == "crash":
            raise Crash
        if trouble == "fail":
            raise Retryable("the store is away")
        if callable(trouble):
            trouble()
        made = super().put_if_absent(path, data)
        if made and trouble == "crash-after":
            raise Crash
        if made and trouble == "unheard":
            raise Retryable("timed out")
        return made
