"""Sending the demo's records in both ways that an application has: the client library, and any Kafka client.

What it says of itself is the generator's own account: ``Sent`` holds every id that went out, and broken records, which
must end as dead letters, are counted apart.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from logflume.demo.judge import Sent
from logflume.demo.traffic import Batch, Traffic
from logflume.edge import BadRecord, Client
from logflume.errors import Misconfigured, Unavailable
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.settings import Settings

PLAIN_EVERY = 8
"""About one batch of so many goes out as plain Kafka records."""

_FLUSH_SECONDS = 60.0
_PIECE_BYTES = 1 << 20

BROKEN_LINES = (b'{"RayID": "cut in the mid', b"[1, 2, 3]", b"GET / HTTP/1.1")
"""Given to the client among good lines; it writes them to the dead letters."""

BROKEN_MESSAGES: tuple[tuple[bytes | None, bytes, list[tuple[str, bytes]]], ...] = (
    (b"acme-shop", b'{"RayID": "no end', []),
    (b"acme-shop", b"\xff\xfe not even text", []),
    (None, b'{"RayID": "whose?"}', []),
    (b"../etc", b'{"RayID": "no such tenant"}', []),
    (None, b"\x00\x01", [("logflume-block", b"99"), ("rows", b"1")]),
)
"""Produced as plain messages; the sorter writes them to the dead letters."""


@dataclass(slots=True)
class Fed:
    """What was sent, and what the sending cost."""

    sent: Sent = field(default_factory=Sent)
    by_client: int = 0
    by_plain: int = 0
    broken: int = 0
    bytes: int = 0
    """Of all records as they came."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of this process, without making the records up."""


def traffic(settings: Settings, traffic: Traffic, progress: Callable[[int], None]) -> Fed:
    """Send all of ``traffic`` and a few broken records; returns when Kafka holds everything."""
    fed = Fed()
    making = 0.0
    told: list[BadRecord] = []
    started, used = time.perf_counter(), time.process_time()
    plain = _Plain(settings)
    with Client(settings, on_bad=told.append) as client:
        batches = iter(traffic.batches())
        while True:
            before = time.thread_time()
            batch = next(batches, None)
            making += time.thread_time() - before
            if batch is None:
                break
            fed.sent.add(batch)
            fed.bytes += len(batch.data)
            if int(batch.ids[0]) % PLAIN_EVERY == 0:  # ids are as good as random
                plain.send(batch)
                fed.by_plain += batch.rows
            else:
                client.log_ndjson(batch.tenant, batch.dataset, batch.data)
                fed.by_client += batch.rows
            progress(batch.rows)
        client.log_ndjson(traffic.tenants[0], "http_requests", b"\n".join(BROKEN_LINES))
        plain.send_broken("http_requests")
        client.flush(_FLUSH_SECONDS)
        plain.flush()
    fed.broken = len(BROKEN_LINES) + len(BROKEN_MESSAGES)
    fed.seconds = time.perf_counter() - started
    fed.cpu_seconds = time.process_time() - used - making
    return fed


def access_log(settings: Settings, file: Path, tenant: str, progress: Callable[[int], None]) -> Fed:
    """Send an access log (combined format, gzip or not) as the HTTP requests of ``tenant``.

    Lines that are no log lines become dead letters: ``broken``. ``progress`` is told bytes.
    """
    fed = Fed()
    bad: list[BadRecord] = []
    started, used = time.perf_counter(), time.process_time()
    with Client(settings, on_bad=bad.append) as client:
        first = 1
        for piece in _lines(file):
            fed.by_client += client.log_combined(tenant, "http_requests", piece, first_line=first).rows
            fed.bytes += len(piece)
            first += piece.count(b"\n")
            progress(len(piece))
        client.flush(_FLUSH_SECONDS)
    fed.broken = len(bad)
    fed.by_client -= fed.broken
    fed.sent.add_rows(tenant, "http_requests", fed.by_client)
    fed.seconds = time.perf_counter() - started
    fed.cpu_seconds = time.process_time() - used
    return fed


def unpacked(file: Path) -> int:
    """How many bytes of text are in ``file``."""
    return sum(len(piece) for piece in _lines(file))


def _lines(file: Path) -> Iterator[bytes]:
    """Pieces of whole lines."""
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as text:
            rest = b""
            while piece := text.read(_PIECE_BYTES):
                whole, newline, left = piece.rpartition(b"\n")
                if newline:
                    yield rest + whole + newline
                    rest = left
                else:
                    rest += piece
            if rest:
                yield rest
    except (OSError, EOFError) as error:
        raise Misconfigured(f"{file} can't be read: {error}") from error


class _Plain:
    """An application that knows nothing of Logflume but a topic's name: a record a message, the tenant as key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(
            kafka_client.producer_config(settings)
            | {"linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": 200_000}
        )
        self._failed: list[str] = []

    def send(self, batch: Batch) -> None:
        """Produce each record of ``batch``."""
        topic, key = topics.ingest_topic(self._settings, batch.dataset), batch.tenant.encode()
        for record in batch.records():
            self._produce(topic, record, key, [])
        self._producer.poll(0)

    def send_broken(self, dataset: str) -> None:
        """Produce what nobody can read."""
        for key, value, headers in BROKEN_MESSAGES:
            self._produce(topics.ingest_topic(self._settings, dataset), value, key, headers)

    def flush(self) -> None:
        """Wait until Kafka has it all; ``Unavailable`` when it does not take everything."""
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._failed:
            raise Unavailable(f"Kafka did not take {left + len(self._failed)} plain records {self._failed[:1]}")

    def _produce(self, topic: str, value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=list(headers), on_delivery=self._report)
                return
            except BufferError:  # its queue is full
                self._producer.poll(0.1)

    def _report(self, error: object, _: object) -> None:
        if error is not None:
            self._failed.append(str(error))
