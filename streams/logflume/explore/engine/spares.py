"""Queries' processes that are ready before there is a query: confined, their engine warm.

R1  A process serves one query. What one did to it no other meets.
R2  A spare that died, or could not be made, is found out, and another one made.
R3  Whoever gives up while a process is made leaves none behind.

Making one takes more than a small query itself: a fork, confinement, a session, threads. It is done while nobody waits:
at the start, and, for those who serve many, whenever the last spare was taken.
"""

from __future__ import annotations

import asyncio
import select

from logflume.errors import Retryable
from logflume.explore.engine import frames
from logflume.explore.engine.forks import Child, Forks
from logflume.explore.engine.frames import Place


class Spares:
    """See R1 to R3. For one event loop; ``start`` and ``close`` once each."""

    def __init__(self, forks: Forks, *, ahead: bool) -> None:
        """``ahead``: make the next one when one is taken."""
        self._forks = forks
        self._ahead = ahead
        self._place: Place | None = None
        self._next: asyncio.Task[Child] | None = None

    async def start(self, place: Place) -> None:
        """Make the first, for queries that run as ``place`` says. Raises ``Retryable``."""
        self._place = place
        self._next = self._begin()
        await asyncio.shield(self._next)

    async def take(self) -> Child:
        """Return a process that waits for its task. Raises ``Retryable``."""
        making, self._next = self._next or self._begin(), None
        try:
            child = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_unwanted)  # the fork goes on
            raise
        except Retryable:
            child = await self._make()
        if _has_ended(child):
            child.end()
            child = await self._make()
        if self._ahead:
            self._next = self._begin()
        return child

    async def close(self) -> None:
        """End the spare."""
        if self._next is not None:
            self._next.add_done_callback(_unwanted)
            await asyncio.wait([self._next])
            self._next = None

    def _begin(self) -> asyncio.Task[Child]:
        making = asyncio.create_task(self._make())
        making.add_done_callback(_heard)
        return making

    async def _make(self) -> Child:
        assert self._place is not None
        child = await self._forks.child()
        try:
            frames.send_place(child.stream, self._place)  # some hundred bytes: it does not block
        except OSError as error:
            child.end()
            raise Retryable(f"a process for a query ended at once: {error}") from error
        return child


def _has_ended(child: Child) -> bool:
    waiting = select.poll()  # not select.select, which knows no descriptor above 1,023
    waiting.register(child.handle, select.POLLIN)
    return bool(waiting.poll(0))  # also when the other end is gone (POLLHUP)


def _heard(making: asyncio.Task[Child]) -> None:
    """A failure is told to who takes it; one that nobody takes is nobody's."""
    if not making.cancelled():
        making.exception()


def _unwanted(making: asyncio.Task[Child]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().end()
