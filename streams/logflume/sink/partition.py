"""One sorted partition in the hands of this sink: its reader, its rows, its letters, and how far it may be committed.

A1  Rows that some outlet wants are buffered for each that does, all others become dead letters; no row is passed over.
A2  A dead letter goes out in the transaction whose position passes its offset, and in no other: counted exactly once.
A3  A stopped partition reads nothing more; what it read before the stop is stored and committed as ever.
A4  A closed partition holds nothing, and whatever a flight of it still does is not heard.
A5  A configuration decides about the blocks that are judged after it was taken up. Rows that were taken in for a table
    are stored, whoever wants them by then; those for a job that is gone are let go (the table has them), but for the
    object that is just being written: it is finished or, failing, given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import structlog

from logflume import metrics, traces
from logflume.kafka.deadletters import DeadLetter, Message, deleted, to_messages
from logflume.kafka.intents import Intent
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedBlock, SortedPartition
from logflume.model.dataset import Dataset
from logflume.model.tenant import Outlet
from logflume.sink import columns, unwanted
from logflume.sink.budget import Budget
from logflume.sink.buffers import Buffers, Flight, Pair
from logflume.sink.cuts import Change, Cuts, Key, object_name
from logflume.sink.held import Run, hold
from logflume.sink.parking.behind import Behind, Lost
from logflume.sink.parking.caps import Caps, Known
from logflume.sink.parking.parked import FAILING, ParkedChange
from logflume.sink.placing import Start
from logflume.sink.progress import Progress
from logflume.sink.traced import Traced

_FAILURES_TOLD = 3  # one failed flush is weather
_TENANTS_TOLD = 20  # of a partition; when thousands fail, they fail alike

Outlets = Callable[[str, str], tuple[Outlet, ...]]
"""(tenant, dataset) → where their rows go; ``Configuration.outlets``."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it goes out: its messages, and the sorted offset that the commit must have passed."""

    offset: int
    messages: Sequence[Message]
    bytes: int


class _Unjudged(NamedTuple):
    """A message that was read, and whose rows are not taken in."""

    block: SortedBlock | None
    offset: int
    timestamp_ms: int
    wire_bytes: int


class Partition:
    """The state between assignment and revocation. Used by the worker's thread alone."""

    def __init__(
        self,
        topic: str,
        topic_id: str,
        number: int,
        dataset: Dataset,
        schema: pa.Schema,
        start: Start,
        budget: Budget,
        jobs: Collection[Key] = (),
        caps: Caps | None = None,
        now: float = 0.0,
    ) -> None:
        """``jobs``: those that the configuration has, of this dataset. ``caps``: on new outlets; None: no caps."""
        self.topic = topic
        self.topic_id = topic_id
        self.number = number
        self.dataset = dataset
        self._types = dict(zip(schema.names, schema.types, strict=True))
        self.stopped = False
        self.closed = False
        self.meeting = False
        """Nothing is read for now: the scan is near, and is to come to where this reader is."""
        self.buffers = Buffers(budget)
        self.progress = Progress(start.position)
        self._cuts = Cuts(topic, topic_id, number)
        parked = {(each.tenant, each.job) for each in start.parked if each.topic_id == topic_id}
        for outlet in self._cuts.restore(start.jobs, jobs, start.position.offset, parked):
            self.buffers.gather(outlet)
        self.behind = Behind(topic, topic_id, number, self.buffers, self._cuts, self.progress)
        self._reader = SortedPartition(topic, topic_id, number, start.position)
        self._position = start.position
        self.traced = Traced(self.where)
        self._unjudged: _Unjudged | None = None
        self._letters: deque[Letter] = deque()
        self._budget = budget
        self._caps = caps
        self.known = Known(start.known, start.stored, now)
        self._admitted: dict[str, tuple[Outlet, ...]] = {}
        # A start that is not stored yet is committed too, with the record of what was lost before it.
        self._stored = start.position.offset if start.stored else -1
        if start.lost is not None:
            self._record_loss(*start.lost)
        self._record_losses(self.behind.restore(start, jobs))
        for entry in self.behind.parking:
            if entry.reason == FAILING:
                self.known.add(entry.outlet)

    @property
    def app_id(self) -> str:
        """Under which a table keeps how far it holds this partition (DESIGN §6b)."""
        return f"logflume/{self.topic_id}/{self.number}"

    @property
    def position(self) -> Position:
        """After the last message whose rows are all taken in: up to here a flight is complete, and no further (A1)."""
        return self._position

    @property
    def to_gather(self) -> int | None:
        """After how many more messages a stored cut is whole; None when no cut, or no message, is waited for."""
        end = self._cuts.next_end
        return None if self.stopped or end is None else end - self._position.offset

    @property
    def gathers_behind(self) -> int | None:
        """After how many more messages of the scan a frozen cut is whole; None when it reads for none."""
        end, scan = self._cuts.next_end_behind, self.behind.scan
        return None if self.stopped or end is None or scan is None else max(1, end - scan.position.offset)

    @property
    def where(self) -> str:
        """The partition for people."""
        return f"{self.topic}[{self.number}]"

    def read(
        self,
        offset: int,
        timestamp_ms: int,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        outlets: Outlets,
        now: float,
        waits: Callable[[int, float], bool] | None = None,
    ) -> tuple[SortedBlock | None, list[Pair]]:
        """Take the message at ``offset``; returns its new rows, if any, and the pairs that have got some or a flight.

        A stored cut that is whole with this message has its flight then. ``waits`` says whether a block of this
        generation can't be judged yet: it is kept (``ahead``), and nothing may be read before ``judge``.

        Raises ``Hole`` or ``Refused`` and leaves rows and position as they were: the partition must stop.
        """
        block = self._reader.read(offset, timestamp_ms, value, headers)
        if block is not None:
            columns.check(block.batch, self._types, f"{self.where}@{offset}")
        sent = int(dict(headers)["rows"])  # the reader refuses another number than the block's
        metrics.SINK_REPEATS.labels(self.dataset.name).inc(sent - (block.batch.num_rows if block else 0))
        if traces.on():
            self.traced.read(offset, headers)
        self._unjudged = _Unjudged(block, offset, timestamp_ms, len(value))
        if self.ahead and waits is not None and waits(self.ahead, now):
            return None, []
        return self.judge(outlets, now)

    @property
    def ahead(self) -> int:
        """The generation that the block waits for which was read and not judged; 0: there is none."""
        return self._unjudged.block.generation if self._unjudged and self._unjudged.block else 0

    def judge(self, outlets: Outlets, now: float) -> tuple[SortedBlock | None, list[Pair]]:
        """Take in the block that was read last."""
        assert self._unjudged is not None
        (block, offset, timestamp_ms, wire_bytes), self._unjudged = self._unjudged, None
        touched: list[Pair] = []
        if block is not None:
            wanted: list[Run] = []
            others: list[Run] = []
            start = 0
            for tenant, rows in zip(block.runs.tenants, block.runs.rows, strict=True):
                go = outlets(tenant, block.dataset)
                if go and self._caps is not None and self._admitted.get(tenant) is not go:
                    self._admit(self._caps, tenant, go, timestamp_ms, now)
                away = self.behind.left_out(tenant)
                if not go and (away is None or "" not in away):
                    others.append(Run(tenant, start, rows))
                elif taking := self._cuts.taking(
                    go if away is None else tuple(outlet for outlet in go if outlet.name not in away), offset
                ):
                    wanted.append(Run(tenant, start, rows, taking))
                start += rows
            touched = self.buffers.add(hold(block.batch, offset, wanted, self._budget), now, timestamp_ms)
            for run in others:
                self._add(unwanted.letter(block, run), offset)
                metrics.SINK_UNWANTED.labels(block.dataset).inc(run.rows)
        # The reader is ahead of its rows until here: a block that was refused above must not count as taken in.
        self._position = self._reader.position
        self.progress.read(self._position, wire_bytes, now)
        whole = [self._complete(outlet) for outlet in self._cuts.complete(self._position.offset)]
        return block, [*touched, *(pair for pair in whole if pair is not None)]

    def read_behind(
        self, offset: int, timestamp_ms: int, value: bytes, headers: Sequence[tuple[str, bytes]], now: float
    ) -> list[Pair]:
        """Take the scan's message at ``offset``; returns the pairs that have got rows or a flight.

        Raises ``Hole`` or ``Refused``, as ``read`` does.
        """
        block, wanted = self.behind.read(offset, timestamp_ms, value, headers)
        touched: list[Pair] = []
        if block is not None:
            columns.check(block.batch, self._types, f"{self.where}@{offset}")
            runs = [Run("", start, rows, go) for start, rows, go in wanted]
            touched = self.buffers.add(hold(block.batch, offset, runs, self._budget), now, timestamp_ms)
        whole = [self._complete(outlet) for outlet in self._cuts.complete(offset + 1, behind=True)]
        return [*touched, *(pair for pair in whole if pair is not None)]

    def lose(self, first: int) -> list[Pair]:
        """Note that the log begins at ``first`` now: what parked outlets lacked before is recorded as lost. Returns the
        pairs that have the flight of a frozen cut: where its end is gone too, no row from ``first`` on is one of it.
        """
        self._record_losses(self.behind.lose(first))
        whole = [self._complete(outlet) for outlet in self._cuts.complete(first, behind=True)]
        return [pair for pair in whole if pair is not None]

    def configure(self, outlets: Outlets) -> list[Pair]:
        """Take up another configuration; returns the pairs of jobs whose definition or limits it changed (A5)."""
        changed = []
        self._admitted.clear()
        jobs = [pair.outlet for pair in self.buffers if pair.outlet.job is not None]
        parked = [entry.outlet for entry in self.behind.parking if entry.outlet.name]
        for outlet in {*jobs, *parked, *self._cuts.gathering}:
            pair, entry = self.buffers.pair(outlet), self.behind.parking.get(outlet)
            wanted = next((each for each in outlets(outlet.tenant, self.dataset.name) if each == outlet), None)
            if wanted is None:
                self._forsake(outlet, pair)
                continue
            if entry is not None:
                entry.outlet = wanted
            if pair is not None:
                pair.outlet = wanted
                changed.append(pair)
        return changed

    def take(self, pair: Pair) -> Flight:
        """Send what ``pair`` has on its way: to a table at once; of a job the cut is frozen, and waits for a commit."""
        job, upto = pair.outlet.job, self.behind.upto(pair, self._position).offset
        if job is None:
            return self.buffers.take(pair, upto)
        start, day = pair.first, datetime.fromtimestamp(pair.since_ms / 1000, UTC).date().isoformat()
        name = object_name(pair.outlet, self.topic_id, self.number, start, upto, day)
        intent = Intent(start, upto, name, job)
        self._cuts.freeze(pair.outlet, intent)
        pair.waiting = True
        return self.buffers.take(pair, upto, intent)

    def landed(self, pair: Pair) -> None:
        """Note that the flight of ``pair`` is durable."""
        if pair.flight is not None and pair.flight.intent is not None:
            self._cuts.landed(pair.outlet)
        self.buffers.landed(pair)
        self.behind.landed(pair.outlet)

    def failed(self, pair: Pair, retry_at: float, trouble: str, now: float = 0.0, *, refused: bool = False) -> None:
        """Note that the flight of ``pair`` is not durable, or not surely; it is tried again (A5: unless it is gone)."""
        self.buffers.failed(pair, retry_at, trouble, now, refused=refused)
        if pair.gone:
            self._forsake(pair.outlet, pair)

    def committable(self) -> Position | None:
        """Return the position to commit now; None when there is nothing new."""
        position = self.progress.committable(self.buffers.held)
        moved = position.offset > self._stored
        return position if moved or self.parkings() or self.changes(position) else None

    def changes(self, position: Position) -> list[Change]:
        """Return what the commit of ``position`` stores of the jobs."""
        for change in self.parkings():
            self._cuts.touch((change.about.tenant, change.about.job))
        return self._cuts.changes(position.offset, self.behind.stored_upto)

    def parkings(self) -> list[ParkedChange]:
        """Return what the next commit stores of parked outlets."""
        return self.behind.changes()

    def letters(self, position: Position) -> list[Letter]:
        """Return the dead letters that go out with ``position`` (A2)."""
        return [letter for letter in self._letters if letter.offset < position.offset]

    def commit(self, position: Position, changes: Sequence[Change] = (), parkings: Sequence[ParkedChange] = ()) -> None:
        """Note that ``position``, its letters, ``changes`` and ``parkings`` are committed."""
        self.behind.parking.commit(parkings)
        for outlet in self._cuts.commit(changes):
            if (pair := self.buffers.pair(outlet)) is not None:
                pair.waiting = False
        self.progress.commit(position)
        self._stored = position.offset
        while self._letters and self._letters[0].offset < position.offset:
            self._budget.free(self._letters.popleft().bytes)

    def troubles(self) -> list[str]:
        """Say which tenants cannot be stored, and why."""
        failing = [pair for pair in self.buffers.failing() if pair.failures >= _FAILURES_TOLD]
        more = [f"{len(failing) - _TENANTS_TOLD} more of {self.where}"] if len(failing) > _TENANTS_TOLD else []
        return [
            f"{pair.tenant}/{self.dataset.name}{pair.outlet.name and f' (job {pair.outlet.name})'} of {self.where} "
            f"cannot be stored: {pair.trouble}"
            for pair in failing[:_TENANTS_TOLD]
        ] + more

    def close(self) -> None:
        """Forget everything (A4)."""
        self.closed = True
        self.traced.close()
        self.buffers.clear()
        while self._letters:
            self._budget.free(self._letters.popleft().bytes)

    def _complete(self, outlet: Outlet) -> Pair | None:
        """Give a stored cut, all of whose rows are here again, its flight; None: it has no rows."""
        pair, intent = self.buffers.gathered(outlet), self._cuts.intent(outlet)
        if pair is not None:
            self.behind.upto(pair, self._position)
            pair.waiting = not self._cuts.told(outlet)  # it was parked before Kafka had it
            self.buffers.take(pair, intent.end, intent, again=True)
            return pair
        # Its tenant's or job's rows are not wanted any more, so there are none to write.
        self._cuts.landed(outlet)
        _log.warning("sink.cut-dropped", tenant=outlet.tenant, job=outlet.name, name=intent.name, why="it has no rows")
        return None

    def _admit(self, caps: Caps, tenant: str, go: tuple[Outlet, ...], timestamp_ms: int, now: float) -> None:
        """Park those who are new and have no room, before their first row (V3)."""
        for outlet in go:
            if self.known.has(outlet, now) or self.behind.parking.get(outlet) is not None:
                continue
            if caps.grant(1, now):
                self.known.add(outlet)
                caps.seen(self.where, [outlet], now)
            else:
                self.behind.park_new(outlet, self._position, timestamp_ms)
                metrics.SINK_NEW_PARKED.labels(self.dataset.name).inc()
        if all(self.known.has(outlet, now) for outlet in go):
            self._admitted[tenant] = go

    def _forsake(self, outlet: Outlet, pair: Pair | None) -> None:
        """Let go of what a job has that the configuration has no more, but for the flight that is under way (A5)."""
        if pair is not None and pair.flying:
            self.buffers.forsake(pair)
            self.behind.drop(outlet)
            return
        rows = 0 if pair is None else pair.rows + (pair.flight.rows if pair.flight else 0)
        if pair is not None:
            self.buffers.drop(pair)
        intent = self._cuts.give_up(outlet)
        self.behind.drop(outlet)
        _log.warning(
            "sink.job-gone",
            tenant=outlet.tenant,
            job=outlet.name,
            rows=rows,
            partition=self.where,
            cut=intent and intent.name,
        )

    def _add(self, letter: DeadLetter, offset: int, *, first: bool = False) -> None:
        messages = to_messages(letter)
        size = sum(len(message.value) + len(message.key) + 1000 for message in messages)
        self._budget.charge(size)
        # They stand in the order of their offsets; what was lost lies before all.
        (self._letters.appendleft if first else self._letters.append)(Letter(offset, messages, size))

    def _record_loss(self, first: int, end: int) -> None:
        letter = deleted("sink", self.dataset.name, self.topic, self.topic_id, self.number, first, end - 1)
        self._add(letter, first)

    def _record_losses(self, lost: Sequence[Lost]) -> None:
        for outlet, first, end in lost:
            letter = deleted("sink", self.dataset.name, self.topic, self.topic_id, self.number, first, end - 1)
            whose = f"job {outlet.name} of {outlet.tenant}" if outlet.name else f"the table of {outlet.tenant}"
            letter = replace(letter, tenant=outlet.tenant, detail=f"{letter.detail} for {whose}, which was parked")
            self._add(letter, first, first=True)
            metrics.SINK_PARKED_LOST.labels(self.dataset.name).inc(end - first)
            _log.error(
                "sink.parked-lost", tenant=outlet.tenant, job=outlet.name, partition=self.where, first=first, end=end
            )
