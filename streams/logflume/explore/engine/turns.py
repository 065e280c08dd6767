"""Whose query runs next: tenants take turns, whoever asks most.

TU1 At most ``most`` run at once, at most ``most_of_one`` of one tenant.
TU2 Of those that wait, the tenant comes next that was served longest ago; within a tenant the one that came first.
TU3 At most ``most_waiting`` of one tenant wait; one more is refused at once (``Busy``).
TU4 Whoever gives up (is cancelled) while it waits, or after it was told to go, leaves no turn taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from logflume.errors import Retryable

RETRY_SECONDS: Final = 2.0
_REMEMBERED: Final = 10_000
"""Tenants of whom it is known when they were served last; the others, served before all of these, come first."""


class Busy(Retryable):
    """Too many queries of this tenant wait already."""


class Turns:
    """See TU1 to TU4. For one event loop."""

    def __init__(self, most: int, most_of_one: int, most_waiting: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._most_waiting = most_waiting
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    @property
    def running(self) -> int:
        """Queries that run."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Queries that wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it within the block. Raises ``Busy`` (TU3)."""
        await self._take(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def _take(self, tenant: str) -> None:
        queue = self._waiting.get(tenant)
        if not queue and self._free(tenant):
            self._serve(tenant)
            return
        if queue is not None and len(queue) >= self._most_waiting:
            raise Busy(f"{len(queue)} queries of {tenant} wait already; ask again when one of them has ended")
        turn = asyncio.get_running_loop().create_future()
        if queue is None:
            queue = self._waiting[tenant] = deque()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(tenant)
            else:
                self._forget(tenant, turn)
            raise

    def _free(self, tenant: str) -> bool:
        return self.running < self._most and self._running[tenant] < self._most_of_one

    def _give_back(self, tenant: str) -> None:
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._go_on()

    def _go_on(self) -> None:
        while tenant := self._next():
            turn = self._waiting[tenant].popleft()
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            if not turn.done():  # cancelled, and about to say so
                self._serve(tenant)
                turn.set_result(None)

    def _next(self) -> str | None:
        """The tenant that waits, may run, and was served longest ago (of those that never were, the first to ask)."""
        free = (tenant for tenant in self._waiting if self._free(tenant))
        return min(free, key=lambda tenant: self._served.get(tenant, 0), default=None)

    def _serve(self, tenant: str) -> None:
        self._running[tenant] += 1
        self._count += 1
        self._served[tenant] = self._count
        self._served.move_to_end(tenant)
        if len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[tenant]
