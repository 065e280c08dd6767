"""Where a tenant's rows of a dataset go: which partition of the sorted topic.

A pure function: every sorter, before and after a crash, sends the same row to the same place (DESIGN §6a). It may use
tenant, dataset, ingest partition and ingest offset, and nothing else. Changing the partition count of a sorted topic
would change it, which is why ``logflume topics apply`` refuses to.
"""

from __future__ import annotations

import zlib

_CACHED_TENANTS = 200_000
"""Names remembered; a flood of invented tenants must not fill memory (about 100 B each)."""


class Routing:
    """The partitions of one dataset's sorted topic."""

    def __init__(self, dataset: str, partitions: int) -> None:
        self.partitions = partitions
        self._salt = zlib.crc32(dataset.encode())
        self._known: dict[str, int] = {}

    def partition(self, tenant: str) -> int:
        """Return the partition that holds all rows of ``tenant``: CRC-32 of dataset and tenant, modulo the count."""
        found = self._known.get(tenant)
        if found is None:
            if len(self._known) >= _CACHED_TENANTS:
                self._known.clear()
            found = self._known[tenant] = zlib.crc32(tenant.encode(), self._salt) % self.partitions
        return found
