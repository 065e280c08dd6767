"""Queries that somebody waits for: entered in the register, begun in their turn, ended with whoever asked."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from logflume import metrics
from logflume.api import forms, problem
from logflume.api.question import Question
from logflume.api.register import Query, Register
from logflume.clock import Clock
from logflume.errors import LogflumeError, Refused
from logflume.explore.check import MOST_CHARACTERS
from logflume.explore.engine.engine import Answer, Engine, TooLarge
from logflume.explore.plain import distinct

_MOST_BYTES: Final = 32_000_000
"""Of an answer that is read whole before a byte of it is sent."""

QUERIES: Final = "logflume.queries"
"""In an ASGI scope: a list in which somebody in this process sees the queries of a request as they begin."""

T = TypeVar("T")


@dataclass
class Running:
    """One query that has begun. Whoever holds it calls ``end``, whatever happens; more than once does no harm."""

    query: Query
    clock: Clock
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    ended: bool = False

    def done(self) -> dict[str, Any]:
        """All rows are read; return what there is to say of it."""
        self.query.ended(self.clock.monotonic() - self.query.began_monotonic)
        return self.query.about(self.clock.monotonic())

    async def end(self, failure: BaseException | None) -> None:
        """Let everything go; ``failure`` is why, when not all rows were read."""
        if self.ended:
            return
        self.ended = True
        if not self.query.over:
            told = failure if isinstance(failure, LogflumeError) else Refused("the client has gone away")
            self.query.ended(self.clock.monotonic() - self.query.began_monotonic, problem.of(told))
        metrics.EXPLORE_QUERIES.labels(str(self.query.state)).inc()
        await self.stack.aclose()


@dataclass(frozen=True, slots=True)
class Whole:
    """All rows of a small answer, and what there is to say of its query."""

    rows: list[dict[str, Any]]
    about: dict[str, Any]


class Runner:
    """Begins queries. For one event loop."""

    def __init__(self, engine: Engine, register: Register, clock: Clock) -> None:
        self._engine = engine
        self._register = register
        self._clock = clock

    async def begin(self, request: Request, tenant: str, asked: Question) -> tuple[Running, Answer]:
        """Return when its first rows, or its end, are there. The request's body has been read.

        Raises what keeps it from running, and ``ClientDisconnect`` when nobody waits for it any more.
        """
        if len(asked.sql) > MOST_CHARACTERS:  # before it is kept and told of
            raise Refused(f"the query has {len(asked.sql)} characters; {MOST_CHARACTERS} may be")
        running = Running(self._register.begin(tenant, asked.sql), self._clock)
        query = running.query
        if act := getattr(request.state, "act", None):
            act.queries.append(query)
        if isinstance(watching := request.scope.get(QUERIES), list):
            watching.append(query)
        try:
            entering = running.stack.enter_async_context(
                self._engine.query(
                    tenant, asked.sql, limit=asked.limit, span=asked.span, live=asked.live, began=query.runs
                )
            )
            query.waiting = asyncio.create_task(entering)
            return running, await _while_there(request, query.waiting)
        except BaseException as error:
            if query.cancelled and isinstance(error, asyncio.CancelledError):
                error = Refused("the query was cancelled")
            await running.end(error)
            raise error

    async def whole(self, request: Request, tenant: str, asked: Question) -> Whole:
        """Return all rows of an answer that is small. Raises as ``begin`` does, and ``Refused`` when it is cut."""
        running, answer = await self.begin(request, tenant, asked)
        failure: BaseException | None = None
        try:
            rows = await _while_there(request, asyncio.create_task(_read(answer)))
            return Whole(rows, running.done())
        except BaseException as error:
            failure = error
            raise
        finally:
            await running.end(failure)


async def _read(answer: Answer) -> list[dict[str, Any]]:
    names = distinct(answer.schema.names)
    rows: list[dict[str, Any]] = []
    held = 0
    async for batch in answer.batches():
        held += batch.nbytes
        if held > _MOST_BYTES:
            raise TooLarge(f"the answer has more than {_MOST_BYTES / 1e6:.0f} MB; ask for less at once")
        rows += forms.records(batch, names)
    if answer.limited:
        raise TooLarge(f"the answer has more than the {answer.limit} rows that any may have here (explore_rows)")
    return rows


async def _while_there(request: Request, work: asyncio.Task[T]) -> T:
    """Return what ``work`` returns; when the client goes away before, end it and raise ``ClientDisconnect``."""
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        leaving.cancel()
        await asyncio.gather(work, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
