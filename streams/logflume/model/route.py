"""Over how many sorted partitions a tenant's rows of a dataset go, and from which ingest offsets on (DESIGN §6a)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A change of routing, which holds from ``starts[p]`` on in ingest partition ``p`` of the topic ``topic_id``.

    At each of these offsets stands a marker that names ``generation``, the one that made the change: a sorter does not
    go past it before it has that generation, so the routing of a record is a pure function of the log.
    """

    generation: int
    shards: int
    topic_id: str
    starts: tuple[int, ...]
