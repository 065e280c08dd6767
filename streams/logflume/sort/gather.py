"""From the messages of an ingest topic to rows in columns: blocks and plain records alike, poison set aside.

A pure function of the messages: whoever reads a range again gets the same rows with the same coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from logflume.block import extra, reasons
from logflume.block.schema import EXTRA, RECEIVED, ingest_schema, without_empty
from logflume.block.wire import decode, is_barrier, is_block
from logflume.errors import Misconfigured, Poison
from logflume.formats import JsonParser, to_records
from logflume.kafka.deadletters import DeadLetter, deleted
from logflume.model import Dataset, check_tenant_name
from logflume.sort.transport import Chunk

_ALWAYS = (RECEIVED.name, EXTRA.name)
_NO_TENANT = -1
_MILLISECOND_NS = 1_000_000
_NAMES_REMEMBERED = 200_000


@dataclass(frozen=True)
class Gathered:
    """Rows in the order of their arrival.

    ``batch`` has ``_received``, those of the dataset's fields that have a value, and ``_extra``. Beside it, row by
    row: ``codes`` (int32, an index into ``tenants``) and the coordinates ``partitions`` (int32), ``offsets`` (int64)
    and ``rows`` (int32).
    """

    batch: pa.RecordBatch
    tenants: list[str]
    codes: npt.NDArray[np.int32]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    letters: list[DeadLetter]


@dataclass(frozen=True)
class _Part:
    """Rows of one message, or of neighbouring plain messages."""

    batch: pa.RecordBatch
    codes: npt.NDArray[np.int32]
    partition: int
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]

    def only(self, mask: npt.NDArray[np.bool_]) -> _Part:
        """The rows of ``mask``."""
        rows = self.batch.filter(pa.array(mask))
        return _Part(rows, self.codes[mask], self.partition, self.offsets[mask], self.rows[mask])


class Gatherer:
    """Reads units of one dataset. It keeps what the parser learned about the records; for one thread at a time."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._parser = JsonParser(dataset)
        ingest = ingest_schema(dataset)
        self._schema = pa.schema([column for column in ingest if column.name != "_tenant"], metadata=ingest.metadata)
        self._names: dict[bytes, str | None] = {}

    def gather(self, chunks: Sequence[Chunk]) -> Gathered:
        """Read every message of ``chunks``; what can't be read becomes a dead letter, never an error."""
        tenants: dict[str, int] = {}
        letters: list[DeadLetter] = []
        parts: list[_Part] = []
        for chunk in chunks:
            if chunk.lost is not None:
                letters.append(
                    deleted("sort", self._dataset.name, chunk.topic, chunk.topic_id, chunk.partition, *chunk.lost)
                )
            told = [record for record in chunk.records if not is_barrier(record.headers)]
            for blocks, records in groupby(told, key=lambda record: is_block(record.headers)):
                read = self._blocks if blocks else self._plain
                parts.extend(read(chunk, list(records), tenants, letters))
        parts = [part for part in parts if part.batch.num_rows]
        if not parts:
            parts = [_empty(self._schema)]
        return Gathered(
            batch=without_empty(pa.concat_batches([part.batch for part in parts]), _ALWAYS),
            tenants=list(tenants),
            codes=np.concatenate([part.codes for part in parts]),
            partitions=np.concatenate([np.full(len(part.codes), part.partition, np.int32) for part in parts]),
            offsets=np.concatenate([part.offsets for part in parts]),
            rows=np.concatenate([part.rows for part in parts]),
            letters=letters,
        )

    def _blocks(
        self, chunk: Chunk, records: list[ConsumerRecord], tenants: dict[str, int], letters: list[DeadLetter]
    ) -> Iterator[_Part]:
        for record in records:
            try:
                _, batch = decode(record.value or b"", record.headers, self._dataset)
            except Poison as poison:
                letters.append(self._letter(chunk, record, poison))
                continue
            column = batch.column("_tenant")
            names = [name.encode() for name in column.dictionary.to_pylist()]
            indices = column.indices.to_numpy()
            codes = self._codes(names, indices, tenants)
            part = _Part(
                batch.select(self._schema.names),
                codes,
                chunk.partition,
                np.full(len(codes), record.offset, np.int64),
                np.arange(len(codes), dtype=np.int32),
            )
            nameless = codes == _NO_TENANT
            if nameless.any():
                letters.extend(
                    self._nameless(chunk, record, part.only(nameless), [names[i] for i in indices[nameless]])
                )
                part = part.only(~nameless)
            yield part

    def _nameless(
        self, chunk: Chunk, record: ConsumerRecord, rows: _Part, names: Sequence[bytes]
    ) -> Iterator[DeadLetter]:
        """Rows of a block whose tenant no tenant can be called; the block's other rows go on."""
        for row, name, fields in zip(rows.rows.tolist(), names, to_records(rows.batch), strict=True):
            poison = Poison(reasons.BAD_TENANT, f"{name[:140]!r} is no tenant's name")
            letter = self._letter(chunk, record, poison)
            yield replace(letter, row=row, raw=extra.dumps({"_tenant": name.decode()} | fields).encode(), headers=())

    def _plain(
        self, chunk: Chunk, records: list[ConsumerRecord], tenants: dict[str, int], letters: list[DeadLetter]
    ) -> Iterator[_Part]:
        codes = self._plain_codes(records, tenants)
        wanted = codes != _NO_TENANT
        if not wanted.all():
            for at in np.flatnonzero(~wanted):
                letters.append(self._letter(chunk, records[at], _no_tenant(records[at].key)))
            records = [records[at] for at in np.flatnonzero(wanted)]
            codes = codes[wanted]
        parsed = self._parser.parse([record.value or b"" for record in records])
        for bad in parsed.bad:
            letters.append(self._letter(chunk, records[bad.row], Poison(bad.reason, bad.detail)))
        if not parsed.batch.num_rows:
            return
        received = np.array([record.timestamp for record in records], np.int64)[parsed.rows] * _MILLISECOND_NS
        columns = [pa.array(received, pa.int64()).cast(self._schema.field("_received").type), *parsed.batch.columns]
        yield _Part(
            pa.RecordBatch.from_arrays(columns, schema=self._schema),
            codes[parsed.rows],
            chunk.partition,
            np.array([record.offset for record in records], np.int64)[parsed.rows],
            np.zeros(len(parsed.rows), np.int32),
        )

    def _plain_codes(self, records: list[ConsumerRecord], tenants: dict[str, int]) -> npt.NDArray[np.int32]:
        # A missing key and an empty one mean the same here: there is no tenant of that name.
        keys = pa.array([record.key or b"" for record in records], pa.binary()).dictionary_encode()
        return self._codes(keys.dictionary.to_pylist(), keys.indices.to_numpy(), tenants)

    def _codes(
        self, names: list[bytes], indices: npt.NDArray[np.int32], tenants: dict[str, int]
    ) -> npt.NDArray[np.int32]:
        """Translate ``indices`` into ``names`` to indices into ``tenants``, which grows; -1 for impossible names."""
        if len(self._names) > _NAMES_REMEMBERED:
            self._names.clear()
        table = np.full(len(names), _NO_TENANT, np.int32)
        for at in np.unique(indices).tolist():
            name = self._tenant(names[at])
            if name is not None:
                table[at] = tenants.setdefault(name, len(tenants))
        return table[indices]

    def _tenant(self, raw: bytes) -> str | None:
        """Return the tenant that ``raw`` names, or None when no tenant can be called so."""
        if raw not in self._names:
            try:
                self._names[raw] = check_tenant_name(raw.decode())
            except (UnicodeDecodeError, Misconfigured):
                self._names[raw] = None
        return self._names[raw]

    def _letter(self, chunk: Chunk, record: ConsumerRecord, poison: Poison) -> DeadLetter:
        return DeadLetter(
            reason=poison.reason,
            stage="sort",
            tenant=self._tenant(record.key or b""),
            dataset=self._dataset.name,
            raw=record.value or b"",
            detail=poison.detail,
            topic=chunk.topic,
            topic_id=chunk.topic_id,
            partition=chunk.partition,
            offset=record.offset,
            key=record.key,
            headers=tuple(record.headers),
        )


def _no_tenant(key: bytes | None) -> Poison:
    if not key:
        return Poison(reasons.NO_TENANT, "a plain record names its tenant in the message's key, and this one has none")
    return Poison(reasons.BAD_TENANT, f"the key {key[:140]!r} is no tenant's name")


def _empty(schema: pa.Schema) -> _Part:
    nothing = pa.RecordBatch.from_pylist([], schema=schema)
    return _Part(nothing, np.empty(0, np.int32), 0, np.empty(0, np.int64), np.empty(0, np.int32))
