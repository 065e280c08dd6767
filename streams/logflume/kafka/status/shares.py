"""What workers tell of single tenants' tables: few of them by name, and the others as a sum."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

OTHERS: Final = ""
"""The tenant of a share that is several tables' together; no tenant has this name."""


@dataclass(frozen=True, slots=True)
class Share:
    """A tenant's table: rows that wait and the age of the oldest; what was stored in a minute; how fresh that was.

    ``wait_seconds`` since Kafka had the oldest row that is not at rest; ``fresh_seconds``: the longest time that a row
    took from its arrival until it could be found. Both are the worst of all, where a share is of several tables.
    """

    tenant: str
    dataset: str
    waiting_rows: int = 0
    wait_seconds: float = 0.0
    stored_rows: int = 0
    stored_bytes: int = 0
    fresh_seconds: float = 0.0

    def together(self, other: Share) -> Share:
        """This share and another as one, under this one's name."""
        return Share(
            self.tenant,
            self.dataset,
            self.waiting_rows + other.waiting_rows,
            max(self.wait_seconds, other.wait_seconds),
            self.stored_rows + other.stored_rows,
            self.stored_bytes + other.stored_bytes,
            max(self.fresh_seconds, other.fresh_seconds),
        )


def bounded(shares: Iterable[Share], most: int) -> tuple[Share, ...]:
    """Return the first ``most`` by wait, by stored bytes and by freshness, and all others as one share, the last."""
    every = list(shares)
    named = [share for share in every if share.tenant != OTHERS]
    kept = {
        id(share): share
        for name in ("wait_seconds", "stored_bytes", "fresh_seconds")
        for share in heapq.nlargest(most, named, key=lambda share, name=name: getattr(share, name))  # type: ignore[misc]
        if getattr(share, name) > 0
    }
    others = [share for share in every if id(share) not in kept]
    first = sorted(kept.values(), key=lambda share: (-share.wait_seconds, -share.stored_bytes))
    rest = Share(OTHERS, OTHERS)
    for share in others:
        rest = rest.together(share)
    return (*first, rest) if others else tuple(first)


def merged(told: Iterable[Share], most: int) -> tuple[Share, ...]:
    """Return what several workers have told of the same tables as one, bounded again."""
    tables: dict[tuple[str, str], Share] = {}
    for share in told:
        table = (share.tenant, share.dataset)
        tables[table] = tables[table].together(share) if table in tables else share
    return bounded(tables.values(), most)
