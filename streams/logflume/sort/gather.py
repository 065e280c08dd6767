"""From the messages of an ingest topic to rows in columns: blocks and plain records alike, poison set aside.

A pure function of the messages and of the schemas that they name: whoever reads a range again gets the same rows with
the same coordinates. (A schema that was registered only after its messages were read may turn their letters into rows.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from logflume.block import extra, marker, reasons
from logflume.block.schema import EXTRA, RECEIVED, ingest_schema, without_empty
from logflume.block.wire import decode, is_barrier, is_block
from logflume.errors import Poison
from logflume.formats import to_records
from logflume.kafka.deadletters import DeadLetter, deleted
from logflume.model import Dataset
from logflume.sort.parts import NO_TENANT, Part, Tenants, joined, letter
from logflume.sort.plain import PlainReader
from logflume.sort.policing import Policing
from logflume.sort.schemas import Schemas
from logflume.sort.transport import Chunk
from logflume.sort.unpacking import Unreadable

_ALWAYS = (RECEIVED.name, EXTRA.name)


@dataclass(frozen=True)
class Gathered:
    """Rows in the order of their arrival.

    ``batch`` has ``_received``, those of the dataset's fields that have a value, and ``_extra``. Beside it, row by
    row: ``codes`` (int32, an index into ``tenants``) and the coordinates ``partitions`` (int32), ``offsets`` (int64)
    and ``rows`` (int32). ``generation`` is the highest one that a block names; ``marked`` are those whose markers of
    routing stand among the messages.
    """

    batch: pa.RecordBatch
    tenants: list[str]
    codes: npt.NDArray[np.int32]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    letters: list[DeadLetter]
    generation: int = 0
    marked: frozenset[int] = frozenset()


class Gatherer:
    """Reads units of one dataset. It keeps what the parser learned about the records; for one thread at a time."""

    def __init__(self, dataset: Dataset, schemas: Schemas | None = None, policing: Policing | None = None) -> None:
        """``schemas``: what values may be written by; without them only the dataset's own schema is known."""
        self._dataset = dataset
        ingest = ingest_schema(dataset)
        self._schema = pa.schema([column for column in ingest if column.name != "_tenant"], metadata=ingest.metadata)
        self._tenants = Tenants()
        self._schemas = schemas or Schemas(dataset)
        self._generation = 0
        self._marked: set[int] = set()
        self._plain = PlainReader(dataset, self._schemas, self._tenants, self._schema, policing)

    def gather(self, chunks: Sequence[Chunk]) -> Gathered:
        """Read every message of ``chunks``; what can't be read becomes a dead letter, never an error.

        Raises:
            Retryable: a schema registry can't be asked; nothing has come of the call, and it may be made again.
        """
        self._tenants.begin()
        self._schemas.begin()
        self._generation = 0
        self._marked = set()
        letters: list[DeadLetter] = []
        parts: list[Part] = []
        for chunk in chunks:
            if chunk.lost is not None:
                letters.append(
                    deleted("sort", self._dataset.name, chunk.topic, chunk.topic_id, chunk.partition, *chunk.lost)
                )
            for blocks, records in self._runs(chunk, letters):
                read = self._blocks if blocks else self._plain.read
                parts.extend(read(chunk, records, letters))
        parts = [part for part in parts if part.batch.num_rows] or [_empty(self._schema)]
        return Gathered(
            batch=without_empty(joined([part.batch for part in parts], self._schema), _ALWAYS),
            tenants=self._tenants.names(),
            codes=np.concatenate([part.codes for part in parts]),
            partitions=np.concatenate([np.full(len(part.codes), part.partition, np.int32) for part in parts]),
            offsets=np.concatenate([part.offsets for part in parts]),
            rows=np.concatenate([part.rows for part in parts]),
            letters=letters,
            generation=self._generation,
            marked=frozenset(self._marked),
        )

    def _runs(self, chunk: Chunk, letters: list[DeadLetter]) -> Iterator[tuple[bool, list[ConsumerRecord]]]:
        """Give neighbouring messages that are blocks, or that are none; what is neither goes to ``letters``."""
        odd = [each for each in chunk.records if each.headers or type(each.value) is Unreadable]
        if not odd:
            yield False, chunk.records
            return
        letters += [self._unreadable(chunk, each) for each in odd if type(each.value) is Unreadable]
        told = [each for each in chunk.records if type(each.value) is not Unreadable and not self._is_note(each)]
        for blocks, records in groupby(told, key=lambda record: is_block(record.headers)):
            yield blocks, list(records)

    def _is_note(self, record: ConsumerRecord) -> bool:
        """Whether a message has no rows by intent: an edge's barrier, or a marker of routing, which is noted."""
        if generation := marker.generation_of(record.value, record.headers):
            self._marked.add(generation)
            return True
        return is_barrier(record.headers)

    def _blocks(self, chunk: Chunk, records: Sequence[ConsumerRecord], letters: list[DeadLetter]) -> Iterator[Part]:
        for record in records:
            try:
                header, batch = decode(record.value or b"", record.headers, self._dataset)
            except Poison as poison:
                letters.append(self._letter(chunk, record, poison))
                continue
            self._generation = max(self._generation, header.generation)
            column = batch.column("_tenant")
            names = [name.encode() for name in column.dictionary.to_pylist()]
            indices = column.indices.to_numpy()
            codes = self._tenants.coded(names, indices)
            part = Part(
                batch.select(self._schema.names),
                codes,
                chunk.partition,
                np.full(len(codes), record.offset, np.int64),
                np.arange(len(codes), dtype=np.int32),
            )
            nameless = codes == NO_TENANT
            if nameless.any():
                letters.extend(
                    self._nameless(chunk, record, part.only(nameless), [names[i] for i in indices[nameless]])
                )
                part = part.only(~nameless)
            yield part

    def _nameless(
        self, chunk: Chunk, record: ConsumerRecord, rows: Part, names: Sequence[bytes]
    ) -> Iterator[DeadLetter]:
        """Rows of a block whose tenant no tenant can be called; the block's other rows go on."""
        for row, name, fields in zip(rows.rows.tolist(), names, to_records(rows.batch), strict=True):
            poison = Poison(reasons.BAD_TENANT, f"{name[:140]!r} is no tenant's name")
            whole = self._letter(chunk, record, poison)
            yield replace(whole, row=row, raw=extra.dumps({"_tenant": name.decode()} | fields).encode(), headers=())

    def _unreadable(self, chunk: Chunk, record: ConsumerRecord) -> DeadLetter:
        """A batch of messages that nobody can read, as one letter at its last offset."""
        batch: Unreadable = record.value
        poison = Poison(batch.poison.reason, f"offsets {batch.first} to {batch.last}: {batch.poison.detail}")
        return replace(self._letter(chunk, record, poison), raw=bytes(batch))

    def _letter(self, chunk: Chunk, record: ConsumerRecord, poison: Poison) -> DeadLetter:
        return letter(self._dataset.name, chunk, record, poison, self._tenants)


def _empty(schema: pa.Schema) -> Part:
    nothing = pa.RecordBatch.from_pylist([], schema=schema)
    return Part(nothing, np.empty(0, np.int32), 0, np.empty(0, np.int64), np.empty(0, np.int32))
