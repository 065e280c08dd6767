"""Plain messages, those of any Kafka client, to rows: JSON, lines of JSON, and Avro by schemas that they name.

P1  What becomes of a message is a function of its bytes (key and headers included) and of the schemas that it names,
    which never change: whoever reads it again, among whatever neighbours, gets the same rows and the same letters. Only
    an id that a registry did not know yet may be known to a later reader (``Schemas``, S3; ``Sorter``, B7).
P2  Record ``n`` of a message, counted from 0 with the bad ones, has the row number ``n``: its coordinate for ever.
P3  A bad record costs only itself; a message whose records can't be told apart is one dead letter.
P4  ``Retryable`` is raised when a schema registry can't be asked, before anything was given back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from logflume.block import reasons
from logflume.block.schema import EXTRA, RECEIVED, without_empty
from logflume.block.wire import MOST_ROWS
from logflume.errors import Poison
from logflume.formats import JsonParser
from logflume.formats.avro_body import BodyReader
from logflume.formats.messages import of_messages
from logflume.kafka.deadletters import DeadLetter
from logflume.model import Dataset
from logflume.sort.parts import NO_TENANT, Part, Tenants, joined, letter, named_tenant
from logflume.sort.policing import Policing
from logflume.sort.recognise import DATASET, FRAMES, TENANT, Json, recognise
from logflume.sort.schemas import Id, Schemas
from logflume.sort.transport import Chunk

MOST_VALUE_BYTES: Final = 16_000_000
"""Of one message, unpacked: four times the topic's limit. A JSON value takes up to thirty times its bytes."""

_PIECE_BYTES: Final = 4_000_000
"""Messages that are read at once; the work on their lines takes some 50 bytes a line, and a line may be two bytes."""
_MILLISECOND_NS: Final = 1_000_000
_ALWAYS: Final = (EXTRA.name,)


@dataclass(frozen=True)
class _Sorted:
    """Some messages by what they are: numbers of messages, and what is read of each."""

    json: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    """Which of ``texts`` are lines in any case."""
    written: dict[Id, list[int]] = field(default_factory=lambda: defaultdict(list))
    bodies: dict[Id, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    readers: dict[Id, BodyReader] = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    """Rows of some messages: ``owners`` are the messages' numbers, ``rows`` the records' numbers in them."""

    batch: pa.RecordBatch
    owners: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]


class PlainReader:
    """Reads the plain messages of one dataset. It keeps what the parser learned; for one thread at a time."""

    def __init__(
        self,
        dataset: Dataset,
        schemas: Schemas,
        tenants: Tenants,
        columns: pa.Schema,
        policing: Policing | None = None,
    ) -> None:
        """``columns``: ``_received``, the dataset's fields, ``_extra``. ``policing`` looks on."""
        self._policing = policing
        self._dataset = dataset
        self._schemas = schemas
        self._tenants = tenants
        self._columns = columns
        self._parser = JsonParser(dataset)

    def read(self, chunk: Chunk, records: Sequence[ConsumerRecord], letters: list[DeadLetter]) -> Iterator[Part]:
        """Give the rows of ``records``, neighbouring messages of ``chunk``; what can't be read goes to ``letters``."""
        sizes = np.cumsum(np.fromiter((len(record.value or b"") for record in records), np.int64, len(records)))
        first = 0
        while first < len(records):
            before = int(sizes[first - 1]) if first else 0
            last = max(int(np.searchsorted(sizes, before + _PIECE_BYTES, side="right")), first + 1)
            part = self._piece(chunk, records[first:last], letters)
            if part is not None:
                yield part
            first = last

    def _piece(self, chunk: Chunk, records: Sequence[ConsumerRecord], letters: list[DeadLetter]) -> Part | None:
        codes = self._codes(records)
        if self._policing is not None:
            sizes = np.fromiter((len(record.value or b"") for record in records), np.int64, len(records))
            self._policing.look(self._dataset.name, self._tenants.names(), codes, sizes)
        refused: dict[int, Poison] = {at: _no_tenant(records[at]) for at in np.flatnonzero(codes == NO_TENANT).tolist()}
        found = self._sorted(records, refused)
        reads = [*self._json(chunk, records, found, refused, letters)]
        for id, owners in found.written.items():
            reads += self._written(found.readers[id], np.array(owners, np.int64), found.bodies[id], refused)
        letters += [self._letter(chunk, records[at], poison) for at, poison in sorted(refused.items())]
        reads = [read for read in reads if read.batch.num_rows]
        return self._part(chunk, records, codes, reads) if reads else None

    def _codes(self, records: Sequence[ConsumerRecord]) -> npt.NDArray[np.int32]:
        # A missing name and an empty one mean the same here: there is no tenant of that name.
        names = [named_tenant(record) if record.headers else record.key or b"" for record in records]
        coded = pa.array(names, pa.binary()).dictionary_encode()
        return self._tenants.coded(coded.dictionary.to_pylist(), coded.indices.to_numpy())

    def _sorted(self, records: Sequence[ConsumerRecord], refused: dict[int, Poison]) -> _Sorted:
        """Say what each message is that is not refused already; more may be refused."""
        values = [record.value or b"" for record in records]
        if not refused and not any(record.headers for record in records) and _are_json(values):
            return _Sorted(list(range(len(values))), values)
        found = _Sorted()
        for at, (record, value) in enumerate(zip(records, values, strict=True)):
            if at in refused:
                continue
            if len(value) > MOST_VALUE_BYTES:
                refused[at] = Poison(reasons.TOO_LARGE, f"{len(value)} bytes; a message has {MOST_VALUE_BYTES} at most")
            elif record.headers or (value and value[0] in FRAMES):
                try:
                    self._place(found, at, value, dict(record.headers))
                except Poison as poison:
                    refused[at] = poison
            else:
                found.json.append(at)
                found.texts.append(value)
        return found

    def _place(self, found: _Sorted, at: int, value: bytes, headers: dict[str, bytes | None]) -> None:
        said = (headers.get(DATASET) or b"").decode("utf-8", "backslashreplace")
        if said and said != self._dataset.name:
            raise Poison(
                reasons.OTHER_DATASET, f"header {DATASET} is {said[:80]!r}, on the topic of {self._dataset.name}"
            )
        kind = recognise(value, headers)
        if not isinstance(kind, Json):
            reader = self._schemas.reader(kind.id)
            if reader is not None:
                found.readers[kind.id] = reader
                found.written[kind.id].append(at)
                found.bodies[kind.id].append(value[kind.start :])
                return
            value = value[kind.start :]
        elif kind.lines:
            found.lines.add(len(found.texts))
        found.json.append(at)
        found.texts.append(value)

    def _json(
        self,
        chunk: Chunk,
        records: Sequence[ConsumerRecord],
        found: _Sorted,
        refused: dict[int, Poison],
        letters: list[DeadLetter],
    ) -> Iterator[_Read]:
        if not found.texts:
            return
        messages = of_messages(found.texts, found.lines)
        owning = np.array(found.json, np.int64)
        refused.update({found.json[at]: poison for at, poison in messages.spoiled.items()})
        owners, numbers = messages.owners(), messages.numbers()
        for first in range(0, len(owners), MOST_ROWS):
            parsed = self._parser.parse(messages.lines.between(first, first + MOST_ROWS))
            for bad in parsed.bad:
                at = int(owners[first + bad.row])
                poison = Poison(bad.reason, bad.detail)
                if messages.counts[at] == 1:
                    refused[found.json[at]] = poison
                else:
                    whole = self._letter(chunk, records[found.json[at]], poison)
                    letters.append(replace(whole, row=int(numbers[first + bad.row]), raw=bad.raw))
            rows = parsed.rows + first
            yield _Read(without_empty(parsed.batch, _ALWAYS), owning[owners[rows]], numbers[rows])

    def _written(
        self, reader: BodyReader, owners: npt.NDArray[np.int64], bodies: list[bytes], refused: dict[int, Poison]
    ) -> Iterator[_Read]:
        for first in range(0, len(bodies), MOST_ROWS):
            parsed = reader.parse(bodies[first : first + MOST_ROWS])
            refused.update({int(owners[first + bad.row]): Poison(bad.reason, bad.detail) for bad in parsed.bad})
            rows = parsed.rows + first
            yield _Read(without_empty(parsed.batch, _ALWAYS), owners[rows], np.zeros(len(rows), np.int32))

    def _part(
        self,
        chunk: Chunk,
        records: Sequence[ConsumerRecord],
        codes: npt.NDArray[np.int32],
        reads: Sequence[_Read],
    ) -> Part:
        batch = joined([read.batch for read in reads], self._columns)
        owners = np.concatenate([read.owners for read in reads])
        rows = np.concatenate([read.rows for read in reads])
        if len(reads) > 1:
            # Rows stand in the order of their coordinates: a sorted block is cut by that order.
            order = np.lexsort((rows, owners))
            batch, owners, rows = batch.take(pa.array(order)), owners[order], rows[order]
        stamps = np.array([record.timestamp for record in records], np.int64)
        received = pa.array(stamps[owners] * _MILLISECOND_NS, pa.int64()).cast(RECEIVED.type)
        offsets = np.array([record.offset for record in records], np.int64)
        schema = pa.schema([RECEIVED, *batch.schema], metadata=self._columns.metadata)
        columns = pa.RecordBatch.from_arrays([received, *batch.columns], schema=schema)
        return Part(columns, codes[owners], chunk.partition, offsets[owners], rows)

    def _letter(self, chunk: Chunk, record: ConsumerRecord, poison: Poison) -> DeadLetter:
        return letter(self._dataset.name, chunk, record, poison, self._tenants)


def _are_json(values: list[bytes]) -> bool:
    """Whether none of ``values`` is framed, nor too large: so it is with nearly all that come without headers."""
    return FRAMES.isdisjoint(b"".join([value[:1] for value in values])) and max(map(len, values)) <= MOST_VALUE_BYTES


def _no_tenant(record: ConsumerRecord) -> Poison:
    by_header = any(name == TENANT for name, _ in record.headers or ())
    name = named_tenant(record)
    where = f"header {TENANT}" if by_header else "key"
    if not name:
        return Poison(reasons.NO_TENANT, f"a plain record names its tenant in the header {TENANT} or in its key")
    return Poison(reasons.BAD_TENANT, f"the {where} {name[:140]!r} is no tenant's name")
