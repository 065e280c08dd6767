"""Bringing the indexes of ids up to date in the background, when questions miss them.

One table at a time, in a thread: what it reads, a table's care or a later question would have read. It never delays the
question that found the index wanting, and never fails one.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

import structlog

from logflume.clock import Clock, SystemClock
from logflume.errors import LogflumeError
from logflume.explore.ids import Look
from logflume.explore.snapshots import Snapshot
from logflume.table.ids.upkeep import extend
from logflume.table.store import Store

_LEAST: Final = 16
"""Files that an index may lack before it is worth a part, and one more for so many of the table's:"""
_SHARE: Final = 64
_MOST: Final = 64
_AGAIN_SECONDS: Final = 300.0
"""After it failed, as with keys that only read."""

_log = structlog.get_logger(__name__)


class Learning:
    """For one event loop; ``close`` once."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._closed = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._not_before: dict[str, float] = {}

    def hear(self, look: Look, snapshot: Snapshot) -> None:
        """Take a question's experience with the index of the table that ``snapshot`` is of."""
        lacks = min(_MOST, _LEAST + snapshot.files.num_rows // _SHARE)
        if len(look.unknown) < lacks and not look.spoiled:
            return
        if self._closed.is_set() or (self._task is not None and not self._task.done()):
            return
        if self._clock.monotonic() >= self._not_before.get(snapshot.path, 0.0):
            self._task = asyncio.create_task(self._extend(look, snapshot))

    async def close(self) -> None:
        """End; the part that is being written is written first."""
        self._closed.set()
        if self._task is not None:
            await self._task

    async def _extend(self, look: Look, snapshot: Snapshot) -> None:
        try:
            await asyncio.to_thread(
                extend,
                self._store,
                snapshot.path,
                look.index.catalogue.field,
                snapshot.named,
                self._clock,
                spoiled=look.spoiled,
                wanted=lambda: not self._closed.is_set(),
            )
        except LogflumeError as error:
            self._not_before[snapshot.path] = self._clock.monotonic() + _AGAIN_SECONDS
            _log.warning("explore.index-not-written", table=snapshot.path, error=str(error))
