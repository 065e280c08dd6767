"""One look after one table: retention, merging, what is remembered of removed files, a checkpoint, vacuum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from logflume import metrics
from logflume.care import change, hold, merging, plan, vacuum
from logflume.care.change import Standing
from logflume.care.plan import Aims
from logflume.care.timekeeper import Timekeeper
from logflume.clock import Clock
from logflume.errors import LogflumeError, Misconfigured, Retryable
from logflume.model import Datasets
from logflume.settings import Settings
from logflume.table import log
from logflume.table.ids import upkeep
from logflume.table.log import Change, Removal
from logflume.table.snapshot import File
from logflume.table.store import Store
from logflume.table.table import COMMITTED_WITHIN_SECONDS

_HOUR: Final = 3600.0
_INDEXED_FROM: Final = 16  # files: of fewer a query asks each one's own filter
_CHECKPOINT_AFTER: Final = 100  # files that went: readers need not be told of each
_STILL_SECONDS: Final = 900.0
_STILL_ENTRIES: Final = 4
"""Entries after the last checkpoint that a table may have for good: who opens it reads each of them, 1 ms."""

_logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Look:
    """What a look did, or would do: files and rows that expired, files merged into fewer, files vacuumed.

    ``notes``: why something was not done.
    """

    tenant: str
    dataset: str
    expired_files: int = 0
    expired_rows: int = 0
    merged_files: int = 0
    into_files: int = 0
    merged_bytes: int = 0
    into_bytes: int = 0
    vacuumed: int = 0
    checkpoint: bool = False
    small_files: int = 0
    held: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def worked(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.expired_files or self.merged_files or self.vacuumed or self.checkpoint)


class Carer:
    """Looks after tables. One thread's; several may look after the same table, and only ever do work twice."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        store: Store,
        clock: Clock,
        told: Callable[[], float] | None = None,
    ) -> None:
        """``told``: another clock, with which ``clock`` must agree (seconds since 1970); if not given, the store's.

        Raises ``Misconfigured`` when a query could outlast the files that it reads.
        """
        least = max(settings.explore_seconds, COMMITTED_WITHIN_SECONDS) + _HOUR
        if settings.care_keep_hours * _HOUR < least:
            raise Misconfigured(
                f"care_keep_hours is {settings.care_keep_hours}, and must be {least / _HOUR:.1f} at least: a query may "
                f"take {settings.explore_seconds:.0f} s (explore_seconds), a commit {COMMITTED_WITHIN_SECONDS:.0f} s"
            )
        self._datasets = datasets
        self._store = store
        self._clock = clock
        self._time = Timekeeper(clock, told or store.now)
        self._keep_hours = settings.care_keep_hours
        self._aims = Aims(int(settings.care_file_bytes), settings.care_fan_in)

    def look(self, tenant: str, dataset: str, retention_days: int | None, *, dry_run: bool = False) -> Look:
        """Do for a table what is to be done; ``retention_days`` is ``None`` for one that nobody configured: it stays.

        Raises ``Retryable``; ``Refused`` for a table that Logflume must not write, or when the clock is wrong.
        """
        found = Look(tenant, dataset)
        if not dry_run:
            self._time.agree()
        path = self._store.table(tenant, dataset)
        standing = change.read(self._store, path)
        if standing is None:
            return found
        began = self._clock.monotonic()
        found.held = hold.of(standing.properties) is not None
        self._retire(found, standing, retention_days, dry_run)
        self._merge(found, standing, dry_run)
        if dry_run:
            found.vacuumed = len(vacuum.unneeded(standing, self._keep_hours))
            return found
        vacuum.remember(self._store, path, self._keep_hours, self._clock)
        standing = change.read(self._store, path)
        if standing is None:
            return found
        if self._wants_checkpoint(found, standing):
            log.checkpoint(self._store, path)
            found.checkpoint = True
        self._time.agree()  # it may have been set while files were merged
        found.vacuumed = vacuum.vacuum(standing, self._keep_hours)
        found.small_files = sum(self._aims.small(file) for file in standing.files)
        self._index(found, standing)
        metrics.CARE_FILES.labels("vacuumed").inc(found.vacuumed)
        metrics.CARE_SECONDS.observe(self._clock.monotonic() - began)
        return found

    def _wants_checkpoint(self, found: Look, standing: Standing) -> bool:
        entries = standing.version - log.last_checkpoint(self._store, standing.path)
        if entries > log.CHECKPOINT_EVERY or found.merged_files + found.expired_files >= _CHECKPOINT_AFTER:
            return True
        if entries < _STILL_ENTRIES:
            return False
        written = self._store.written_at(standing.anchor[0])
        return written is not None and self._clock.now_ns() / 1e9 - written > _STILL_SECONDS

    def _retire(self, found: Look, standing: Standing, days: int | None, dry_run: bool) -> None:
        if days is None:
            found.notes.append("not in the configuration: nothing expires")
            return
        self._tell_doubts(found, standing)
        old = plan.expired(standing.files, days, self._now())
        if found.held:
            if old:
                found.notes.append(f"held: {len(old)} expired files stay")
            return
        if old and not dry_run:
            taken: tuple[File, ...] = ()

            def decide(now: Standing) -> Change | None:
                nonlocal taken
                taken = plan.expired(now.files, days, self._now())
                if hold.of(now.properties) is not None or not taken:
                    return None
                return Change("DELETE", _removals(taken), about={"by": "retention", "days": str(days)})

            old = taken if change.settle(self._store, standing.path, decide, self._clock) is not None else ()
            metrics.CARE_FILES.labels("expired").inc(len(old))
            metrics.CARE_ROWS.labels("expired").inc(sum(file.rows for file in old))
        found.expired_files, found.expired_rows = len(old), sum(file.rows for file in old)

    def _tell_doubts(self, found: Look, standing: Standing) -> None:
        doubted = plan.doubted(standing.files, self._now())
        if doubted:
            one = doubted[0]
            note = (
                f"{len(doubted)} files hold rows that arrived at no time to believe, by a wrong clock or after days in "
                f"a spool: they are kept from when they were stored; one: {one.path}, {one.newest}, {one.stored}"
            )
            found.notes.append(note)
            _logger.warning("care.doubted", table=standing.path, files=len(doubted), note=note)

    def _merge(self, found: Look, standing: Standing, dry_run: bool) -> None:
        dataset = self._datasets.get(found.dataset)
        merges = plan.merges(standing.files, self._aims, self._now())
        if dataset is None:
            if merges:
                found.notes.append("its dataset is not declared any more: nothing is merged")
            return
        for files in merges:
            if dry_run:
                found.merged_files, found.into_files = found.merged_files + len(files), found.into_files + 1
                found.merged_bytes += sum(file.size for file in files)
                continue
            try:
                done = merging.merge(self._store, standing.path, dataset, files, self._clock)
            except LogflumeError as error:  # the rest of the table is looked after all the same
                found.notes.append(f"{len(files)} files were not merged: {error}")
                _logger.warning("care.not-merged", table=standing.path, files=len(files), error=str(error))
                metrics.CARE_LOOKS.labels("failed").inc()
                continue
            if done is None:
                found.notes.append(f"{len(files)} files were not merged: one of them went meanwhile")
                continue
            found.merged_files, found.into_files = found.merged_files + done.files, found.into_files + 1
            found.merged_bytes, found.into_bytes = found.merged_bytes + done.read, found.into_bytes + done.written
            metrics.CARE_FILES.labels("merged").inc(done.files)
            metrics.CARE_FILES.labels("made").inc()
            metrics.CARE_ROWS.labels("merged").inc(done.rows)
            metrics.CARE_BYTES.labels("read").inc(done.read)
            metrics.CARE_BYTES.labels("written").inc(done.written)

    def _index(self, found: Look, standing: Standing) -> None:
        """Have the index of ids know the files that there are, and none that went; nothing depends on it.

        A table of few files needs none, but may have what somebody left there.
        """
        dataset = self._datasets.get(found.dataset)
        files = [(file.path, file.size) for file in standing.files]
        if dataset is None or dataset.id_field is None:
            return
        try:
            upkeep.extend(
                self._store,
                standing.path,
                dataset.id_field,
                files,
                self._clock,
                wanted=lambda: len(files) >= _INDEXED_FROM,
            )
        except Retryable as error:
            found.notes.append(f"its index of ids is as it was: {error}")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)


def _removals(files: Iterable[File]) -> tuple[Removal, ...]:
    return tuple(Removal(file.path, file.date, file.size) for file in files)
