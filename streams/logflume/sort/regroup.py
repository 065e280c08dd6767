"""From rows in the order of arrival to one sorted block a partition: everything of a tenant lies together.

One ``argsort`` of tenant codes and one ``take`` move a whole unit; the cost depends on bytes, not on tenants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logflume.block.schema import EXTRA, RECEIVED, SOURCE, without_empty
from logflume.block.sorted import Coordinate, Runs, SortedMeta, Source, encode_sorted
from logflume.formats import to_records
from logflume.kafka.deadletters import DeadLetter
from logflume.model import Dataset
from logflume.sort.gather import Gathered
from logflume.sort.routing import NO_ROUTES, Routes, Routing

WHOLE_MESSAGE = 2**31 - 1
"""Row number past every row of a message: a range that ends with a whole message covers up to here."""

Previous = Mapping[tuple[int, int], Coordinate]
"""(sorted partition, ingest partition): where the session's last range between the two ended."""


@dataclass(frozen=True)
class Piece:
    """One message for one sorted partition."""

    partition: int
    value: bytes
    headers: list[tuple[str, bytes]]
    sources: tuple[Source, ...]
    rows: int


@dataclass(frozen=True)
class Cover:
    """The offsets of one ingest partition that a unit consists of, without a gap."""

    topic_id: str
    partition: int
    first: int
    last: int

    def source(self) -> Source:
        """Return what a block says of this cover, but for the range before it."""
        return Source(self.topic_id, self.partition, (self.first, 0), (self.last, WHOLE_MESSAGE), None)


@dataclass(frozen=True)
class SortedRows:
    """Rows of one sorted partition, tenant by tenant, with the place of each in the order of arrival."""

    batch: pa.RecordBatch
    arrival: npt.NDArray[np.int64]
    runs: Runs

    def only(self, mask: npt.NDArray[np.bool_]) -> SortedRows:
        """Return the rows of ``mask``, still tenant by tenant."""
        return SortedRows(self.batch.filter(pa.array(mask)), self.arrival[mask], self.runs.only(mask))


@dataclass(frozen=True)
class Regrouper:
    """Makes a dataset's sorted blocks for one sorter session.

    ``largest_bytes`` is what a message may measure; a larger block is cut by coordinates, inside a message if need be.
    """

    dataset: Dataset
    topic: str
    topic_id: str
    session: str
    routing: Routing
    largest_bytes: int

    def regroup(
        self, gathered: Gathered, covers: Sequence[Cover], previous: Previous, routes: Routes = NO_ROUTES
    ) -> list[list[Piece]]:
        """Return rounds of pieces, at most one a partition in each; a round may be sent once the one before is safe.

        ``routes`` must be those of a configuration that is new enough for these rows (``RoutesInForce``).

        A row that alone exceeds ``largest_bytes`` is added to ``gathered.letters`` instead.
        """
        if not len(gathered.codes):
            return []
        ranks, tenants, targets = self._ranked(gathered, routes)
        order = np.argsort(ranks, kind="stable")
        batch = self._with_coordinates(gathered, order)
        counts = np.bincount(ranks, minlength=len(tenants))
        ends = np.cumsum(counts)
        rounds: list[list[Piece]] = []
        for target in np.unique(targets).tolist():
            first, last = np.searchsorted(targets, [target, target + 1]).tolist()
            runs = Runs(tenants[first:last], counts[first:last].tolist())
            start, end = int(ends[first] - counts[first]), int(ends[last - 1])
            sorted_rows = SortedRows(batch.slice(start, end - start), order[start:end], runs)
            reached = {cover.partition: previous.get((target, cover.partition)) for cover in covers}
            sources = tuple(cover.source() for cover in covers)
            pieces = self._pieces(sorted_rows, sources, target, reached, gathered)
            for number, piece in enumerate(pieces):
                if number == len(rounds):
                    rounds.append([])
                rounds[number].append(piece)
        return rounds

    def _ranked(self, gathered: Gathered, routes: Routes) -> tuple[npt.NDArray[Any], list[str], npt.NDArray[np.int64]]:
        """Return each row's rank by (partition, tenant), the tenants by rank, and their partitions (ascending)."""
        codes = gathered.codes
        present = np.bincount(codes, minlength=len(gathered.tenants)) > 0
        placed = []
        routed = []
        for code, tenant in enumerate(gathered.tenants):
            if present[code]:
                if tenant in routes:
                    routed.append((code, tenant))
                else:
                    placed.append((self.routing.partition(tenant), tenant, code))
        count = len(gathered.tenants)
        if routed:  # their rows get codes of their own, one for each partition that they go to
            codes = codes.copy()
            for code, tenant in routed:
                rows = np.flatnonzero(gathered.codes == code)
                places = gathered.partitions[rows], gathered.offsets[rows]
                targets = self.routing.partitions_of(tenant, routes[tenant], self.topic_id, *places)
                for target in np.unique(targets).tolist():
                    codes[rows[targets == target]] = count
                    placed.append((target, tenant, count))
                    count += 1
        placed.sort()
        # 16 bits or less are sorted by radix, five times as fast as by merging.
        rank_of = np.zeros(count, np.uint16 if len(placed) < 2**16 else np.uint32)
        rank_of[[code for _, _, code in placed]] = np.arange(len(placed))
        return rank_of[codes], [tenant for _, tenant, _ in placed], np.array([t for t, _, _ in placed], np.int64)

    def _with_coordinates(self, gathered: Gathered, order: npt.NDArray[np.int64]) -> pa.RecordBatch:
        taken = gathered.batch.take(pa.array(order))
        topic = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(order), np.int8)), pa.array([self.topic_id]))
        columns = [
            *taken.columns,
            topic,
            pa.array(gathered.partitions[order]),
            pa.array(gathered.offsets[order]),
            pa.array(gathered.rows[order]),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema([*taken.schema, *SOURCE]))

    def _pieces(
        self,
        rows: SortedRows,
        sources: tuple[Source, ...],
        target: int,
        ends: dict[int, Coordinate | None],
        gathered: Gathered,
    ) -> list[Piece]:
        """Encode ``rows`` as one piece, or as several in the order of arrival when one would be too large.

        ``ends`` says where the range before ended, by ingest partition, and moves with each piece that is made.
        """
        sources = tuple(replace(source, previous=ends[source.partition]) for source in sources)
        meta = SortedMeta(self.dataset.name, self.session, sources, rows.runs, gathered.generation)
        value, headers = encode_sorted(rows.batch, meta)
        single = rows.batch.num_rows == 1
        if len(value) <= self.largest_bytes or (single and self._alone(rows) <= self.largest_bytes):
            ends.update({source.partition: source.last for source in sources})
            return [Piece(target, value, headers, sources, rows.batch.num_rows)]
        if single:
            gathered.letters.append(self._too_large(rows, self._alone(rows)))
            return []
        middle = np.partition(rows.arrival, len(rows.arrival) // 2)[len(rows.arrival) // 2]
        early = rows.only(rows.arrival < middle)
        late = rows.only(rows.arrival >= middle)
        before, after = _divided(sources, early.batch, late.batch)
        first = self._pieces(early, before, target, ends, gathered)
        return first + self._pieces(late, after, target, ends, gathered)

    def _alone(self, rows: SortedRows) -> int:
        """Return what one row measures by itself. What its neighbours add, their columns and the ranges that the unit
        covers, must not make a dead letter of it: read again among others it would be none. The little that it is has
        its room beside ``largest_bytes``.
        """
        bare = without_empty(rows.batch, [RECEIVED.name, EXTRA.name, *(field.name for field in SOURCE)])
        return len(encode_sorted(bare, SortedMeta(self.dataset.name, self.session, (), rows.runs))[0])

    def _too_large(self, rows: SortedRows, size: int) -> DeadLetter:
        [row] = rows.batch.to_pylist()
        own = [name for name in rows.batch.schema.names if not name.startswith("_src_")]
        [fields] = to_records(rows.batch.select(own))
        return DeadLetter(
            reason="too-large",
            stage="sort",
            tenant=rows.runs.tenants[0],
            dataset=self.dataset.name,
            raw=json.dumps(fields).encode(),
            detail=f"the row alone makes a message of {size} bytes; the topic takes {self.largest_bytes}",
            topic=self.topic,
            topic_id=self.topic_id,
            partition=row["_src_partition"],
            offset=row["_src_offset"],
            row=row["_src_row"],
        )


def _divided(
    sources: Sequence[Source], early: pa.RecordBatch, late: pa.RecordBatch
) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Say what the early and the late half of a block cover, so that together they cover ``sources``."""
    before: list[Source] = []
    after: list[Source] = []
    for source in sources:
        in_early, in_late = _span(early, source.partition), _span(late, source.partition)
        if in_late is None:
            before.append(source)
        elif in_early is None:
            after.append(source)
        else:
            before.append(replace(source, last=in_early[1]))
            after.append(replace(source, first=in_late[0]))
    return tuple(before), tuple(after)


def _span(rows: pa.RecordBatch, partition: int) -> tuple[Coordinate, Coordinate] | None:
    """Return the first and last coordinate of the ingest ``partition`` among ``rows``."""
    mine = rows.column("_src_partition").to_numpy() == partition
    if not mine.any():
        return None
    offsets = rows.column("_src_offset").to_numpy()[mine]
    numbers = rows.column("_src_row").to_numpy()[mine]
    by_arrival = np.lexsort((numbers, offsets))[[0, -1]]
    first, last = ((int(offsets[at]), int(numbers[at])) for at in by_arrival)
    return first, last
