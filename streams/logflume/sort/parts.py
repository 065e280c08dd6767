"""Rows on their way through the gatherer: columns, the tenant of each row as a number, its coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from logflume.errors import Misconfigured, Poison
from logflume.kafka.deadletters import DeadLetter
from logflume.model import check_tenant_name
from logflume.sort.recognise import TENANT
from logflume.sort.transport import Chunk

NO_TENANT = -1
_NAMES_REMEMBERED = 200_000


@dataclass(frozen=True)
class Part:
    """Rows of one message, or of neighbouring plain messages, in the order of their coordinates.

    ``batch`` has the dataset's columns as the gatherer hands them on, or those of them that hold a value. ``codes``
    (int32) are indices into the unit's tenants.
    """

    batch: pa.RecordBatch
    codes: npt.NDArray[np.int32]
    partition: int
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]

    def only(self, mask: npt.NDArray[np.bool_]) -> Part:
        """The rows of ``mask``."""
        rows = self.batch.filter(pa.array(mask))
        return Part(rows, self.codes[mask], self.partition, self.offsets[mask], self.rows[mask])


class Tenants:
    """Which tenants a unit has, numbered as they come. What names were found possible outlives the unit."""

    def __init__(self) -> None:
        self._possible: dict[bytes, str | None] = {}
        self._codes: dict[str, int] = {}

    def begin(self) -> None:
        """Begin a unit: it has no tenants yet."""
        self._codes = {}
        if len(self._possible) > _NAMES_REMEMBERED:
            self._possible.clear()

    def names(self) -> list[str]:
        """Return the unit's tenants by their numbers."""
        return list(self._codes)

    def coded(self, names: list[bytes], indices: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Translate ``indices`` into ``names`` to numbers of tenants; -1 for what no tenant can be called."""
        table = np.full(len(names), NO_TENANT, np.int32)
        for at in np.unique(indices).tolist():
            name = self.called(names[at])
            if name is not None:
                table[at] = self._codes.setdefault(name, len(self._codes))
        return table[indices]

    def called(self, raw: bytes) -> str | None:
        """Return the tenant that ``raw`` names, or None when no tenant can be called so."""
        if raw not in self._possible:
            try:
                self._possible[raw] = check_tenant_name(raw.decode())
            except (UnicodeDecodeError, Misconfigured):
                self._possible[raw] = None
        return self._possible[raw]


def named_tenant(record: ConsumerRecord) -> bytes:
    """Return the bytes by which a message names its tenant: its header when it has one, else its key."""
    if record.headers:
        for name, value in reversed(record.headers):
            if name == TENANT:
                return value or b""
    return record.key or b""


def letter(dataset: str, chunk: Chunk, record: ConsumerRecord, poison: Poison, tenants: Tenants) -> DeadLetter:
    """Return the letter of a whole message that can't be read."""
    return DeadLetter(
        reason=poison.reason,
        stage="sort",
        tenant=tenants.called(named_tenant(record)),
        dataset=dataset,
        raw=record.value or b"",
        detail=poison.detail,
        topic=chunk.topic,
        topic_id=chunk.topic_id,
        partition=chunk.partition,
        offset=record.offset,
        key=record.key,
        headers=tuple(record.headers),
    )


def joined(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of ``batches`` in one, of the columns that one of them has, in the order of ``schema``."""
    present = set().union(*(batch.schema.names for batch in batches))
    wanted = pa.schema([field for field in schema if field.name in present], metadata=schema.metadata)
    return pa.concat_batches([_filled(batch, wanted) for batch in batches])


def _filled(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    rows = batch.num_rows
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays = [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
