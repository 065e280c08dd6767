"""``logflume care``: looks after its share of the tables, again and again.

A table with work is looked at again after ``care_seconds``; one without after twice as long as before, up to
``care_idle_seconds``. What fails is counted and tried again likewise; it holds up no other table.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from logflume import metrics
from logflume.care import deletion
from logflume.care.look import Carer
from logflume.clock import Clock
from logflume.config import Source
from logflume.errors import LogflumeError, Unconfigured
from logflume.settings import Settings
from logflume.table import snapshot
from logflume.table.store import Store

_TURN_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


class Share(Protocol):
    """Says which tables are this worker's."""

    failure: LogflumeError | None

    def mine(self, tenant: str, dataset: str) -> bool:
        """Whether this worker looks after the table now; never blocks."""
        ...


@dataclass(slots=True)
class _Due:
    """When a table is looked at next (monotonic seconds), and how long after the last look that is."""

    at: float
    pause: float


def retention(source: Source | None, tenant: str, dataset: str) -> int | None:
    """Return for how many days a table's rows are kept by the configuration in force; ``None``: it says nothing."""
    try:
        found = source.current().tenants.get(tenant) if source is not None else None
    except Unconfigured:
        return None
    wanted = found.datasets.get(dataset) if found is not None else None
    return wanted.retention_days if wanted is not None else None


class Worker:
    """One worker. ``turn`` is its loop's; the checks, and what metrics ask, may be called by any thread."""

    def __init__(
        self, settings: Settings, carer: Carer, store: Store, source: Source, share: Share, clock: Clock
    ) -> None:
        self._settings = settings
        self._carer = carer
        self._store = store
        self._source = source
        self._share = share
        self._clock = clock
        self._due: dict[tuple[str, str], _Due] = {}
        self._failing: dict[tuple[str, str], str] = {}
        self._small: dict[tuple[str, str], int] = {}
        self._list_at = clock.monotonic()
        self._listed = False
        self._turned = clock.monotonic()
        self._due_at = float("inf")
        metrics.CARE_LATE.set_function(self.late_seconds)

    def live(self) -> str | None:
        """Why the process should be restarted, or None."""
        if self._share.failure is not None:
            return str(self._share.failure)
        silent = self._clock.monotonic() - self._turned
        most = self._settings.care_seconds + self._settings.care_stall_seconds
        return f"the same look goes on since {silent:.0f} s" if silent > most else None

    def late_seconds(self) -> float:
        """How long the table waits that is due longest: also while it is looked at, or while the store hangs."""
        return max(0.0, self._clock.monotonic() - self._due_at)

    def ready(self) -> str | None:
        """Why tables are not looked after, or None."""
        if not self._listed:
            return "the tables could not be listed yet"
        failing = sorted(self._failing.values())
        return self.live() or (f"{len(failing)} tables fail; one: {failing[0]}" if failing else None)

    def run(self, stop: threading.Event) -> None:
        """Look after tables until ``stop``. Raises what ended its membership."""
        while not stop.is_set():
            if self._share.failure is not None:
                raise self._share.failure
            if not self.turn():
                stop.wait(_TURN_SECONDS)

    def turn(self) -> bool:
        """Look after the table that is due longest; False when none is."""
        now = self._turned = self._clock.monotonic()
        if now >= self._list_at:
            self._list(now)
        mine = {table: due for table, due in self._due.items() if self._share.mine(*table)}
        metrics.CARE_TABLES.set(len(mine))
        self._small = {table: count for table, count in self._small.items() if table in mine}
        small: Counter[str] = Counter()
        for (_, dataset), count in self._small.items():
            small[dataset] += count
        metrics.CARE_SMALL_FILES.show(((dataset,), count) for dataset, count in small.items())
        late = min(mine, key=lambda table: mine[table].at, default=None)
        self._due_at = mine[late].at if late is not None else float("inf")
        if late is None or self._due_at > now:
            return False
        self._look(late, mine[late])
        return True

    def _list(self, now: float) -> None:
        try:
            found = set(snapshot.list_tables(self._store))
        except LogflumeError as error:
            metrics.CARE_LOOKS.labels("failed").inc()
            _log.warning("care.not-listed", error=str(error))
            self._list_at = now + self._settings.care_seconds
            return
        self._due = {table: self._due.get(table) or _Due(now, self._settings.care_seconds) for table in found}
        self._failing = {table: why for table, why in self._failing.items() if table in found}
        self._listed = True
        try:
            deletion.resume(self._store, self._clock)
        except LogflumeError as error:
            metrics.CARE_LOOKS.labels("failed").inc()
            _log.warning("care.deletions-not-ended", error=str(error))
        self._list_at = now + self._settings.care_idle_seconds

    def _look(self, table: tuple[str, str], due: _Due) -> None:
        worked = False
        try:
            done = self._carer.look(*table, retention(self._source, *table))
            worked = done.worked
            self._small[table] = done.small_files
            self._failing.pop(table, None)
            metrics.CARE_LOOKS.labels("worked" if worked else "idle").inc()
            if worked:
                _log.info(
                    "care.looked",
                    table="/".join(table),
                    expired=done.expired_files,
                    merged=done.merged_files,
                    into=done.into_files,
                    vacuumed=done.vacuumed,
                )
        except Exception as error:  # outermost of its loop: a table that is broken keeps nobody from the others
            metrics.CARE_LOOKS.labels("failed").inc()
            self._failing[table] = f"{'/'.join(table)}: {error}"
            _log.warning(
                "care.failed", table="/".join(table), error=str(error), exc_info=not isinstance(error, LogflumeError)
            )
        pause = self._settings.care_seconds if worked else min(2 * due.pause, self._settings.care_idle_seconds)
        due.pause = max(pause, self._settings.care_seconds)
        due.at = self._clock.monotonic() + due.pause
