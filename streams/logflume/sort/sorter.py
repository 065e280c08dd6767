"""One dataset's sorter: takes chunks from its agent, sorts them in a thread, produces them, acknowledges them.

The event loop and the threads meet here and nowhere else in this stage: chunks come and are acknowledged on the loop;
decoding, sorting and waiting for delivery reports happen in threads, so that heartbeats never stall.

Invariants:

B1  Stop and wait: a range is produced only after every delivery report of the range before it is good. Two units are
    never in delivery at once, and rounds inside a unit follow one another.
B2  A chunk is acknowledged only after every report for it is good, its dead letters' too.
B3  Any failed delivery ends the process, before anything more is produced or committed.
B4  A unit covers, for each ingest partition, neighbouring offsets only, each once: chunks that overlap or leave a gap
    go into different units.
B5  Nothing is produced of a range before its topic was found to be, *after the range was fetched*, the one that the
    coordinates name: aiokafka reads by name, and goes on at its offsets in a topic that was deleted and made again.
B6  Each block names the session and the end of the session's range before it for its sorted partition, so that a
    reader sees a missing one.
B7  A unit's dead letters are safe before any of its blocks is produced. Blocks cover the places of its letters: if the
    unit is read again and what was poison is none any more (its schema was registered since), its row is passed over
    as one that was read, and only the letter has it.
B8  No row is routed by a configuration older than the log asks for: the unit waits, and a commit behind it notes what
    it asked for (``sort.routes``).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from logflume import crash, metrics, traces
from logflume.block.sorted import Coordinate
from logflume.errors import Retryable
from logflume.kafka import deadletters
from logflume.kafka.deliveries import Deliveries
from logflume.sort.gather import Gathered, Gatherer
from logflume.sort.regroup import Cover, Piece, Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.transport import Chunk
from logflume.traces import Step

log = structlog.get_logger(__name__)

_MESSAGE_BYTES = 400
"""Of a message beside its bytes, as an object: without it a flood of tiny ones would weigh nothing."""

_REPORT_SECONDS = 5.0
"""How long one wait for delivery reports lasts before it is logged; it goes on until they are there."""


class Event(Protocol):
    """What is used of a Faust event."""

    value: Chunk

    def ack(self) -> bool:
        """Tell Faust that the chunk is done; on the event loop."""
        ...


@dataclass(frozen=True)
class Unit:
    """Chunks that are sorted together."""

    events: Sequence[Event]
    covers: Sequence[Cover]

    @property
    def chunks(self) -> list[Chunk]:
        """The chunks, in the order of their arrival."""
        return [event.value for event in self.events]


@dataclass(frozen=True)
class Sorted:
    """A unit that is ready to be produced."""

    unit: Unit
    rounds: list[list[Piece]]
    letters: list[deadletters.Message]
    reasons: Counter[str]
    """Letters by reason."""
    traced: Step | None = None


@dataclass(frozen=True)
class Limits:
    """How much a sorter takes in: bytes held, bytes sorted at once, both as they came, and how long it waits."""

    held_bytes: int
    unit_bytes: int
    linger_seconds: float
    retry_seconds: float = 1.0
    """How long it waits before it asks a schema registry again."""


class Sorter:
    """The way of one dataset's rows from ingest chunks to the sorted topic."""

    def __init__(
        self,
        gatherer: Gatherer,
        regrouper: Regrouper,
        deliveries: Deliveries,
        *,
        sorted_topic: str,
        deadletter_topic: str,
        limits: Limits,
        same_topic: Callable[[float], None],
        routes: RoutesInForce,
        fail: Callable[[BaseException], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """``same_topic`` returns when the ingest topic was the one it should be after a (monotonic) time (B5).

        ``fail`` is called on the loop with what ended this sorter; it must end the process (B3). ``stopping``, asked
        from a thread, says that the process is to end: nobody is waited for any more but Kafka."""
        self._gatherer = gatherer
        self._regrouper = regrouper
        self._deliveries = deliveries
        self._sorted_topic = sorted_topic
        self._deadletter_topic = deadletter_topic
        self._limits = limits
        self._same_topic = same_topic
        self._routes = routes
        self._fail = fail
        self._stopping = stopping
        self._dataset = regrouper.dataset.name
        self._waiting: deque[Event] = deque()
        self._held_bytes = 0
        self._changed = asyncio.Condition()
        self._sorted: asyncio.Queue[Sorted] = asyncio.Queue(maxsize=1)
        self._previous: dict[tuple[int, int], Coordinate] = {}
        self._ended = threading.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix=f"sort-{self._dataset}")

    def start(self) -> list[asyncio.Task[None]]:
        """Start working; the tasks run until they are cancelled or fail."""
        return [asyncio.create_task(self._guarded(work)) for work in (self._sort_units, self._produce_units)]

    @property
    def waiting(self) -> str:
        """For what configuration it has waited a while; empty: for none."""
        return self._routes.waiting

    async def submit(self, event: Event) -> None:
        """Take over ``event``; waits while more than the budget is held. The event is acknowledged when it is safe."""
        size = size_of(event.value)
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._held_bytes or self._held_bytes + size <= self._limits.held_bytes
            )
            self._hold(size)
            self._waiting.append(event)
            self._changed.notify_all()

    async def _sort_units(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting)
                await self._linger()
                unit = next_unit(self._waiting, self._limits.unit_bytes)
            await self._sorted.put(await loop.run_in_executor(self._threads, self._sort, unit))

    async def _linger(self) -> None:
        """Wait a moment for a whole unit: a sorted block of ten rows costs its reader as much as one of hundreds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_seconds):
                await self._changed.wait_for(
                    lambda: sum(size_of(event.value) for event in self._waiting) >= self._limits.unit_bytes
                )

    async def _produce_units(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            done = await self._sorted.get()
            await loop.run_in_executor(self._threads, self._produce, done)
            for event in done.unit.events:
                event.ack()
            async with self._changed:
                self._hold(-sum(size_of(chunk) for chunk in done.unit.chunks))
                self._changed.notify_all()

    def _sort(self, unit: Unit) -> Sorted:
        started = time.monotonic()
        traced = self._traced(unit) if traces.on() else None
        gathered = self._gathered(unit)
        metrics.SORT_SECONDS.labels("decode").observe(time.monotonic() - started)
        started = time.monotonic()
        in_force = self._routes.at_least(max(chunk.routing for chunk in unit.chunks), gathered.marked)
        for chunk in unit.chunks:
            chunk.routing = in_force.passed
        rounds = self._regrouper.regroup(gathered, unit.covers, self._previous, in_force.routes)
        self._promise(rounds)
        metrics.SORT_SECONDS.labels("sort").observe(time.monotonic() - started)
        # Packed here: a letter as an object takes many times its bytes, and units wait for the one before them.
        letters = deadletters.pack(gathered.letters)
        if traced is not None:
            for piece in (piece for pieces in rounds for piece in pieces):
                piece.headers.append(traced.header)
        return Sorted(unit, rounds, letters, Counter(letter.reason for letter in gathered.letters), traced)

    def _traced(self, unit: Unit) -> Step | None:
        messages = (record.headers for chunk in unit.chunks for record in chunk.records)
        return traces.go_on("logflume.sort", messages, dataset=self._dataset)

    def _gathered(self, unit: Unit) -> Gathered:
        """Gather ``unit``, however long a schema registry takes to answer: what can't be asked now is no poison."""
        while True:
            try:
                return self._gatherer.gather(unit.chunks)
            except Retryable as error:
                metrics.SORT_REGISTRY_ERRORS.labels(self._dataset).inc()
                log.warning("waiting for the schema registry", dataset=self._dataset, error=str(error))
                if self._stopping() or self._ended.wait(self._limits.retry_seconds):
                    raise

    def _promise(self, rounds: Sequence[Sequence[Piece]]) -> None:
        """Note where ranges end, for the blocks after them. They are produced in this order, or the process ends."""
        for pieces in rounds:
            for piece in pieces:
                for source in piece.sources:
                    self._previous[piece.partition, source.partition] = source.last

    def _produce(self, done: Sorted) -> None:
        started = time.monotonic()
        fetched_at = max(chunk.range.since for chunk in done.unit.chunks)
        self._patiently(lambda: self._same_topic(fetched_at))
        for letter in done.letters:
            self._deliveries.send(self._deadletter_topic, None, letter.key, letter.value, letter.headers)
        if done.letters:
            self._patiently(lambda: self._deliveries.wait(_REPORT_SECONDS))
        for pieces in done.rounds:
            for piece in pieces:
                self._deliveries.send(self._sorted_topic, piece.partition, None, piece.value, piece.headers)
            self._patiently(lambda: self._deliveries.wait(_REPORT_SECONDS))
            crash.point("sort.produced")
        metrics.SORT_SECONDS.labels("produce").observe(time.monotonic() - started)
        if done.traced is not None:
            done.traced.end()
        self._count(done)

    def _patiently(self, call: Callable[[], None]) -> None:
        """Call again as long as Kafka only does not answer; what it refused stays refused (B3)."""
        waiting = True
        while waiting:
            try:
                call()
                waiting = False
            except Retryable as error:
                if self._deliveries.failed:
                    raise
                log.warning("waiting for Kafka", dataset=self._dataset, error=str(error))

    def _count(self, done: Sorted) -> None:
        pieces = [piece for pieces in done.rounds for piece in pieces]
        metrics.SORT_MESSAGES.labels(self._dataset).inc(sum(len(chunk.records) for chunk in done.unit.chunks))
        metrics.SORT_ROWS.labels(self._dataset).inc(sum(piece.rows for piece in pieces))
        metrics.SORT_BYTES.labels(self._dataset).inc(sum(len(piece.value) for piece in pieces))
        metrics.SORT_BLOCKS.labels(self._dataset).inc(len(pieces))
        for chunk in done.unit.chunks:
            if chunk.lost is not None:
                first, last = chunk.lost
                metrics.SORT_LOST.labels(chunk.topic).inc(last - first + 1)
        for reason, count in done.reasons.items():
            metrics.SORT_DEADLETTERS.labels(self._dataset, reason).inc(count)

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        metrics.SORT_BUFFERED_BYTES.inc(size)

    async def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            self._end()
            raise
        except BaseException as error:  # the stage's outermost loop: whatever it was, nothing more may be committed
            self._end()
            self._fail(error)
            raise

    def _end(self) -> None:
        self._ended.set()
        self._routes.end()


def size_of(chunk: Chunk) -> int:
    """Return what a chunk counts in the budget: its records' bytes as they came to the edge, and their objects."""
    return chunk.raw_bytes + _MESSAGE_BYTES * len(chunk.records)


def next_unit(waiting: deque[Event], unit_bytes: int) -> Unit:
    """Take the next unit off ``waiting``: chunks from the front, as long as B4 allows and ``unit_bytes`` last."""
    events: list[Event] = []
    covers: dict[tuple[str, int], Cover] = {}
    size = 0
    while waiting:
        chunk = waiting[0].value
        ingest = (chunk.topic_id, chunk.partition)
        before = covers.get(ingest)
        size += size_of(chunk)
        if events and (size > unit_bytes or (before is not None and chunk.first != before.last + 1)):
            break
        events.append(waiting.popleft())
        first = chunk.first if before is None else before.first
        covers[ingest] = Cover(chunk.topic_id, chunk.partition, first, chunk.last)
    return Unit(events, list(covers.values()))
