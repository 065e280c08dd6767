"""Looks which rows followers want, in a thread of its own, tenant after tenant.

MA1 ``offer`` never waits: rows that a follower's filter has not been asked of wait here, in the order in which they
    came, and what was lost between them in its place.
MA2 Tenants take turns, and within a tenant its followers. A turn is a part of a block: the more conditions, the fewer
    rows. So a tenant waits for one turn of each other, whatever their filters cost.
MA3 What waits for one follower has at most ``MOST_BYTES``. Whose filter is slower than its rows come loses rows, with a
    count, until half of that is free again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import structlog

from logflume.explore.tail.follower import Follower, Lost

MOST_BYTES: Final = 8_000_000
"""Twice what a channel keeps of its last rows: who comes back loses none of them. Followers of a channel share them."""
_AGAIN: Final = 0.5
_STEPS: Final = 100_000
"""Rows times conditions of a turn: 100 ms at the most, measured on a busy machine (200 of ``contains``, 500 rows)."""
_END_SECONDS: Final = 15.0

_SLOW: Final = "the filter takes longer than the rows come, matching ones or not; ask for less, or of fewer conditions"

_log = structlog.get_logger(__name__)


@dataclass
class _Inbox:
    """What waits to be looked at for one follower."""

    waiting: deque[pa.Table | Lost] = field(default_factory=deque)
    bytes: int = 0
    full: bool = False


class Matching:
    """See MA1 to MA3. ``start`` and ``close`` once each; the rest by any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inboxes: dict[Follower, _Inbox] = {}
        self._turns: OrderedDict[str, OrderedDict[Follower, None]] = OrderedDict()
        """Whose rows wait, by tenant: the next in front."""
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="logflume-tail-match", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; what waits is not looked at any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def offer(self, follower: Follower, rows: pa.Table) -> None:
        """Have the follower offered what it wants of ``rows``, when it is its turn."""
        with self._changed:
            inbox = self._inboxes.setdefault(follower, _Inbox())
            inbox.full = inbox.bytes > MOST_BYTES * (_AGAIN if inbox.full else 1)
            if inbox.full:
                last = inbox.waiting[-1]
                had = inbox.waiting.pop().rows if isinstance(last, Lost) and last.rows is not None else 0
                inbox.waiting.append(Lost((had or 0) + rows.num_rows, _SLOW))
            else:
                inbox.waiting.append(rows)
                inbox.bytes += rows.nbytes
            self._queue(follower)

    def miss(self, follower: Follower, why: str) -> None:
        """Have it noted among the follower's rows that others went by which nobody counted."""
        with self._changed:
            self._inboxes.setdefault(follower, _Inbox()).waiting.append(Lost(None, why))
            self._queue(follower)

    def leave(self, follower: Follower) -> None:
        """Forget the follower, and what waits for it."""
        with self._changed:
            self._inboxes.pop(follower, None)
            self._done(follower)

    def _queue(self, follower: Follower) -> None:
        self._turns.setdefault(follower.tenant, OrderedDict())[follower] = None
        self._changed.notify_all()

    def _done(self, follower: Follower) -> None:
        mine = self._turns.get(follower.tenant, OrderedDict())
        mine.pop(follower, None)
        if not mine:
            self._turns.pop(follower.tenant, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._turns and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                follower, what = self._next()
            try:
                if isinstance(what, Lost):
                    follower.lose(what)
                else:
                    follower.offer(what)
            except Exception as error:  # the outermost of the thread: it costs this follower alone
                _log.exception("explore.tail-not-matched", tenant=follower.tenant)
                follower.end(f"its filter failed here, and the server's log says how: {type(error).__name__}")
                self.leave(follower)

    def _next(self) -> tuple[Follower, pa.Table | Lost]:
        """Take a part of what waits for the next in turn (MA2)."""
        tenant, mine = next(iter(self._turns.items()))
        follower = next(iter(mine))
        inbox = self._inboxes[follower]
        what = inbox.waiting.popleft()
        if isinstance(what, pa.Table):
            most = max(1, _STEPS // follower.conditions)
            inbox.bytes -= what.nbytes
            if what.num_rows > most:
                rest = what.slice(most)
                inbox.waiting.appendleft(rest)
                inbox.bytes += rest.nbytes
                what = what.slice(0, most)
        if inbox.waiting:
            mine.move_to_end(follower)
            self._turns.move_to_end(tenant)
        else:
            self._done(follower)
            if tenant in self._turns:
                self._turns.move_to_end(tenant)
        return follower, what
