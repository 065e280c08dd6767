"""Reading a sorted partition so that each row comes once (DESIGN §6a).

The sorter is at least once: after a crash it produces a range of ingest offsets again, cut differently perhaps, and a
zombie may still be producing. Sink, catch-up, tail and audit all read through ``SortedPartition``; nothing behind it
cares about repeats.

Invariants:

S1  A row (ingest topic, partition, offset, row number) is returned at most once between two positions.
S2  What is returned is a pure function of the starting position and the log behind it.
S3  Nothing is returned past a hole: a block whose session produced a range before it that was never read raises
    ``Hole`` and leaves the position where it was.
S4  The position after a block covers every row of the block, returned or repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logflume.block.sorted import Coordinate, Runs, SortedMeta, Source, decode_sorted
from logflume.errors import Hole, Refused
from logflume.kafka.position import Advance, Position


@dataclass(frozen=True)
class SortedBlock:
    """Rows of one sorted message that were not seen before, tenant by tenant.

    ``batch`` has the columns of ``block.schema.sorted_schema``; ``runs`` say which consecutive rows are whose.
    ``advance`` moves the watermarks of the position before it (``Position.advanced(next_offset, advance)``).
    ``generation`` is the newest configuration by which an edge took one of the rows; 0: unknown.
    """

    topic: str
    topic_id: str
    dataset: str
    partition: int
    offset: int
    next_offset: int
    batch: pa.RecordBatch
    runs: Runs
    timestamp_ms: int
    wire_bytes: int
    advance: Advance
    generation: int = 0


class SortedPartition:
    """One sorted partition from a position on. Pure: messages are handed in, in the order of their offsets."""

    def __init__(self, topic: str, topic_id: str, partition: int, position: Position) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self._position = position

    @property
    def position(self) -> Position:
        """The position after the last message that was read."""
        return self._position

    def read(
        self, offset: int, timestamp_ms: int, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> SortedBlock | None:
        """Take the message at ``offset`` and return its rows that are new here, or None when all are repeats.

        Raises:
            Hole: a range that its session produced before is missing; the partition must stop.
            Refused: the message is no sorted block, or lies before the position.
        """
        where = f"{self.topic}[{self.partition}]@{offset}"
        if offset < self._position.offset:
            raise Refused(f"{where}: the reader is at {self._position.offset} already and never goes back")
        try:
            meta, batch = decode_sorted(value, headers)
        except Refused as error:
            raise Refused(f"{where}: {error}") from error
        self._refuse_hole(meta, where)
        fresh = self._fresh_rows(meta.sources, batch)
        advance: Advance = tuple(((source.topic_id, source.partition), source.last) for source in meta.sources)
        self._position = self._position.advanced(offset + 1, advance)
        if fresh is not None:
            if not fresh.any():
                return None
            batch, runs = batch.filter(pa.array(fresh)), meta.runs.only(fresh)
        else:
            runs = meta.runs
        return SortedBlock(
            topic=self.topic,
            topic_id=self.topic_id,
            dataset=meta.dataset,
            partition=self.partition,
            offset=offset,
            next_offset=offset + 1,
            batch=batch,
            runs=runs,
            timestamp_ms=timestamp_ms,
            wire_bytes=len(value),
            advance=advance,
            generation=meta.generation,
        )

    def _refuse_hole(self, meta: SortedMeta, where: str) -> None:
        for source in meta.sources:
            if source.previous is None:
                continue
            ingest = (source.topic_id, source.partition)
            seen = self._watermark(source)
            if seen < source.previous and not self._position.may_have_lost(ingest):
                raise Hole(
                    f"{where}: session {meta.session} had produced ingest partition {source.partition} up to "
                    f"(offset, row) {source.previous}, but here it was only read up to {seen}; the range between is "
                    f"missing. Nothing is read past it: restart the sorter of that partition from its last commit"
                )

    def _watermark(self, source: Source) -> Coordinate:
        return self._position.watermarks.get((source.topic_id, source.partition), (-1, -1))

    def _fresh_rows(self, sources: Sequence[Source], batch: pa.RecordBatch) -> npt.NDArray[np.bool_] | None:
        """Return a mask of the rows above their watermark, or None when that is all of them."""
        overlapping = [source for source in sources if source.first <= self._watermark(source)]
        if not overlapping:
            return None
        partitions = batch.column("_src_partition").to_numpy()
        offsets = batch.column("_src_offset").to_numpy()
        rows = batch.column("_src_row").to_numpy()
        fresh = np.ones(batch.num_rows, dtype=bool)
        for source in overlapping:
            offset, row = self._watermark(source)
            repeats = (offsets < offset) | ((offsets == offset) & (rows <= row))
            fresh &= ~((partitions == source.partition) & repeats)
        return fresh
