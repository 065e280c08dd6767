"""Rows of a tenant that still wait in Kafka: what its table does not have yet, each once.

LI1 With the table's snapshot they are each row once. Where to read from (``begin``) is looked up before the snapshot:
    whatever lies before the stored position is in every later snapshot, unless its table is parked, which has a
    position of its own; and of what lies behind it, the table's ``txn`` says which rows it has.
LI2 They are read through ``SortedPartition``, as the sink reads them: repeats are dropped, nothing is read past a hole.
LI3 At most ``explore_live_bytes`` are held, and it ends after ``explore_live_seconds``; what is missing then is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from logflume.config import Source
from logflume.errors import Hole, Misconfigured, Refused, Retryable
from logflume.explore.gateway import Object
from logflume.kafka import client, topics
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedBlock, SortedPartition
from logflume.kafka.stored import StoredPositions
from logflume.model.dataset import Dataset
from logflume.model.route import places
from logflume.settings import Settings
from logflume.table import parquet
from logflume.table.schema import DATE

_EMPTY_FETCH_MS: Final = 20
_ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_NOT_WHOLE: Final = "what waits in Kafka is not whole just now: the sinks can't read on there either"
_IDLE: Final = 4
"""Consumers that are kept for the next question: a new one takes a tenth of a second until it has its first row."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where to read one sorted partition from, for one tenant. ``app_id``: by which a table says how far it has it."""

    topic: str
    topic_id: str
    partition: int
    position: Position

    @property
    def app_id(self) -> str:
        """As the sink's commits name it."""
        return f"logflume/{self.topic_id}/{self.partition}"


@dataclass(frozen=True, slots=True)
class File:
    """Waiting rows as a Parquet file. ``date``: the ISO date that they are filed under."""

    date: str
    data: pa.Buffer


@dataclass(frozen=True, slots=True)
class Waiting:
    """The rows that were found. ``bytes``: in Arrow. ``partial``: why there may be more; empty: these are all."""

    rows: int = 0
    bytes: int = 0
    partial: str = ""
    files: tuple[File, ...] = ()

    def objects(self, name: str) -> Mapping[str, Object]:
        """Return them as further files of a table called ``name``, which the gateway has from here."""
        return {
            f"{name}/{DATE}={file.date}/waiting-{number}.parquet": Object("", file.data.size, memoryview(file.data))
            for number, file in enumerate(self.files)
        }


def together(waiting: Iterable[Waiting]) -> Waiting:
    """Return what there is to say of several tables' at once."""
    each = list(waiting)
    partial = next((one.partial for one in each if one.partial), "")
    return Waiting(sum(one.rows for one in each), sum(one.bytes for one in each), partial)


@dataclass
class _Gathered:
    parts: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    partial: str = ""


class Live:
    """See LI1 to LI3. Safe for threads; a call blocks on Kafka. ``close`` when done."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._lock = threading.Lock()
        self._admin: AdminClient | None = None
        self._stored: StoredPositions | None = None
        self._idle: list[Consumer] = []

    def close(self) -> None:
        """Let the clients go; nothing may be asked any more."""
        with self._lock:
            self._forget()

    def begin(self, tenant: str, dataset: str) -> list[Begin]:
        """Look up where the tenant's rows may wait; none when it does not keep the dataset.

        Raises ``Misconfigured`` without Kafka, ``Retryable`` when it does not answer, ``Unconfigured``.
        """
        configuration = self._source.current()
        if not configuration.wants(tenant, dataset):
            return []
        topic = topics.sorted_topic(self._settings, dataset)
        with self._lock, self._anew_when_it_fails():
            if self._admin is None:
                self._settings.require("kafka_bootstrap")
                self._admin = client.admin(self._settings)
            cursors_topic = topics.cursors_topic(self._settings)
            present = topics.present(self._admin, [topic, cursors_topic])
            if missing := {topic, cursors_topic} - set(present):
                raise Misconfigured(f"Kafka has no topic {min(missing)}; `logflume topics apply` makes it")
            if self._stored is None:
                self._stored = StoredPositions(self._settings, present[cursors_topic].partitions)
            about = present[topic]
            routes = configuration.routes(dataset).get(tenant, ())
            numbers = sorted(places(dataset, tenant, routes, about.partitions))
            self._stored.refresh(topic, numbers, _ANSWER_SECONDS)
            return [
                Begin(topic, about.id, number, self._position(self._stored, topic, about.id, number, tenant))
                for number in numbers
            ]

    def read(self, begins: list[Begin], progress: Mapping[str, int | None], tenant: str, dataset: Dataset) -> Waiting:
        """Read what waits beyond ``progress`` (by ``app_id``: the next sorted offset of a snapshot that was read after
        ``begin``), up to the log's end as it is now. Raises ``Retryable``.
        """
        found = _Gathered()
        deadline = time.monotonic() + self._settings.explore_live_seconds
        for begin in begins:
            with self._consumer() as consumer:
                for block in self._blocks(consumer, begin, deadline, found):
                    if block.offset < (progress.get(begin.app_id) or 0):
                        continue
                    rows = own(block, tenant)
                    if rows is None:
                        continue
                    if found.bytes + rows.nbytes > self._settings.explore_live_bytes:
                        found.partial = (
                            f"more than the {self._settings.explore_live_bytes / 1e6:,.0f} MB that may be held wait in "
                            "Kafka"
                        )
                        break
                    found.parts.append(rows)
                    found.rows += rows.num_rows
                    found.bytes += rows.nbytes
            if found.partial:
                break
        return Waiting(found.rows, found.bytes, found.partial, tuple(_files(found.parts, dataset)))

    def _position(self, stored: StoredPositions, topic: str, topic_id: str, number: int, tenant: str) -> Position:
        """Where a sink would read on for this tenant's table (``sink.placing`` has the reasons)."""
        cursor = stored.position(topic, number)
        if cursor is None:
            return Position(0)
        if cursor.topic_id != topic_id:
            return replace(cursor.position, offset=0, floor=1, since=frozenset())
        waits = stored.parked(topic, number, tenant)
        return waits.position if waits is not None and waits.topic_id == topic_id else cursor.position

    def _blocks(self, consumer: Consumer, begin: Begin, deadline: float, found: _Gathered) -> Iterator[SortedBlock]:
        """Yield the blocks of a partition up to its end as it is now, or say in ``found`` why not all."""
        where = f"{begin.topic}[{begin.partition}]"
        at = TopicPartition(begin.topic, begin.partition)
        start, end = consumer.get_watermark_offsets(at, timeout=_ANSWER_SECONDS, cached=False)
        position = begin.position if begin.position.offset >= start else begin.position.lost_until(start)
        if position.offset > end:
            _log.warning("explore.live-beyond-end", where=where, position=position.offset, end=end)
            found.partial = _NOT_WHOLE
            return
        reader = SortedPartition(begin.topic, begin.topic_id, begin.partition, position)
        if position.offset < end:
            consumer.assign([TopicPartition(begin.topic, begin.partition, position.offset)])
        while reader.position.offset < end:
            if time.monotonic() > deadline:
                found.partial = (
                    f"what waits in Kafka could not be read within {self._settings.explore_live_seconds:g} s"
                )
                return
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            if (message.offset() or 0) < reader.position.offset and message.error() is None:
                continue
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF or isinstance(client.typed(error, where), Retryable):
                    continue
                raise client.typed(error, f"reading {where}")
            try:
                block = read(reader, message)
            except (Hole, Refused) as trouble:
                _log.warning("explore.live-stopped", trouble=str(trouble))
                found.partial = _NOT_WHOLE
                return
            if block is not None:
                yield block

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        """One for this thread, which reads nothing before and after."""
        with self._lock:
            consumer = self._idle.pop() if self._idle else None
        if consumer is None:
            consumer = _consumer(self._settings)
        try:
            yield consumer
            consumer.unassign()
        except KafkaException as error:
            consumer.close()
            raise client.typed(error, "reading what waits in Kafka") from error
        except BaseException:
            consumer.close()
            raise
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(consumer)
                return
        consumer.close()

    @contextmanager
    def _anew_when_it_fails(self) -> Iterator[None]:
        """A client that could not be asked may never be again: the next question gets others."""
        try:
            yield
        except KafkaException as error:
            self._forget()
            raise client.typed(error, "looking up what waits in Kafka") from error
        except Retryable:
            self._forget()
            raise

    def _forget(self) -> None:
        if self._stored is not None:
            self._stored.close()
        for consumer in self._idle:
            consumer.close()
        self._admin, self._stored, self._idle = None, None, []


def _consumer(settings: Settings) -> Consumer:
    config = client.consumer_config(
        settings,
        client.reader_group(settings, "asks"),
        client_id="logflume-explore",
        fetch_wait_max_ms=_EMPTY_FETCH_MS,
        queued_max_messages_kbytes=16 * 1024,
        fetch_max_bytes=16 * 1024 * 1024,
    )
    return Consumer(config)


def read(reader: SortedPartition, message: Message) -> SortedBlock | None:
    """Have ``reader`` take a message of Kafka's. Raises as it does, and ``Refused`` at a gap in the log."""
    offset, value, headers = message.offset(), message.value(), message.headers() or ()
    assert offset is not None
    assert not isinstance(headers, Mapping)
    if offset != reader.position.offset:
        raise Refused(
            f"{reader.topic}[{reader.partition}]: offset {offset} came where {reader.position.offset} was next: the "
            "log has a gap"
        )
    named = [(name, content if isinstance(content, bytes) else b"") for name, content in headers]
    return reader.read(offset, message.timestamp()[1], value or b"", named)


def own(block: SortedBlock, tenant: str) -> pa.Table | None:
    """The tenant's rows of a block, in memory of their own."""
    if tenant not in block.runs.tenants:
        return None
    at = block.runs.tenants.index(tenant)
    start = sum(block.runs.rows[:at])
    rows = pa.table(block.batch.take(pa.array(np.arange(start, start + block.runs.rows[at]))))
    topic = rows.schema.get_field_index("_src_topic")
    return rows.set_column(topic, "_src_topic", rows.column(topic).cast(pa.string()))


def _files(parts: list[pa.Table], dataset: Dataset) -> Iterator[File]:
    """As the sink would write them: a file a date."""
    if parts:
        rows = parquet.at_rest(pa.concat_tables(parts, promote_options="default"), dataset)
        for date, part in parquet.by_date(rows, dataset.time_field):
            yield File(date, parquet.encode(part, dataset).data)
