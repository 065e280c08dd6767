"""One who follows a dataset: what it wants of the rows, and those that wait for it.

FO1 ``offer`` never waits, whatever the follower does: what it has no room or no pace for is lost, and counted, in its
    place among the rows.
FO2 What waits has at most ``most_bytes``, but for one row.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from logflume import metrics
from logflume.explore.match import Match
from logflume.explore.tail.sample import sampled

_AGAIN: Final = 0.5
"""Of its room, what must be free before it takes more, once that was full: few gaps instead of many."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that the follower did not get; None: nobody counted them. ``why`` for people."""

    rows: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Wants:
    """What a follower wants: the rows that match, and of these a share (1: all); so many a second at most."""

    match: Match
    share: float
    rows_a_second: float
    most_bytes: int


class Follower:
    """See FO1 and FO2. ``offer`` and ``lose`` by one thread (``matching``), ``take`` by another, ``end`` by any."""

    def __init__(
        self,
        tenant: str,
        dataset: str,
        wants: Wants,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wake`` is called, by those threads, when there is something to take."""
        self.tenant = tenant
        self.dataset = dataset
        self._wants = wants
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[pa.Table | Lost] = deque()
        self._bytes = 0
        self._full = False
        self._allowed, self._since = wants.rows_a_second, clock()
        self.ended = ""
        """Why nothing more comes; empty: it goes on."""

    @property
    def conditions(self) -> int:
        """How many conditions its filter asks of each row."""
        return self._wants.match.conditions

    def offer(self, rows: pa.Table) -> None:
        """Take what is wanted of ``rows`` (``parquet.at_rest``)."""
        rows = self._wanted(rows)
        if not rows.num_rows:
            return
        with self._lock:
            taken = min(rows.num_rows, self._room(rows), self._pace(rows.num_rows))
            if taken:
                part = rows.slice(0, taken)
                if part.get_total_buffer_size() > 2 * part.nbytes:
                    part = part.take(np.arange(taken))  # a slice holds the whole block, and counts a part (FO2)
                self._waiting.append(part)
                self._bytes += part.nbytes
            if lost := rows.num_rows - taken:
                self._lose(lost)
        self._wake()

    def lose(self, lost: Lost) -> None:
        """Note that rows went by before anybody asked whether it wants them."""
        metrics.EXPLORE_TAIL_LOST.inc(lost.rows or 0)
        with self._lock:
            self._waiting.append(lost)
        self._wake()

    def end(self, why: str) -> None:
        """Nothing more comes."""
        self.ended = self.ended or why
        self._wake()

    def take(self) -> pa.Table | Lost | None:
        """Return what comes next; None: nothing for now."""
        with self._lock:
            if not self._waiting:
                return None
            found = self._waiting.popleft()
            if isinstance(found, pa.Table):
                self._bytes -= found.nbytes
                self._full = self._full and self._bytes > self._wants.most_bytes * _AGAIN
            return found

    def _wanted(self, rows: pa.Table) -> pa.Table:
        mask = self._wants.match(rows)
        if self._wants.share < 1:
            part = sampled(rows, self._wants.share)
            mask = part if mask is None else mask & part
        return rows if mask is None else rows.filter(pa.array(mask))

    def _room(self, rows: pa.Table) -> int:
        room = 0 if self._full else self._wants.most_bytes - self._bytes
        if rows.nbytes <= room:
            return int(rows.num_rows)
        self._full = True
        return max(int(rows.num_rows * room / rows.nbytes), 0 if self._waiting else 1)

    def _pace(self, wanted: int) -> int:
        now, most = self._clock(), self._wants.rows_a_second
        self._allowed = min(most, self._allowed + (now - self._since) * most)
        self._since = now
        granted = min(wanted, int(self._allowed))
        self._allowed -= granted
        return granted

    def _lose(self, count: int) -> None:
        metrics.EXPLORE_TAIL_LOST.inc(count)
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, Lost) and last.rows is not None:
            self._waiting[-1] = Lost(last.rows + count, last.why)
        else:
            self._waiting.append(Lost(count, "more came than were taken"))


Coordinates = tuple[str, int, int, int]
"""Topic id, partition, offset and row of a record, by which it is known."""


def behind(rows: pa.Table, at: Coordinates) -> int | None:
    """Return the place of the row after the one with these coordinates; None: it is not here."""
    topic, partition, offset, row = at
    same = np.asarray(rows.column("_src_offset")) == offset
    same &= np.asarray(rows.column("_src_row")) == row
    same &= np.asarray(rows.column("_src_partition")) == partition
    found = [int(place) for place in np.flatnonzero(same) if rows.column("_src_topic")[int(place)].as_py() == topic]
    return found[0] + 1 if found else None
