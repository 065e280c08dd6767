"""Where a tenant's rows of a dataset go: which partition of the sorted topic.

A pure function: every sorter, before and after a crash, sends the same row to the same place (DESIGN §6a). It may use
tenant, dataset, ingest partition and ingest offset, and nothing else. Changing the partition count of a sorted topic
would change it, which is why ``logflume topics apply`` refuses to.

A tenant too big for one partition has routes: changes of its shards, each of which holds from an ingest offset on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from logflume.model import Route
from logflume.model.route import home, spread

Routes = Mapping[str, Sequence[Route]]
"""The routes of a dataset's tenants, of those only that have some (``Configuration.routes``)."""

NO_ROUTES: Routes = MappingProxyType({})

_CACHED_TENANTS = 200_000
"""Names remembered; a flood of invented tenants must not fill memory (about 100 B each)."""


class Routing:
    """The partitions of one dataset's sorted topic."""

    def __init__(self, dataset: str, partitions: int) -> None:
        self.partitions = partitions
        self._dataset = dataset
        self._known: dict[str, int] = {}

    def partition(self, tenant: str) -> int:
        """Return the partition that holds all rows of ``tenant`` (``home``)."""
        found = self._known.get(tenant)
        if found is None:
            if len(self._known) >= _CACHED_TENANTS:
                self._known.clear()
            found = self._known[tenant] = home(self._dataset, tenant, self.partitions)
        return found

    def partitions_of(
        self,
        tenant: str,
        routes: Sequence[Route],
        topic_id: str,
        ingest: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """Return the partition of each row of a tenant with ``routes``, by its ingest partition and offset.

        The last route that holds at a row's offset counts. Of n shards, ingest partition p feeds shard p mod n; shard s
        is the partition at ``base + s * (partitions // n)`` (``spread``). Shard 0 is the partition of a tenant without
        routes.
        """
        base = self.partition(tenant)
        found = np.full(len(offsets), base, np.int64)
        for route in routes:
            if route.topic_id != topic_id or not route.starts:
                continue
            starts = np.array(route.starts, np.int64)
            known = ingest < len(starts)
            holds = known & (offsets >= starts[np.where(known, ingest, 0)])
            apart = spread(route.shards, self.partitions)
            found = np.where(holds, (base + (ingest % route.shards) * apart) % self.partitions, found)
        return found
