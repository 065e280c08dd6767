"""Queries, from text to batches: checked, in their turn, each in a process of its own, within limits.

E1  A query sees the tables of its tenant, at one version each, and is handed their files alone (see ``gateway``).
E2  It ends: after ``explore_seconds``, above ``explore_memory_bytes``, after ``explore_rows`` rows, or when it is
    cancelled; within a second its process is gone.
E3  A process that dies takes its own query with it and nothing else.
E4  Tenants take turns (see ``turns``).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa
import structlog

from logflume.errors import LogflumeError, Refused, Retryable
from logflume.explore import lookup, recent
from logflume.explore.check import Checked, check
from logflume.explore.choice import Choice
from logflume.explore.engine import frames, sandbox
from logflume.explore.engine.forks import Child, Forks
from logflume.explore.engine.frames import Place, Task
from logflume.explore.engine.spares import Spares
from logflume.explore.engine.turns import Turns
from logflume.explore.gateway import Gateway, Pass
from logflume.explore.live import Live, Waiting, together
from logflume.explore.rewrite import rewrite
from logflume.explore.snapshots import NoTable, Snapshot, Snapshots, Stored
from logflume.explore.span import ALWAYS, Recent, Span
from logflume.model.dataset import Dataset
from logflume.model.tenant import check_tenant_name
from logflume.settings import Settings
from logflume.table.store import Store

LIMIT: Final = 10_000
"""Rows that a query without a LIMIT of its own gives."""

_READ_BYTES: Final = 1 << 20
_log = structlog.get_logger(__name__)


class TooLong(Refused):
    """A query took longer than it may."""


class TooLarge(Refused):
    """A query needs more memory than it may have."""


class Gone(Retryable):
    """Files of a snapshot are gone: the table was deleted, or vacuumed meanwhile. Asked again, it is read anew."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """Files that a query opened, of all those of its tables, and the bytes that it read, of all of theirs."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int


class Answer:
    """One query that runs. ``batches`` once; the rest may be asked at any time."""

    def __init__(self, schema: pa.Schema, frames: AsyncIterator[pa.RecordBatch], run: _Run, limit: int | None) -> None:
        self.schema = schema
        self._frames = frames
        self._run = run
        self.limit = limit
        """Rows after which it is cut, or None when the query has a LIMIT of its own that is smaller than any other."""
        self.range = recent.Range(ALWAYS, recent.Why.ALL)
        """Of its tables, what it is about."""
        self.limited = False
        """Whether it was cut: there are more rows."""
        self.rows = 0
        self._first: pa.RecordBatch | None = None

    async def first(self) -> None:
        """Wait for the first rows, or the end: what fails before fails here."""
        self._first = await anext(self._frames, None)

    @property
    def scanned(self) -> Scanned:
        """What was read so far."""
        made, of = self._run.made, self._run.snapshots.values()
        return Scanned(len(made.opened), sum(s.files.num_rows for s in of), made.bytes, sum(s.size for s in of))

    @property
    def waiting(self) -> Waiting | None:
        """What was added that still waits in Kafka; None when that was not asked for."""
        return self._run.waiting

    @property
    def versions(self) -> Mapping[str, int]:
        """By table the version that is read."""
        return {name: each.version for name, each in self._run.snapshots.items() if each.version >= 0}

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows as they come. Raises what ended the query."""
        batch, self._first = self._first, None
        while batch is not None:
            if self.limit is not None and self.rows + batch.num_rows > self.limit:
                self.limited = True
                batch = batch.slice(0, self.limit - self.rows)
            self.rows += batch.num_rows
            if batch.num_rows:
                yield batch
            if self.limited:
                return
            batch = await anext(self._frames, None)

    def cancel(self) -> None:
        """End the query now; whoever reads it gets ``Refused``."""
        self._run.cancel()


class _Run:
    """The state of one query, between its parts. ``child``: the process that runs it, if one has to."""

    def __init__(
        self, made: Pass, snapshots: Mapping[str, Snapshot], waiting: Waiting | None, most_seconds: float
    ) -> None:
        self.child: Child | None = None
        self.made = made
        self.snapshots = snapshots
        self.waiting = waiting
        self.deadline = time.monotonic() + most_seconds
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.end()

    def end(self) -> None:
        if self.child is not None:
            self.child.kill()


class Engine:
    """See E1 to E4. ``start`` and ``close`` once each; for one event loop."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        datasets: Mapping[str, Dataset],
        *,
        forks: Forks | None = None,
        live: Live | None = None,
        serves: bool = False,
    ) -> None:
        """``forks``: somebody else's, who closes them. ``live``: for queries that want what waits in Kafka. ``serves``:
        it answers many, so that it has a process ready for the next, and keeps the indexes of ids (see ``learning``).
        """
        self._settings = settings
        self._datasets = datasets
        self.store = store
        self._snapshots = Snapshots(store)
        self._choice = Choice(store, datasets, learns=serves)
        self._gateway = Gateway(store)
        self._forks = forks or Forks()
        self._own_forks = forks is None
        self._spares = Spares(self._forks, ahead=serves)
        self._live = live
        self._confined = settings.explore_sandbox == "on"
        self.turns = Turns(settings.explore_queries, settings.explore_tenant_queries, settings.explore_waiting)

    @property
    def snapshots(self) -> Snapshots:
        """The tables as queries see them."""
        return self._snapshots

    async def start(self) -> Engine:
        """Begin; returns itself. Raises ``Misconfigured`` when queries can't be confined here."""
        if self._confined:
            sandbox.require()
        await asyncio.to_thread(self._gateway.start)
        await self._spares.start(self._place())
        return self

    async def close(self) -> None:
        """End what runs, and everything that was started."""
        await self._choice.close()
        await self._spares.close()
        if self._own_forks:
            await asyncio.to_thread(self._forks.close)
        await asyncio.to_thread(self._gateway.close)

    @asynccontextmanager
    async def query(
        self,
        tenant: str,
        sql: str,
        *,
        limit: int = LIMIT,
        span: Span | Recent = ALWAYS,
        live: bool = False,
        began: Callable[[Answer], None] = lambda _: None,
    ) -> AsyncIterator[Answer]:
        """Run one SELECT over the tenant's tables, which are named as their datasets, and end it with the block.

        ``limit`` cuts a query that has no LIMIT of its own, ``explore_rows`` any. ``span``: what it sees of its tables.
        ``live`` adds the rows that still wait in Kafka (see ``explore.live``).
        ``began`` hears when it runs; the block is entered with its first rows, or its end.
        Raises ``Refused`` for what must not run, ``NoTable``, ``Busy``, ``Retryable`` when the store fails.
        """
        check_tenant_name(tenant)
        async with self.turns.of(tenant):
            checked, text = await asyncio.to_thread(self._checked, sql)  # 100,000 characters take a second
            with self._choice.begin(tenant, checked) as searches:
                snapshots, waiting = await asyncio.to_thread(self._read_live if live else self._read, tenant, checked)
                fresh = any(each.rows for each in waiting.values())
                range = recent.of(span, checked, snapshots, self._datasets, fresh=fresh)
                chosen = await self._choice.of(checked, snapshots, searches, range.span)
            for name, each in waiting.items():
                chosen.objects |= each.objects(name)
            looked_up = lookup.answer(checked, chosen.picked) if range.span == ALWAYS and not live else None
            made = self._gateway.admit({} if looked_up is not None else chosen.with_picked(self._datasets))
            made.bytes, made.opened = chosen.read, chosen.opened
            most = self._settings.explore_rows if checked.limited else min(limit, self._settings.explore_rows)
            # A comment at the end of the query must not swallow the limit. One row more tells whether the limit cut.
            text = text if checked.limited else f"{text}\nLIMIT {most + 1}"
            task = Task(text, tuple(chosen.tables), made.key, checked.gathers)
            run = _Run(made, snapshots, together(waiting.values()) if live else None, self._settings.explore_seconds)
            try:
                async with (
                    self._told(looked_up) if looked_up is not None else self._running(run, task, few=chosen.few) as (
                        schema,
                        batches,
                    )
                ):
                    answer = Answer(schema, batches, run, most)
                    answer.range = range
                    began(answer)
                    await answer.first()
                    yield answer
            finally:
                self._gateway.dismiss(made)

    async def stored(self, tenant: str, dataset: str) -> Stored:
        """Return what is at rest in a tenant's table. Raises ``Retryable`` when the store fails."""
        check_tenant_name(tenant)
        return await asyncio.to_thread(self._snapshots.stored, tenant, self._datasets[dataset])

    async def range(self, tenant: str, sql: str, span: Span | Recent) -> recent.Range:
        """Return what a query would be about, found out in the tenant's turn. Raises as ``query`` does."""
        check_tenant_name(tenant)
        async with self.turns.of(tenant):
            checked, _ = await asyncio.to_thread(self._checked, sql)
            snapshots, _ = await asyncio.to_thread(self._read, tenant, checked)
        return recent.of(span, checked, snapshots, self._datasets)

    def _checked(self, sql: str) -> tuple[Checked, str]:
        checked = check(sql, self._datasets)
        return checked, rewrite(checked, self._datasets)

    def _read(self, tenant: str, checked: Checked) -> tuple[dict[str, Snapshot], dict[str, Waiting]]:
        return {name: self._snapshots.read(tenant, name) for name in sorted(checked.tables)}, {}

    def _read_live(self, tenant: str, checked: Checked) -> tuple[dict[str, Snapshot], dict[str, Waiting]]:
        """Snapshots, and what each lacks that waits in Kafka: looked up in the order that LI1 of ``live`` wants."""
        if self._live is None:
            raise Refused("there is no Kafka here whose waiting rows could be added")
        snapshots, waiting = {}, {}
        for name in sorted(checked.tables):
            begins = self._live.begin(tenant, name)
            progress: Mapping[str, int | None] = {}
            try:
                snapshots[name], progress = self._snapshots.read_with(tenant, name, [each.app_id for each in begins])
            except NoTable:
                if not begins:
                    raise
                snapshots[name] = self._snapshots.nothing(tenant, name)
            waiting[name] = self._live.read(begins, progress, tenant, self._datasets[name])
        return snapshots, waiting

    def _place(self) -> Place:
        return Place(
            self._gateway.port,
            int(self._settings.explore_memory_bytes),
            cpu_seconds=int(self._settings.explore_seconds * self._settings.explore_threads) + 1,
            threads=self._settings.explore_threads,
            confined=self._confined,
        )

    @asynccontextmanager
    async def _told(self, rows: pa.Table) -> AsyncIterator[tuple[pa.Schema, AsyncIterator[pa.RecordBatch]]]:
        """Give an answer that is known."""

        async def batches() -> AsyncIterator[pa.RecordBatch]:
            for batch in rows.to_batches():
                yield batch

        yield rows.schema, batches()

    @asynccontextmanager
    async def _running(
        self, run: _Run, task: Task, *, few: bool
    ) -> AsyncIterator[tuple[pa.Schema, AsyncIterator[pa.RecordBatch]]]:
        """Have a process run it, and read until it has a schema: what can't run fails here. ``few``: see ``Chosen``."""
        if few:
            self._gateway.read_ahead(run.made)
        child = run.child = await self._spares.take()
        try:
            await asyncio.to_thread(frames.send_task, child.stream, task)
            # Theirs from now on: closed behind the loop's back, its number would soon be another connection's.
            stream = socket.socket(fileno=child.stream.detach())
            reader, writer = await asyncio.open_connection(sock=stream, limit=_READ_BYTES)
            try:
                kind, payload = await self._frame(run, reader)
                if kind != frames.SCHEMA:
                    raise self._failure(run, kind, payload)
                with _understood():
                    schema = pa.ipc.read_schema(pa.py_buffer(payload))
                yield schema, self._batches(run, reader, schema)
            finally:
                writer.close()
        finally:
            child.end()

    async def _batches(
        self, run: _Run, reader: asyncio.StreamReader, schema: pa.Schema
    ) -> AsyncIterator[pa.RecordBatch]:
        while True:
            kind, payload = await self._frame(run, reader)
            if kind == frames.DONE:
                return
            if kind != frames.BATCH:
                raise self._failure(run, kind, payload)
            with _understood():
                batch = frames.read_rows(payload, schema)
            yield batch

    async def _frame(self, run: _Run, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """The next frame; an empty one when the process has died."""
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + run.deadline - time.monotonic()):
                kind, length = frames.HEAD.unpack(await reader.readexactly(frames.HEAD.size))
                if length > frames.MOST_BYTES:
                    return frames.FAILED, frames.failure("broken", f"it sent {length} bytes at once")
                return kind, await reader.readexactly(length)
        except TimeoutError:
            run.end()
            raise TooLong(
                f"the query took longer than {self._settings.explore_seconds:g} s and was ended; ask for less, "
                "such as a shorter time range"
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            return b"", b""

    def _failure(self, run: _Run, kind: bytes, payload: bytes) -> LogflumeError:
        if run.cancelled:
            return Refused("the query was cancelled")
        if run.made.lacking:
            for snapshot in run.snapshots.values():
                self._snapshots.forget(snapshot.path)
            return Gone(f"the table has changed while it was read: {run.made.lacking} is gone. Ask again.")
        if run.made.failed:
            return Retryable(f"the store failed while the query ran: {run.made.failed}")
        told = {"kind": "died", "text": ""}
        if kind == frames.FAILED:
            with _understood():
                told |= {name: str(value) for name, value in dict(orjson.loads(payload)).items()}
        text = told["text"].replace("datafusion.public.", "")
        if told["kind"] == "memory" or "Resources exhausted" in text or ("memory" in text.lower() and "alloc" in text):
            megabytes = self._settings.explore_memory_bytes / 1e6
            return TooLarge(f"the query needs more than the {megabytes:,.0f} MB that it may have; ask for less at once")
        if told["kind"] == "refused":
            return Refused(f"the query can't run: {text}")
        _log.error("explore.query-died", kind=told["kind"], text=text)
        if told["kind"] == "died":
            return TooLarge(
                "the query's process has died; most likely it needed more memory or CPU time than it may have"
            )
        return Retryable(f"the query's process failed: {text}")


@contextmanager
def _understood() -> Iterator[None]:
    """What a process sends may be anything, whatever it had become."""
    try:
        yield
    except (pa.ArrowException, ValueError, TypeError, OSError, MemoryError) as error:
        raise Retryable(f"the query's process sent what is no answer: {error}") from error
