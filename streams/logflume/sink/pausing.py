"""When reading stops, and how long a failed flush waits: what bounds memory and what a restart reads again."""

from __future__ import annotations

import random
from collections.abc import Collection

from logflume.errors import Retryable
from logflume.sink.budget import Budget
from logflume.sink.partition import Partition

_FAILING_SHARE = 0.25  # of the budget; with more held by tenants that can't be stored, their partitions pause
_HEAVY = 1.5  # times the mean; with one partition nobody is, with equal ones nobody is
_STORE_SECONDS = (0.5, 30.0)
_REFUSED_SECONDS = 60.0  # someone must change something first


def overburdened(partitions: Collection[Partition], budget: Budget, behind_limit: int) -> set[Partition]:
    """Return the partitions that should not be read for now.

    All, when memory is full; but for the one that is nearest to having a stored cut whole, as such rows can't come to
    rest and free their memory before. When it presses, those that have read much more than others and not stored it,
    so that memory is never full for the others. Otherwise only those with tenants that can't be stored, before these
    fill the memory that the others need, or hold the commit back further than ``behind_limit`` bytes.
    """
    if budget.full:
        left = {partition: to_go for partition in partitions if (to_go := partition.to_gather) is not None}
        return set(partitions) - ({min(left, key=left.__getitem__)} if left else set())
    failing = {p: size for p in partitions if (size := p.buffers.failing_bytes)}
    far = sum(partition.progress.behind_bytes for partition in partitions) >= behind_limit
    found = set(failing) if far or sum(failing.values()) > _FAILING_SHARE * budget.limit_bytes else set()
    return found | _heavy(partitions) if budget.pressed else found


def _heavy(partitions: Collection[Partition]) -> set[Partition]:
    """Those with much more than their share of what was read and not stored, but for those with a cut to be whole."""
    share = _HEAVY * sum(partition.progress.behind_bytes for partition in partitions) / max(1, len(partitions))
    return {p for p in partitions if p.progress.behind_bytes > share and p.to_gather is None}


def again_after(error: Exception, failures: int, source: random.Random) -> float:
    """Return the seconds until a flush is tried again, which failed with ``error`` after ``failures`` earlier ones.

    With jitter: a store that comes back is not met by all tenants at once.
    """
    least, most = _STORE_SECONDS
    pause = min(most, least * 2.0 ** min(failures, 10)) if isinstance(error, Retryable) else _REFUSED_SECONDS
    return pause * source.uniform(0.5, 1.0)
