"""A query for those who wait for it: one engine for one question, as the command has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa

from logflume.explore.answers import Seen
from logflume.explore.engine.engine import LIMIT, Answer, Engine, Scanned
from logflume.explore.engine.forks import Forks
from logflume.explore.live import Live, Waiting
from logflume.explore.recent import Range
from logflume.explore.snapshots import NoTable
from logflume.explore.span import ALWAYS, Recent, Span
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.store import Store

__all__ = ["LIMIT", "Explorer", "NoTable", "Result", "Scanned", "opened"]

T = TypeVar("T")


class Result:
    """A query's answer, read once. ``schema`` and ``limit`` stand from the beginning, the rest when it is read."""

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = answer
        self._loop = loop
        self.schema: pa.Schema = answer.schema
        self.limit = answer.limit

    @property
    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, as they come."""
        rows = self._answer.batches()
        while True:
            batch = _done(self._loop, anext(rows, None))
            if batch is None:
                return
            yield batch

    @property
    def range(self) -> Range:
        """Of its tables, what it is about."""
        return self._answer.range

    @property
    def limited(self) -> bool:
        """Whether it was cut at ``limit``."""
        return self._answer.limited

    @property
    def waiting(self) -> Waiting | None:
        """What was added that still waits in Kafka; None when that was not asked for."""
        return self._answer.waiting

    @property
    def scanned(self) -> Scanned:
        """What was read so far."""
        return self._answer.scanned

    def read_all(self) -> pa.Table:
        """Read the whole answer."""
        return pa.Table.from_batches(list(self.batches), self.schema)


class Explorer:
    """An engine on an event loop of its own, for one thread that may block."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._running: Answer | None = None

    def seen(self) -> Seen | None:
        """How far the query is that runs, or None while it waits. For any thread."""
        answer = self._running
        return None if answer is None else Seen(answer.rows, answer.scanned)

    @contextmanager
    def query(
        self, tenant: str, sql: str, limit: int = LIMIT, span: Span | Recent = ALWAYS, *, live: bool = False
    ) -> Iterator[Result]:
        """Run one SELECT (see ``Engine.query``); it ends with the block."""
        self._running = None
        asked = self._engine.query(tenant, sql, limit=limit, span=span, live=live, began=self._began)
        answer = _done(self._loop, asked.__aenter__())
        try:
            yield Result(answer, self._loop)
        finally:
            self._loop.run_until_complete(asked.__aexit__(None, None, None))

    def _began(self, answer: Answer) -> None:
        self._running = answer


def _done(loop: asyncio.AbstractEventLoop, work: Awaitable[T]) -> T:
    """Return what ``work`` returns. Whoever interrupts this thread ends it too: the loop goes on with others."""
    task = asyncio.ensure_future(work, loop=loop)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
        if not task.cancelled():
            task.exception()  # nobody else asks for it
        raise


@contextmanager
def opened(
    settings: Settings,
    store: Store,
    datasets: Mapping[str, Dataset],
    *,
    forks: Forks | None = None,
    live: Live | None = None,
    serves: bool = False,
) -> Iterator[Explorer]:
    """Give an explorer of the store's tables, until the end of the block. For the rest see ``Engine``."""
    loop = asyncio.new_event_loop()
    try:
        engine = Engine(settings, store, datasets, forks=forks, live=live, serves=serves)
        try:
            loop.run_until_complete(engine.start())
            yield Explorer(engine, loop)
        finally:
            loop.run_until_complete(engine.close())
    finally:
        loop.close()
