"""Publishing from an application: records in, blocks on Kafka, with bounded memory and no loss that nobody hears of.

Numbered promises:

E1  A record that a call accepted is stored once on Kafka, as a row or as a dead letter, as long as this process lives.
    If it is killed, records that no ``flush`` had confirmed may or may not be there; none is there twice. What is in
    the spool then is sent by the next client that opens it.
E2  ``flush`` and ``close`` return only when all that was accepted before is acknowledged by all in-sync replicas, or is
    durable in the spool. If they raise ``Unavailable``, nothing is given up: what is missing is still on its way.
E3  A record that was not accepted is not stored: the call that brought it raises, and says how many went in before.
E4  Accepted and not acknowledged bytes (records as they came, then their encoded blocks) stay within
    ``edge_memory_bytes``, or are a single piece that is larger by itself. One block's worth of columns comes on top.
    What the spool took over while it was in flight counts until Kafka's client has let go of it; it is half at most.
E5  Nothing that a caller hands in ends the background threads. When they can't keep E1 any more, every call raises.

Order: the records of one call keep theirs inside a block, but blocks go to partitions at random; sort by time when
reading.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import confluent_kafka
import pyarrow as pa

from logflume import contract, metrics, model
from logflume.clock import Clock, SystemClock
from logflume.config import Source
from logflume.edge import living, telling
from logflume.edge.admission import Accepted, Admission
from logflume.edge.buffer import Cut, Format
from logflume.edge.forwarding import Forwarding
from logflume.edge.holding import Holding
from logflume.edge.intake import Intake
from logflume.edge.lines import Lines
from logflume.edge.packing import BadRecord, Packer
from logflume.edge.producing import producer_config
from logflume.edge.publisher import Publisher
from logflume.edge.rates import Pacing, allowances
from logflume.edge.receipt import Piece, Receipt
from logflume.edge.records import encode
from logflume.edge.restraint import Restraint
from logflume.edge.spool import Message, Spool
from logflume.edge.spool.lookup import KafkaLookup, Lookup
from logflume.edge.spooling import Spooling
from logflume.edge.tables import conformed
from logflume.errors import Fatal, LogflumeError, Unavailable
from logflume.formats import combined
from logflume.kafka import topics
from logflume.kafka.renewal import Renewal
from logflume.kafka.status import NO_PRESSURE
from logflume.model import Datasets, check_tenant_name
from logflume.settings import Settings

_LOG = logging.getLogger("logflume.edge")

_KNOWN = 100_000
"""Tenant names and datasets that are remembered as checked: a bound on memory, no limit on tenants."""

MakeProducer = Callable[[dict[str, Any]], Any]


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
        source: Source | None = None,
        limited: bool = True,
        tells: bool = True,
        clock: Clock | None = None,
        make_producer: MakeProducer = confluent_kafka.Producer,
        make_lookup: Callable[[Settings], Lookup] = KafkaLookup,
    ) -> None:
        """Read the contract and start threads; needs no answer from Kafka. Raises ``Misconfigured``.

        With ``edge_spool_dir`` it opens the spool there (raises as ``Spool.open``) and closes it at the end; a
        ``spool`` that is given instead stays the caller's to close, after the client.
        ``on_bad`` is told of each record that could not be read, from a background thread: be quick, call no client.
        With a ``source`` it sends nothing before that has a configuration (what comes is kept, in the spool if there is
        one), drops what no configuration wants, and tenants' rates are those of the configuration.
        Not ``limited`` is a server's client: it asks for rates itself.
        With a ``worker_id`` it tells its status, unless ``tells`` says that its process does so: a worker, which also
        ends when certificates or passwords change. Otherwise the client goes on with the new ones (PR1).
        """
        settings = settings or Settings()
        clock = clock or SystemClock()
        self._datasets = datasets or model.load(contract.find(settings.topics_dir))
        self._on_bad = on_bad
        self._timeout = settings.edge_timeout_seconds
        self._known: set[tuple[str, str]] = set()
        self._closed = False
        self.restraint = Restraint.of(settings, clock)
        """What pressure asks of this client; it follows the topic ``status``."""
        self._intake = Intake(
            block_rows=settings.edge_block_rows,
            block_bytes=settings.edge_block_bytes,
            linger_seconds=settings.edge_linger_seconds,
            memory_bytes=settings.edge_memory_bytes,
            clock=clock,
            restraint=self.restraint,
        )
        pacing = Pacing(allowances(settings, source, clock), clock) if limited else Pacing.free(clock)
        self.admission = Admission(self._intake, Forwarding(source, clock), pacing)
        """Whose records go further, and when; for those who put messages into the spool themselves."""
        holding = Holding(source)
        self._packer = Packer(
            self._datasets,
            topic=lambda dataset: topics.ingest_topic(settings, dataset),
            deadletter_topic=topics.deadletter_topic(settings),
            edge=settings.edge_id,
            epoch=clock.now_ns(),
            generation=holding.generation,
        )
        self._own_spool = spool is None and bool(settings.edge_spool_dir)
        if self._own_spool:
            spool = Spool.open(Path(settings.edge_spool_dir), cap_bytes=settings.edge_spool_bytes, clock=clock)
        self._spool = spool
        lookup = None if spool is None else make_lookup(settings)
        self._publisher = Publisher(
            stored=self._on_stored,
            failed=self._on_failed,
            troubled=self._on_trouble,
            kept=self._on_kept,
            released=self._on_released,
            clock=clock,
            spooling=None if spool is None or lookup is None else Spooling(spool, lookup, clock),
            direct_bytes=settings.edge_memory_bytes // 2,
            held=lambda: holding.why,
        )
        self._settings, self._make_producer, self._lookup = settings, make_producer, lookup
        renewal = Renewal(settings, self._renew, spread=0)  # before it reads any certificate
        self._publisher.start(self._producer())
        self._threads = [
            threading.Thread(target=self._pack_forever, name="logflume-edge-pack", daemon=True),
            threading.Thread(target=self._publisher.run, name="logflume-edge-report", daemon=True),
        ]
        if spool is not None:
            self._threads.append(threading.Thread(target=self._publisher.settle, name="logflume-edge-ask", daemon=True))
        for thread in self._threads:
            thread.start()
        self._signals = telling.Signals(settings, self, clock, self._intake.press, tells=tells)
        self._renewal = renewal.start() if tells else renewal
        living.add(self)

    @property
    def datasets(self) -> Datasets:
        """The contract's datasets, as this client knows them."""
        return self._datasets

    def log(self, tenant: str, dataset: str, record: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Accept one record. Blocks while memory is full, ``timeout`` (``edge_timeout_seconds``) at most.

        Raises ``NotAccepted`` (an ``Unavailable``) when there is no room in time, ``OverLimit`` when the tenant's rate
        lets nothing in in that time, ``Poison`` for a record that can't be written as JSON, ``Misconfigured`` for an
        unknown dataset or a bad tenant name. What a configuration in force does not want is dropped and counted.
        """
        if (tenant, dataset) not in self._known:
            self._check(tenant, dataset)
        self.admission.add_record(tenant, dataset, encode(record), self._timeout if timeout is None else timeout)

    def log_many(
        self, tenant: str, dataset: str, records: Iterable[Mapping[str, Any]], *, timeout: float | None = None
    ) -> Accepted:
        """Accept several records of one tenant; as ``log``, but if one is ``Poison`` none is accepted."""
        return self._lines(tenant, dataset, Lines(b"".join(map(encode, records))), timeout, numbered=False)

    def log_ndjson(
        self, tenant: str, dataset: str, data: bytes, *, first_line: int = 1, timeout: float | None = None
    ) -> Accepted:
        """Accept lines of JSON, one record a line, blank lines apart: the fastest way in.

        Lines are read in the background; those that are no records are told to ``on_bad`` with their line number,
        counted from ``first_line``, and kept as dead letters. ``timeout`` is for each wait for room, not for the call.
        """
        return self._lines(tenant, dataset, Lines(data, first_line), timeout)

    def log_combined(
        self, tenant: str, dataset: str, data: bytes, *, first_line: int = 1, timeout: float | None = None
    ) -> Accepted:
        """Accept lines of an Apache or nginx access log in the combined format; as ``log_ndjson`` otherwise."""
        combined.parse(b"", self._datasets.named(dataset))  # Misconfigured, for a dataset that it can't fill
        return self._lines(tenant, dataset, Lines(data, first_line), timeout, Format.COMBINED)

    def log_table(
        self, tenant: str, dataset: str, table: pa.Table | pa.RecordBatch, *, timeout: float | None = None
    ) -> Accepted:
        """Accept an Arrow table, a record a row; meant for many rows, as each call makes blocks of its own.

        Columns of a field's name and type (or one that casts to it without loss) go straight into the block; others
        are read as if they had come as JSON, row by row. Raises as ``log_many``.
        """
        self._check(tenant, dataset)
        ready = conformed(table, self._datasets.named(dataset))
        return self.admission.add_table(tenant, dataset, ready, self._timeout if timeout is None else timeout)

    def offer(self, pieces: Sequence[Piece], receipt: Receipt) -> bool:
        """Accept all of ``pieces``, or none and return False: there is no room now. Never waits; for servers.

        ``receipt`` is told when all of them are durable (see ``edge.receipt``). Small pieces of one dataset, of
        whatever tenants, become one block. Raises as ``log`` for an unknown dataset or a bad tenant name.
        """
        for piece in pieces:
            self._check(piece.tenant, piece.dataset)
        return self._intake.offer(pieces, receipt)

    @property
    def fill(self) -> float:
        """Accepted and not acknowledged bytes as a share of ``edge_memory_bytes``."""
        return self._intake.fill

    @property
    def spool(self) -> Spool | None:
        """What messages wait in on disk, with ``size_bytes``, ``share`` and ``oldest_seconds``; None without one."""
        return self._spool

    @property
    def failure(self) -> LogflumeError | None:
        """Why this client takes nothing any more, once that is so; None while all is well."""
        return self._intake.failure

    @property
    def trouble(self) -> str:
        """What Kafka last complained of; empty when all is well."""
        return self._intake.trouble

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was accepted before is acknowledged (E2).

        Raises ``Unavailable`` after ``timeout`` seconds (``edge_timeout_seconds``); it may be called again.
        """
        self._intake.flush(self._timeout if timeout is None else timeout)

    def heed_no_more(self) -> None:
        """Take what is handed in whatever the pressure, from now on: for a server that ends, and has it alone."""
        self._signals.close()
        self._intake.press(NO_PRESSURE)

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

    def _check(self, tenant: str, dataset: str) -> None:
        check_tenant_name(tenant)
        self._datasets.named(dataset)
        if len(self._known) > _KNOWN:
            self._known.clear()
        self._known.add((tenant, dataset))

    def _lines(
        self,
        tenant: str,
        dataset: str,
        lines: Lines,
        timeout: float | None,
        format: Format = Format.NDJSON,
        *,
        numbered: bool = True,
    ) -> Accepted:
        self._check(tenant, dataset)
        seconds = self._timeout if timeout is None else timeout
        return self.admission.add_lines(tenant, dataset, lines, format, seconds, numbered=numbered)

    # --- the packer's thread -----------------------------------------------------------------------------------------

    def _pack_forever(self) -> None:
        try:
            while (cut := self._intake.next_due()) is not None:
                self._pack(cut)
        except Exception as failure:  # the outermost loop: E1 can't be kept, and callers must hear
            self._on_failed(Fatal(f"packing failed: {type(failure).__name__}: {failure}"))

    def _pack(self, cut: Cut) -> None:
        packed = self._packer.pack(cut)
        self._intake.packed(cut, len(packed.messages), sum(len(message.value) for message in packed.messages))
        for message in packed.messages:
            self._publisher.publish(cut.id, message)
        for record in packed.bad:
            metrics.EDGE_BAD_ROWS.labels(record.dataset, record.reason).inc()
            if record.receipt is not None:
                record.receipt.note(record.line, record.reason, record.detail)
            self._tell(record)
        self._intake.settled(cut.id, 0)

    def _tell(self, record: BadRecord) -> None:
        if self._on_bad is None:
            return
        try:
            self._on_bad(record)
        except Exception:  # the caller's code must not end our thread (E5)
            _LOG.exception("on_bad failed")

    # --- the publisher's calls, from either thread -------------------------------------------------------------------

    def _on_stored(self, cut: int, message: Message) -> None:
        self._count(message)
        self._intake.settled(cut, len(message.value))

    def _on_kept(self, cut: int, message: Message) -> None:
        self._count(message)
        self._intake.settled(cut, 0)  # its bytes count until Kafka's client has let go of them

    def _on_released(self, size: int) -> None:
        self._intake.release(size)

    def _count(self, message: Message) -> None:
        if message.rows:
            metrics.EDGE_ROWS.labels(message.dataset).inc(message.rows)
            metrics.EDGE_BYTES.labels(message.dataset).inc(message.raw_bytes)
            metrics.EDGE_BLOCKS.labels(message.dataset).inc()

    def _on_trouble(self, trouble: str) -> None:
        self._intake.trouble = trouble

    def _on_failed(self, failure: Fatal) -> None:
        _LOG.error("the client stops: %s", failure)
        metrics.EDGE_ERRORS.labels("fatal").inc()
        self._publisher.end()
        self._intake.fail(failure)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._closed = True
        self._intake.shut()
        self._renewal.close()
        self._signals.close()
        self._publisher.end()
        for thread in self._threads:
            thread.join()
        self._publisher.drop()
        if self._own_spool and self._spool is not None:
            self._spool.close()
        living.discard(self)

    def _renew(self) -> None:
        """Speak to Kafka with the certificates and passwords that the files hold now; raises ``Misconfigured``."""
        self._publisher.renew(self._producer())
        if self._lookup is not None:
            self._lookup.renew()
        self._signals.renew()

    def _producer(self) -> Any:
        return self._make_producer(producer_config(self._settings, self._publisher.on_error))

    def forked(self) -> None:
        """In a fork's child, where no thread of ours lives: refuse every call; touch no lock, it may be copied held."""
        self._closed = True
        clock = SystemClock()
        none, room = Restraint(clock), {"block_rows": 1, "block_bytes": 1, "linger_seconds": 1, "memory_bytes": 0}
        self._intake = Intake(**room, clock=clock, restraint=none)
        self._intake.fail(Fatal("this client was made before the fork; make one in each process"))
        self.admission = Admission(self._intake, Forwarding(None, clock), Pacing.free(clock))
        if self._spool is not None:
            self._spool.forget()
