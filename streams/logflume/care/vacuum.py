"""Files that no version of a table needs any more are deleted from the store.

V1  A file that was removed from a table stays for ``keep_hours``: longer than the longest query, whose snapshot may
    have it. A file of no commit stays likewise, and longer than its writer may yet commit it (``table.py``, T7).
V2  What may go is said by delta-rs, by the log and a listing. Its own deletion would make two commits of its own, which
    sinks would have to pass.
"""

from __future__ import annotations

from deltalake.exceptions import DeltaError

from logflume.care import change
from logflume.care.change import Standing
from logflume.clock import Clock
from logflume.errors import Retryable
from logflume.table import log
from logflume.table.log import Change
from logflume.table.store import Store


def remember(store: Store, path: str, keep_hours: int, clock: Clock) -> None:
    """Have a table's checkpoints name removed files for as long as they are kept (or V1 could not be told)."""
    wanted = f"interval {keep_hours} hours"

    def decide(standing: Standing) -> Change | None:
        if standing.properties.get(log.KEPT_FOR) == wanted:
            return None
        return Change("SET TBLPROPERTIES", properties={**standing.properties, log.KEPT_FOR: wanted})

    change.settle(store, path, decide, clock)


def unneeded(standing: Standing, keep_hours: int) -> list[str]:
    """Return the files, below the table, that V1 lets go. Raises ``Retryable``."""
    store, path = standing.store, standing.path
    try:
        gone = standing.table.vacuum(keep_hours, dry_run=True, enforce_retention_duration=False, full=True)
    except (DeltaError, OSError) as error:
        raise Retryable(f"{store.uri(path)}: its files could not be listed: {error}") from error
    if not gone:
        return []
    there = set(store.list_below(path))  # the log names those that were deleted, until its next checkpoint
    return [name for name in gone if f"{path}/{name}" in there]


def vacuum(standing: Standing, keep_hours: int) -> int:
    """Delete what V1 lets go, and return how many files that were. Raises ``Retryable``."""
    gone = unneeded(standing, keep_hours)
    for name in gone:
        standing.store.delete(f"{standing.path}/{name}")
    return len(gone)
