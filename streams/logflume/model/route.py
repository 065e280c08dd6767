"""Over how many sorted partitions a tenant's rows of a dataset go, and from which ingest offsets on (DESIGN §6a)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

MOST_SHARDS = 64
"""Of a tenant's dataset; more would take the others' partitions as well."""


@dataclass(frozen=True, slots=True)
class Route:
    """A change of routing, which holds from ``starts[p]`` on in ingest partition ``p`` of the topic ``topic_id``.

    At each of these offsets stands a marker that names ``generation``, the one that made the change: a sorter does not
    go past it before it has that generation, so the routing of a record is a pure function of the log. In a partition
    without a marker, added since, the change does not hold.
    """

    generation: int
    shards: int
    topic_id: str
    starts: tuple[int, ...]

    def shards_of(self, topic_id: str, partition: int) -> int | None:
        """Return over how many partitions the newest rows of an ingest partition go by this change; None: not by it."""
        return self.shards if topic_id == self.topic_id and partition < len(self.starts) else None


@dataclass(frozen=True, slots=True)
class Retired:
    """The routes of a tenant and dataset that nobody wants any more, for as long as the log has rows from then."""

    tenant: str
    dataset: str
    routes: tuple[Route, ...]


def home(dataset: str, tenant: str, partitions: int) -> int:
    """Return the sorted partition of a tenant without routes: CRC-32 of dataset and tenant, modulo the count."""
    return zlib.crc32(tenant.encode(), zlib.crc32(dataset.encode())) % partitions


def spread(shards: int, partitions: int) -> int:
    """Return how far apart shards lie: in partitions of their own; a sink that has the one seldom has them all."""
    return max(1, partitions // shards)


def places(dataset: str, tenant: str, routes: Iterable[Route], partitions: int) -> frozenset[int]:
    """Return the sorted partitions on which rows of a tenant may lie that has these routes."""
    at = home(dataset, tenant, partitions)
    steps = {shard * spread(route.shards, partitions) for route in routes for shard in range(route.shards)}
    return frozenset((at + step) % partitions for step in {0, *steps})
