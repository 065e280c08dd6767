"""A tenant's Delta table, and the one way in which rows come to rest there: each exactly once.

T1  A row is stored iff its sorted offset is at least the ``txn`` version in the snapshot on which it is committed.
T2  Rows and the ``txn`` that says how far they reach are one commit: both are there, or neither.
T3  A commit stands on a version whose ``txn`` was read there. Whatever fails, a time-out above all, may have succeeded:
    the log is read again, and compared, before anything is tried again.
T4  No file of a table is deleted here. A data file whose commit failed may yet be part of the table.
T5  An older writer of the same application id is fenced: it can only store rows that nobody has stored.
T6  Writers of other application ids, and the care of tables, only ever delay one another.
T7  A data file is committed within COMMITTED_WITHIN_SECONDS of being written, or is written again: a file that is in no
    commit and older than that is nobody's, and may be vacuumed.
"""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import structlog

from logflume import crash, metrics
from logflume.clock import Clock, SystemClock
from logflume.errors import Retryable
from logflume.model.dataset import Dataset
from logflume.table import log, parquet, schema
from logflume.table.log import DataFile, Head
from logflume.table.store import Store

COMMITTED_WITHIN_SECONDS = 3600.0
_ATTEMPTS = 20  # of one append; each loses only to somebody else's commit, or to a store that fails
_PAUSE_SECONDS = (0.005, 0.5)  # between attempts, doubling, with jitter

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did. ``rows`` were stored by it; ``skipped`` were at rest already (or its own, of a commit that
    succeeded unheard). ``bytes``: of the files' Parquet. ``version``: of the table, at which all of them are there.
    """

    version: int
    files: int
    bytes: int
    rows: int
    skipped: int


class Table:
    """The table of one tenant and dataset. Cheap to make: the store keeps what is known of it. Safe for threads."""

    def __init__(self, store: Store, dataset: Dataset, tenant: str, *, clock: Clock | None = None) -> None:
        self._store = store
        self._dataset = dataset
        self._clock = clock or SystemClock()
        self._columns = frozenset(schema.file_schema(dataset).names)
        self.path = store.table(tenant, dataset.name)

    def progress(self, app_id: str) -> int | None:
        """Return the sorted offset up to which the table holds this writer's rows, read afresh; ``None``: nothing."""
        head = self._load(app_id)
        return head.progress[app_id] if head else None

    def append(self, app_id: str, upto: int, offsets: np.ndarray[Any, np.dtype[np.int64]], rows: pa.Table) -> Appended:
        """Store those rows that the table does not hold, and that it holds all before ``upto``; durable on return.

        ``app_id`` names a sorted partition; ``offsets`` is the sorted offset of each row, ascending, all below
        ``upto``; ``rows`` has the columns of a sorted block. Calling it again with the same, or another cut of the
        same, changes nothing. Raises ``Retryable`` (call again), ``Refused`` (a table that must not be written).
        """
        if len(offsets) != rows.num_rows or (len(offsets) and int(offsets[-1]) >= upto):
            raise ValueError(f"{len(offsets)} offsets up to {upto} for {rows.num_rows} rows")
        remembered = self._known(app_id)
        head = remembered or self._load(app_id)
        files: list[DataFile] = []
        written_from, written_at = -1, 0.0
        failure: Retryable | None = None
        for attempt in range(_ATTEMPTS):
            stored = head.progress[app_id] if head else None
            start = 0 if stored is None else int(np.searchsorted(offsets, stored))
            if start == len(offsets):
                if head is remembered and head is not None:
                    head = self._load(app_id)  # a table that somebody deleted meanwhile holds nothing
                    continue
                return Appended(head.version if head else -1, 0, 0, 0, len(offsets))
            if start != written_from or self._clock.monotonic() - written_at > COMMITTED_WITHIN_SECONDS:
                written_at = self._clock.monotonic()
                files, written_from = self._write(rows.slice(start), upto), start
                crash.point("table.file-written")
            with self._store.turns.of(self.path):
                newest = self._known(app_id)
                if newest is not None and head is not None and newest.version > head.version:
                    head = newest  # another of our own threads was quicker
                    if head.progress[app_id] != stored:
                        continue  # with these very rows
                try:
                    done = self._commit(head, files, app_id, upto)
                except Retryable as error:
                    done, failure = None, error
            if done is not None:
                self._checkpoint(done)
                return Appended(done.version, len(files), sum(f.size for f in files), len(offsets) - start, start)
            metrics.TABLE_CONFLICTS.labels(self._dataset.name).inc()
            self._pause(attempt)
            head = self._again(head, app_id)
        raise Retryable(
            f"{self._store.uri(self.path)}: {_ATTEMPTS} attempts to append up to {upto} of {app_id} failed; the last "
            f"with: {failure or 'others were quicker'}"
        ) from failure

    def _write(self, rows: pa.Table, upto: int) -> list[DataFile]:
        files = []
        for date, part in parquet.by_date(parquet.at_rest(rows, self._dataset), self._dataset.time_field):
            encoded = parquet.encode(part, self._dataset)
            name = f"{schema.DATE}={date}/{upto}-{uuid.uuid4().hex}.parquet"
            self._store.write(f"{self.path}/{name}", encoded.data)
            files.append(DataFile(name, date, encoded.data.size, encoded.rows, encoded.stats, encoded.value_bytes))
        return files

    def _commit(self, head: Head | None, files: list[DataFile], app_id: str, upto: int) -> Head | None:
        """Commit on top of ``head``; ``None`` when somebody else was quicker, or the table is gone."""
        with metrics.TABLE_COMMIT_SECONDS.time():
            if head is None:
                done = log.create(self._store, self.path, self._dataset, files, app_id, upto, self._clock)
            else:
                done = log.commit(self._store, self.path, head, files, app_id, upto, self._clock)
        if done is not None:
            self._store.heads.put(self.path, done)
        return done

    def _known(self, app_id: str) -> Head | None:
        """What is remembered of the table, if it is enough for this writer and this state of the dataset."""
        head = self._store.heads.get(self.path)
        enough = head is not None and app_id in head.progress and self._columns <= head.columns
        return head if enough else None

    def _load(self, app_id: str) -> Head | None:
        with self._store.turns.of(self.path):  # or two who load at once forget each other's progress
            known = self._store.heads.get(self.path)
            self._store.heads.forget(self.path)
            head = log.load(self._store, self.path, self._dataset, {app_id, *(known.progress if known else ())})
            if head is not None:
                self._store.heads.put(self.path, head)
            return head

    def _again(self, head: Head | None, app_id: str) -> Head | None:
        """Where the table stands now: by the entries since ``head``, or by its whole log (T3)."""
        with self._store.turns.of(self.path):
            known = self._known(app_id)
            if known is not None and head is not None and known.version > head.version:
                head = known
            newer = log.advance(self._store, self.path, head) if head is not None else None
            if newer is None:
                return self._load(app_id)
            self._store.heads.put(self.path, newer)
            return newer

    def _checkpoint(self, head: Head) -> None:
        """Keep the log quick to read. The rows are at rest already, so a failure is only told."""
        if head.version == 0 or head.version % log.CHECKPOINT_EVERY:
            return
        try:
            log.checkpoint(self._store, self.path)
        except Retryable as error:
            _logger.warning("table.no-checkpoint", table=self.path, version=head.version, error=str(error))

    def _pause(self, attempt: int) -> None:
        least, most = _PAUSE_SECONDS
        time.sleep(min(most, least * 2**attempt) * random.random())
