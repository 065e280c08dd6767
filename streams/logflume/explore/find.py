"""Find a tenant's records by their id: the field that the dataset names, which has a Bloom filter in every file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from logflume.errors import Refused
from logflume.explore.answers import Answers
from logflume.explore.filters import quoted
from logflume.explore.live import Waiting
from logflume.explore.query import NoTable, Scanned
from logflume.model.dataset import Dataset

_MOST = 1_000  # of one id in one dataset: an id that so many records share is none


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a dataset that have the id (none, perhaps), and what was opened to find them."""

    dataset: str
    rows: pa.Table
    scanned: Scanned
    waiting: Waiting | None = None


def find(
    explorer: Answers,
    datasets: Mapping[str, Dataset],
    tenant: str,
    id: str,
    dataset: str | None = None,
    *,
    live: bool = False,
) -> Iterator[Found]:
    """Search the tenant's tables whose dataset has an id field, or the one named, and yield what each holds.

    A dataset in which nothing has come to rest is passed over, unless it is the one named (``NoTable``). Raises
    ``Refused`` when the one named has no id field.
    """
    if dataset is not None and dataset not in datasets:
        raise Refused(f"there is no dataset {dataset!r}; there are: {', '.join(sorted(datasets))}")
    for name in [dataset] if dataset is not None else sorted(datasets):
        field = datasets[name].id_field
        if field is None:
            if dataset is not None:
                raise Refused(f"the dataset {name} names no id field; use `logflume query`")
            continue
        sql = f'SELECT * FROM {name} WHERE "{field}" = {quoted(id)}'
        try:
            with explorer.query(tenant, sql, _MOST, live=live) as result:
                found = Found(name, result.read_all(), result.scanned, result.waiting)
        except NoTable:
            if dataset is not None:
                raise
            continue
        yield found
