"""Rows in memory, shared by the tenants of a block, and counted until the last of them is done.

H1  The bytes of a batch are charged once, when it is held, and given back when its last segment is released: a slice
    keeps the whole batch alive, so that is what it costs.
H2  Small runs don't pin a large block: when they make up at most half of it, they are copied out of it together.
H3  The rows of a segment stand in the order of their sorted offsets.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from logflume.model.tenant import Outlet
from logflume.sink.budget import Budget
from logflume.sink.columns import alike

_Whose = TypeVar("_Whose", bound=Hashable)

COLUMN_BYTES = 300
"""What Arrow and Python keep for one column of one batch beside its values (a one-row batch of 40 columns: 29 kB in
all, of which 12 kB are this; the rest are buffers padded to 64 bytes, which Arrow counts itself)."""

SEGMENT_BYTES = 400
"""What one segment costs beside the rows."""

SMALL_BLOCK_BYTES = 64 << 10
"""What a block of this size pins is less than what a copy out of it would cost beside its rows."""

LARGE_SHARE = 0.25
"""A run of this part of its block is large: it may pin the block, at most four times its own bytes."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive rows of one tenant in a block, and where they go."""

    tenant: str
    start: int
    rows: int
    outlets: tuple[Outlet, ...] = ()


class Held:
    """A batch in memory and the sorted offset of each of its rows: one for all, or an array."""

    __slots__ = ("_budget", "_bytes", "_users", "batch", "offsets")

    def __init__(self, batch: pa.RecordBatch, offsets: int | np.ndarray, users: int, budget: Budget) -> None:
        self.batch = batch
        self.offsets = offsets
        self._users = users
        self._budget = budget
        self._bytes: int = batch.get_total_buffer_size() + COLUMN_BYTES * batch.num_columns + SEGMENT_BYTES * users
        budget.charge(self._bytes)

    @property
    def bytes_per_row(self) -> float:
        """Each row's even share."""
        return self._bytes / int(self.batch.num_rows)

    def release(self) -> None:
        """Note that one segment is done."""
        self._users -= 1
        if self._users == 0:
            self._budget.free(self._bytes)


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of one tenant inside a held batch, for one outlet; ``first`` is the sorted offset of the first of them."""

    held: Held
    start: int
    rows: int
    first: int

    @property
    def bytes(self) -> int:
        """The even share of the held batch."""
        return int(self.held.bytes_per_row * self.rows)

    def batch(self) -> pa.RecordBatch:
        """The rows, not copied."""
        return self.held.batch.slice(self.start, self.rows)

    def offsets(self) -> np.ndarray:
        """The sorted offset of each row, int64, ascending."""
        of = self.held.offsets
        if isinstance(of, int):
            return np.full(self.rows, of, dtype=np.int64)
        return of[self.start : self.start + self.rows]


def hold(batch: pa.RecordBatch, offset: int, runs: Sequence[Run], budget: Budget) -> list[tuple[Outlet, Segment]]:
    """Hold those rows of the block at ``offset`` that ``runs`` name: a segment for each outlet of each run.

    All outlets of a run share its rows.
    """
    if batch.get_total_buffer_size() < SMALL_BLOCK_BYTES:
        return _slices(batch, offset, runs, budget)
    large = [run for run in runs if run.rows >= LARGE_SHARE * batch.num_rows]
    small = [run for run in runs if run.rows < LARGE_SHARE * batch.num_rows]
    if small and 2 * sum(run.rows for run in small) <= batch.num_rows:
        return _slices(batch, offset, large, budget) + _copies(batch, offset, small, budget)
    return _slices(batch, offset, runs, budget)


def merge(segments: Sequence[tuple[_Whose, Segment]], budget: Budget) -> list[tuple[_Whose, Segment]]:
    """Copy the segments, which stand owner by owner, into one batch with one segment an owner.

    Ten thousand tenants give segments of a row or two, and building a table of those costs more than storing the rows.
    The old segments are released. One concatenation and one ``take`` for all columns: nothing per segment but an index.
    """
    batches: dict[int, int] = {}
    parts: list[pa.RecordBatch] = []
    at = 0
    for _, segment in segments:
        if id(segment.held) not in batches:
            batches[id(segment.held)] = at
            parts.append(segment.held.batch)
            at += segment.held.batch.num_rows
    starts = np.fromiter((batches[id(s.held)] + s.start for _, s in segments), dtype=np.int64, count=len(segments))
    lengths = np.fromiter((s.rows for _, s in segments), dtype=np.int64, count=len(segments))
    whole = pa.concat_batches(alike(parts)).take(pa.array(_indices(starts, lengths)))
    offsets = np.concatenate([segment.offsets() for _, segment in segments])
    for _, segment in segments:
        segment.held.release()
    rows: dict[_Whose, int] = {}
    for whose, segment in segments:
        rows[whose] = rows.get(whose, 0) + segment.rows
    held = Held(whole, offsets, len(rows), budget)
    return list(_cut(held, rows.items()))


def _slices(batch: pa.RecordBatch, offset: int, runs: Sequence[Run], budget: Budget) -> list[tuple[Outlet, Segment]]:
    if not runs:
        return []
    held = Held(batch, offset, _users(runs), budget)
    return [(outlet, Segment(held, run.start, run.rows, offset)) for run in runs for outlet in run.outlets]


def _copies(batch: pa.RecordBatch, offset: int, runs: Sequence[Run], budget: Budget) -> list[tuple[Outlet, Segment]]:
    starts = np.fromiter((run.start for run in runs), dtype=np.int64, count=len(runs))
    lengths = np.fromiter((run.rows for run in runs), dtype=np.int64, count=len(runs))
    held = Held(batch.take(pa.array(_indices(starts, lengths))), offset, _users(runs), budget)
    cut = _cut(held, ((run.outlets, run.rows) for run in runs))
    return [(outlet, segment) for outlets, segment in cut for outlet in outlets]


def _users(runs: Sequence[Run]) -> int:
    return sum(len(run.outlets) for run in runs)


def _cut(held: Held, rows: Iterable[tuple[_Whose, int]]) -> Iterable[tuple[_Whose, Segment]]:
    """Cut a held batch into consecutive segments."""
    start = 0
    for whose, count in rows:
        first = held.offsets if isinstance(held.offsets, int) else int(held.offsets[start])
        yield whose, Segment(held, start, count, first)
        start += count


def _indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the row numbers of ranges, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
