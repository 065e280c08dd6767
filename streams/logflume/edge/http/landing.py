"""Where the event loop and threads meet: pure work goes out to a pool, receipts come back from the client's threads.

L1  The loop never waits for a lock that a thread holds for long, for memory, or for Kafka.
L2  What ``land`` returns is durable; a ``Refusal`` says whether anything was taken.
L3  No body is received while memory or spool are nearly full, or the pipeline asks to stop: 503 comes before the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, Protocol, TypeVar

from logflume import metrics
from logflume.edge.http.refusal import Refusal, busy
from logflume.edge.receipt import BadPlace, Piece, Receipt
from logflume.edge.restraint import Restraint
from logflume.edge.spool import Spool
from logflume.errors import LogflumeError
from logflume.kafka.status import Pressure

T = TypeVar("T")

NEARLY_FULL: Final = 0.9
"""Share of the client's memory above which a body is not even received: so 503 comes before the end."""
_AT_ONCE: Final = 16_384
"""Bytes below which work is done on the loop: it takes less than the way to a thread and back, 0.1 ms."""
_ROOM_SECONDS: Final = 5.0
"""How long a request waits for memory of the client; blocks become durable in far less."""
_LOOK_SECONDS: Final = 0.05
_SLOW_SECONDS: Final = 2.0
"""How long a request waits at most because of pressure: senders have time-outs of their own."""
_AGAIN_SECONDS: Final = 10
"""The most that ``Retry-After`` says because of pressure; at ``stop`` nobody knows how long it lasts."""


class Core(Protocol):
    """What the server needs of ``edge.Client``."""

    def offer(self, pieces: Sequence[Piece], receipt: Receipt) -> bool:
        """Take all of ``pieces`` or none, at once."""
        ...

    @property
    def fill(self) -> float:
        """Memory in use, as a share."""
        ...

    @property
    def spool(self) -> Spool | None:
        """Where blocks wait while Kafka is away, if there is one."""
        ...

    @property
    def trouble(self) -> str:
        """What Kafka last complained of."""
        ...

    @property
    def restraint(self) -> Restraint:
        """What pressure asks of it."""
        ...


class Landing:
    """See L1 and L2. Made and used on one event loop."""

    def __init__(self, core: Core, threads: Executor) -> None:
        self._core = core
        self._threads = threads

    @property
    def pressure(self) -> Pressure:
        """What the pipeline asks of this edge."""
        return self._core.restraint.pressure

    async def admit(self) -> None:
        """Return when a body may be received, perhaps after a moment at ``slow``; ``Refusal`` 503 if not (L3)."""
        spool, restraint = self._core.spool, self._core.restraint
        if self._core.fill > NEARLY_FULL:
            raise busy("the memory for records that Kafka does not hold yet is nearly full")
        if spool is not None and restraint.spool_full(spool.share):
            raise busy("the spool for records that Kafka does not hold yet is nearly full")
        if restraint.active and (delay := restraint.delay()):
            if delay > _SLOW_SECONDS:
                metrics.PRESSURE_REFUSED.inc()
                again = math.ceil(min(delay, _AGAIN_SECONDS))
                raise Refusal(503, f"nothing is taken now, {self.pressure.because}", retry_seconds=again)
            metrics.PRESSURE_WAIT.inc(delay)
            await asyncio.sleep(delay)

    async def call(self, function: Callable[[], T], size: int) -> T:
        """Call a pure function on ``size`` bytes: here when they are few, else in a thread."""
        if size <= _AT_ONCE:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def land(self, pieces: Sequence[Piece], seconds: float | None) -> list[BadPlace]:
        """Return the bad records once all are durable; ``Refusal`` 503, also after ``seconds`` (None: wait on)."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[LogflumeError | None] = loop.create_future()

        def done(failure: LogflumeError | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits
                loop.call_soon_threadsafe(_settle, ended, failure)

        receipt = Receipt(done)
        await self._offered(pieces, receipt)
        try:
            failure = await asyncio.wait_for(ended, seconds)
        except TimeoutError:
            assert seconds is not None
            raise Refusal(
                503,
                f"Kafka has not acknowledged these records within {seconds:g} s; they are still on their way. Sent "
                f"again they may be stored twice, unless both times with an Idempotency-Key.{self._because()}",
                retry_seconds=math.ceil(seconds),
                in_doubt=True,
            ) from None
        if failure is not None:
            told = f"whether these records are stored is not known: {failure}"
            raise Refusal(503, told, retry_seconds=10, in_doubt=True)
        return receipt.bad

    async def _offered(self, pieces: Sequence[Piece], receipt: Receipt) -> None:
        deadline = asyncio.get_running_loop().time() + _ROOM_SECONDS
        size = sum(piece.size for piece in pieces)
        try:
            while not await self.call(partial(self._core.offer, pieces, receipt), size):
                if asyncio.get_running_loop().time() > deadline:
                    raise busy(f"there was no room for these records; none was taken.{self._because()}")
                await asyncio.sleep(_LOOK_SECONDS)
        except Refusal:
            raise
        except LogflumeError as failure:  # the client has failed or is closed
            raise Refusal(503, f"no records are taken any more: {failure}", retry_seconds=10) from failure

    def _because(self) -> str:
        return f" Last trouble: {self._core.trouble}" if self._core.trouble else ""


def _settle(ended: asyncio.Future[LogflumeError | None], failure: LogflumeError | None) -> None:
    if not ended.done():
        ended.set_result(failure)
