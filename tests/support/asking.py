"""Questions to tables, whole: one zygote a test process serves all of them."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from logflume.explore import query
from logflume.explore.engine.forks import Forks
from logflume.explore.find import Found, find
from logflume.explore.query import Scanned
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.store import Store


@cache
def forks() -> Forks:
    made = Forks()
    atexit.register(made.close)
    return made


@dataclass(frozen=True)
class Answered:
    table: pa.Table
    scanned: Scanned
    limited: bool


class Asking:
    """``asking("acme", "SELECT …")`` reads the whole answer."""

    def __init__(self, store: Store, datasets: Mapping[str, Dataset], **settings: Any) -> None:
        self.store = store
        self.datasets = datasets
        self.settings = Settings(**settings)

    def __call__(self, tenant: str, sql: str, **more: Any) -> Answered:
        with (
            query.opened(self.settings, self.store, self.datasets, forks=forks()) as explorer,
            explorer.query(tenant, sql, **more) as result,
        ):
            return Answered(result.read_all(), result.scanned, result.limited)

    def find(self, tenant: str, id: str, dataset: str | None = None) -> list[Found]:
        with query.opened(self.settings, self.store, self.datasets, forks=forks()) as explorer:
            return list(find(explorer, self.datasets, tenant, id, dataset))
