"""Publishing from an application: records in, blocks on Kafka, with bounded memory and no loss that nobody hears of.

Numbered promises:

E1  A record that a call accepted is stored once on Kafka, as a row or as a dead letter, as long as this process lives.
    If it is killed, records that no ``flush`` had confirmed may or may not be there; none is there twice.
E2  ``flush`` and ``close`` return only when all that was accepted before is acknowledged by all in-sync replicas (or is
    durable in the spool). If they raise ``Unavailable``, nothing is given up: what is missing is still on its way.
E3  A record that was not accepted is not stored: the call that brought it raises, and says how many went in before.
E4  Accepted and not acknowledged bytes (records as they came, then their encoded blocks) stay within
    ``edge_memory_bytes``, or are a single piece that is larger by itself. One block's worth of columns comes on top.
E5  Nothing that a caller hands in ends the background threads. When they can't keep E1 any more, every call raises.

Order: the records of one call to ``log_ndjson`` or ``log_many`` keep theirs inside a block, but blocks go to partitions
at random; sort by time when reading.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import confluent_kafka
import pyarrow as pa

from logflume import contract, metrics, model
from logflume.clock import Clock, SystemClock
from logflume.edge.buffer import Buffer, Cut, Run
from logflume.edge.lines import Lines
from logflume.edge.packing import BadRecord, Packer
from logflume.edge.publisher import Publisher
from logflume.edge.records import encode
from logflume.edge.spool import Message, Spool
from logflume.edge.tables import conformed
from logflume.errors import Fatal, LogflumeError, Refused, Unavailable
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.model import Datasets, check_tenant_name
from logflume.settings import Settings

_LOG = logging.getLogger("logflume.edge")

MakeProducer = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a call took in: ``rows`` records. Bad ones among them are told to ``on_bad`` when they are read."""

    rows: int


class NotAccepted(Unavailable):
    """There was no room within the time-out; the first ``accepted`` records of the call did go in, the rest did not."""

    def __init__(self, message: str, accepted: int) -> None:
        super().__init__(message)
        self.accepted = accepted


class Client:
    """Publishes records of any tenants and datasets. Any thread may call; make one client a process and keep it.

    After a fork the child's copy refuses every call: make a client in each process. At the interpreter's exit what is
    left is flushed for up to ``edge_timeout_seconds``; ``close`` or a ``with`` block says what came of it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        datasets: Datasets | None = None,
        on_bad: Callable[[BadRecord], None] | None = None,
        spool: Spool | None = None,
        clock: Clock | None = None,
        make_producer: MakeProducer = confluent_kafka.Producer,
    ) -> None:
        """Read the contract and start two threads; needs no answer from Kafka. Raises ``Misconfigured``.

        ``on_bad`` is told of each record that could not be read, from a background thread: be quick, call no client.
        """
        self._settings = settings or Settings()
        self._datasets = datasets or model.load(contract.find(self._settings.topics_dir))
        self._clock = clock or SystemClock()
        self._on_bad = on_bad
        self._block_rows = self._settings.edge_block_rows
        self._block_bytes = int(self._settings.edge_block_bytes)
        self._timeout = self._settings.edge_timeout_seconds
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)  # the packer waits here: a cut, or a buffer's age
        self._room = threading.Condition(self._lock)  # callers wait here: memory, or their flush
        self._limit = int(self._settings.edge_memory_bytes)  # -1 once nothing may come in any more
        self._used = 0
        self._waiting = 0
        self._buffers: dict[str, Buffer] = {}
        self._tenants: set[str] = set()
        self._cuts: deque[Cut] = deque()
        self._cut_id = 0
        self._open: dict[int, int] = {}  # cut -> what is still to come of it; in the order of cuts
        self._failure: LogflumeError | None = None
        self._closed = False
        self._publisher = Publisher(stored=self._on_stored, failed=self._on_failed, clock=self._clock, spool=spool)
        self._packer = Packer(
            self._datasets,
            topic=lambda dataset: topics.ingest_topic(self._settings, dataset),
            deadletter_topic=topics.deadletter_topic(self._settings),
            edge=self._settings.edge_id,
            epoch=self._clock.now_ns(),
        )
        self._producer = make_producer(_producer_config(self._settings, self._publisher.on_error))
        self._publisher.start(self._producer)
        self._threads = [
            threading.Thread(target=self._pack_forever, name="logflume-edge-pack", daemon=True),
            threading.Thread(target=self._publisher.run, name="logflume-edge-report", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        _living.add(self)

    def log(self, tenant: str, dataset: str, record: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Accept one record. Blocks while memory is full, ``timeout`` (``edge_timeout_seconds``) at most.

        Raises ``NotAccepted`` (an ``Unavailable``) when there is no room in time, ``Poison`` for a record that can't be
        written as JSON, ``Misconfigured`` for an unknown dataset or a bad tenant name.
        """
        line = encode(record)
        size = len(line)
        if tenant not in self._tenants:
            self._know(tenant)
        with self._lock:
            buffer = self._buffers.get(dataset) or self._buffer(dataset)
            while self._used + size > self._limit and self._wait_for_room(size, timeout, 0):
                pass
            if not buffer.rows:
                self._begin(buffer)
            self._used += size
            buffer.add_record(tenant, line, self._clock.now_ns())
            if buffer.rows >= self._block_rows or buffer.size >= self._block_bytes:
                self._cut(buffer)

    def log_many(
        self, tenant: str, dataset: str, records: Iterable[Mapping[str, Any]], *, timeout: float | None = None
    ) -> Accepted:
        """Accept several records of one tenant; as ``log``, but if one is ``Poison`` none is accepted."""
        return self._accept(tenant, dataset, Lines(b"".join(map(encode, records))), False, timeout)

    def log_ndjson(
        self, tenant: str, dataset: str, data: bytes, *, first_line: int = 1, timeout: float | None = None
    ) -> Accepted:
        """Accept lines of JSON, one record a line, blank lines apart: the fastest way in.

        Lines are read in the background; those that are no records are told to ``on_bad`` with their line number,
        counted from ``first_line``, and kept as dead letters. ``timeout`` is for each wait for room, not for the call.
        """
        return self._accept(tenant, dataset, Lines(data, first_line), True, timeout)

    def log_table(
        self, tenant: str, dataset: str, table: pa.Table | pa.RecordBatch, *, timeout: float | None = None
    ) -> Accepted:
        """Accept an Arrow table, a record a row; meant for many rows, as each call makes blocks of its own.

        Columns of a field's name and type (or one that casts to it without loss) go straight into the block; others
        are read as if they had come as JSON, row by row. Raises as ``log_many``.
        """
        ready = conformed(table, self._datasets.named(dataset))
        self._know(tenant)
        accepted = 0
        rows = max(1, min(self._block_rows, ready.num_rows * self._block_bytes // max(1, ready.nbytes)))
        while accepted < ready.num_rows:
            part = ready.slice(accepted, rows)
            size = max(1, int(part.nbytes))
            with self._lock:
                while self._used + size > self._limit and self._wait_for_room(size, timeout, accepted):
                    pass
                self._used += size
                run = Run(tenant, part.num_rows, self._clock.now_ns())
                self._queue(Cut(self._next_cut(), dataset, (run,), part.num_rows, size, table=part))
            accepted += part.num_rows
        return Accepted(accepted)

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was accepted before is acknowledged (E2).

        Raises ``Unavailable`` after ``timeout`` seconds (``edge_timeout_seconds``); it may be called again.
        """
        seconds = self._timeout if timeout is None else timeout
        deadline = self._clock.monotonic() + seconds
        with self._lock:
            for buffer in self._buffers.values():
                if buffer.rows:
                    self._cut(buffer)
            last = self._cut_id
            while True:
                if self._failure is not None:
                    raise self._error()
                if next(iter(self._open), last + 1) > last:
                    return
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    metrics.EDGE_ERRORS.labels("unavailable").inc()
                    raise Unavailable(
                        f"{self._used} bytes are not acknowledged by Kafka after {seconds:g} s; they are still on "
                        f"their way, flush again to wait on.{self._because()}"
                    )
                self._room.wait(left)

    def close(self, timeout: float | None = None) -> None:
        """Flush, then end the threads; nothing is accepted afterwards. A second call does nothing.

        If the flush raises ``Unavailable``, the client stays open and ``close`` may be called again.
        """
        if self._closed:
            return
        try:
            self.flush(timeout)
        except Unavailable:
            raise
        except LogflumeError:
            self._end()
            raise
        self._end()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the callers' side, all under the lock -----------------------------------------------------------------------

    def _accept(self, tenant: str, dataset: str, lines: Lines, numbered: bool, timeout: float | None) -> Accepted:
        self._know(tenant)
        at = 0
        while at < len(lines):
            with self._lock:
                buffer = self._buffers.get(dataset) or self._buffer(dataset)
                stop = lines.fitting(at, self._block_rows - buffer.rows, self._block_bytes - buffer.size)
                if stop == at:
                    if buffer.rows:
                        self._cut(buffer)
                        continue
                    stop = at + 1  # one record larger than a block: a block by itself
                size = lines.size(at, stop)
                if self._used + size > self._limit and self._wait_for_room(size, timeout, at):
                    continue  # others may have filled or emptied the buffer meanwhile
                if not buffer.rows:
                    self._begin(buffer)
                self._used += size
                numbers = lines.numbers[at:stop] if numbered else None
                buffer.add_lines(tenant, lines.piece(at, stop), stop - at, self._clock.now_ns(), numbers)
                if buffer.rows >= self._block_rows or buffer.size >= self._block_bytes:
                    self._cut(buffer)
            at = stop
        return Accepted(at)

    def _know(self, tenant: str) -> None:
        check_tenant_name(tenant)
        if len(self._tenants) > 100_000:  # a bound, not a policy: names are checked again then
            self._tenants.clear()
        self._tenants.add(tenant)

    def _buffer(self, dataset: str) -> Buffer:
        self._datasets.named(dataset)
        return self._buffers.setdefault(dataset, Buffer(dataset))

    def _begin(self, buffer: Buffer) -> None:
        buffer.opened = self._clock.monotonic()
        self._work.notify()

    def _wait_for_room(self, size: int, timeout: float | None, accepted: int) -> bool:
        """Wait once for memory; True: look again, False: go ahead. Raises when time is up or the client has ended."""
        if self._failure is not None:
            raise self._error()
        if self._closed:
            raise Refused("this client is closed; make a new one")
        if self._used == 0:
            return False  # larger than the whole memory: it goes alone
        seconds = self._timeout if timeout is None else timeout
        deadline = self._clock.monotonic() + seconds
        self._waiting += 1
        self._work.notify()
        try:
            while self._used and self._used + size > self._limit and self._limit >= 0:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    metrics.EDGE_ERRORS.labels("unavailable").inc()
                    raise NotAccepted(
                        f"no room for {size} bytes within {seconds:g} s: {self._used} of {self._limit} bytes wait for "
                        f"Kafka.{self._because()}",
                        accepted,
                    )
                self._room.wait(left)
        finally:
            self._waiting -= 1
        return True

    def _cut(self, buffer: Buffer) -> None:
        self._queue(buffer.cut(self._next_cut()))

    def _next_cut(self) -> int:
        self._cut_id += 1
        return self._cut_id

    def _queue(self, cut: Cut) -> None:
        self._open[cut.id] = 1  # the packing itself
        self._cuts.append(cut)
        metrics.EDGE_BUFFERED_BYTES.set(self._used)
        self._work.notify()

    def _because(self) -> str:
        trouble = self._publisher.trouble
        return f" Last trouble: {trouble}" if trouble else ""

    def _error(self) -> LogflumeError:
        assert self._failure is not None
        return type(self._failure)(*self._failure.args)

    # --- the packer's thread -----------------------------------------------------------------------------------------

    def _pack_forever(self) -> None:
        try:
            while (cut := self._next_due()) is not None:
                self._pack(cut)
        except (
            Exception
        ) as failure:  # the outermost loop: whatever it is, E1 can't be kept, and callers must hear of it
            _LOG.exception("packing failed")
            self._on_failed(Fatal(f"packing failed: {type(failure).__name__}: {failure}"))

    def _next_due(self) -> Cut | None:
        with self._lock:
            while not self._cuts:
                if self._limit < 0:
                    return None
                now = self._clock.monotonic()
                linger = 0.0 if self._waiting else self._settings.edge_linger_seconds
                ages = [(buffer.opened + linger - now, buffer) for buffer in self._buffers.values() if buffer.rows]
                for left, buffer in ages:
                    if left <= 0:
                        self._cut(buffer)
                if not self._cuts:
                    self._work.wait(min((left for left, _ in ages), default=None))
            return self._cuts.popleft()

    def _pack(self, cut: Cut) -> None:
        packed = self._packer.pack(cut)
        size = sum(len(message.value) for message in packed.messages)
        with self._lock:
            self._used += size - cut.size
            self._open[cut.id] += len(packed.messages)
            self._room.notify_all()
        for message in packed.messages:
            self._publisher.publish(cut.id, message)
        for record in packed.bad:
            metrics.EDGE_BAD_ROWS.labels(record.dataset, record.reason).inc()
            self._tell(record)
        self._settle(cut.id, 0)

    def _tell(self, record: BadRecord) -> None:
        if self._on_bad is None:
            return
        try:
            self._on_bad(record)
        except Exception:  # the caller's code must not end our thread (E5)
            _LOG.exception("on_bad failed")

    # --- the reports' thread -----------------------------------------------------------------------------------------

    def _on_stored(self, cut: int, message: Message) -> None:
        if message.rows:
            metrics.EDGE_ROWS.labels(message.dataset).inc(message.rows)
            metrics.EDGE_BYTES.labels(message.dataset).inc(message.raw_bytes)
            metrics.EDGE_BLOCKS.labels(message.dataset).inc()
        self._settle(cut, len(message.value))

    def _settle(self, cut: int, size: int) -> None:
        with self._lock:
            self._used -= size
            self._open[cut] -= 1
            if not self._open[cut]:
                del self._open[cut]
            metrics.EDGE_BUFFERED_BYTES.set(self._used)
            self._room.notify_all()

    def _on_failed(self, failure: LogflumeError) -> None:
        # Logged outside the lock: a handler may have one of its own, held by a thread that waits for ours.
        _LOG.error("the client stops: %s", failure)
        with self._lock:
            if self._failure is None:
                self._failure = failure
                metrics.EDGE_ERRORS.labels(type(failure).__name__.lower()).inc()
            self._stop()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self._limit = -1
        self._publisher.end()
        self._work.notify_all()
        self._room.notify_all()

    def _end(self) -> None:
        with self._lock:
            self._closed = True
            self._stop()
        for thread in self._threads:
            thread.join()
        _living.discard(self)

    def _forked(self) -> None:
        """In a fork's child: no thread of ours lives here, and the locks may be held by none."""
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._limit = -1
        self._closed = True
        self._failure = Fatal("this client was made before the fork; make one in each process")
        _unusable.append(self)


def _producer_config(settings: Settings, error_cb: Callable[[Any], None]) -> dict[str, Any]:
    """No time-out for messages: librdkafka goes on trying, and only then can a message be stored exactly once."""
    config = kafka_client.producer_config(
        settings,
        message_timeout_ms=0,
        partitioner="random",
        sticky_partitioning_linger_ms=0,
        linger_ms=5,
        queue_buffering_max_kbytes=2_097_151,  # our own budget is smaller: this one never bites
    )
    return config | {"error_cb": error_cb}


_living: weakref.WeakSet[Client] = weakref.WeakSet()
_unusable: list[Client] = []
"""Kept for ever: destroying a producer after a fork would wait for threads that are not there."""


def _close_all() -> None:
    for client in list(_living):
        try:
            client.close()
        except LogflumeError as error:
            _LOG.error("at exit: %s", error)


def _fork_all() -> None:
    for client in list(_living):
        client._forked()
    _living.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_fork_all)
