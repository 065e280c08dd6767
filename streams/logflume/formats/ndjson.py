"""JSON records to columns: the fast way for what looks as before, the exact way for the rest, one result by both."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logflume.errors import Poison
from logflume.formats import exact, lines
from logflume.formats.conform import conform, schema
from logflume.formats.fast import Shape, as_one
from logflume.formats.parsed import BadLine, Parsed
from logflume.model import Dataset

_FEW: Final = 32
"""Rows that go the exact way at once: a call of the fast way costs about as much."""
_DOUBT_SHARE: Final = 4
"""When a quarter of the rows had to go the exact way, the rest follows: the fast way would be tried in vain."""
_MOST_DISTRUST: Final = 16
_SAMPLE: Final = 256
"""Rows that the shape is learned from, of a range read exactly: enough for any that has a shape."""
_LONG_NUMBER: Final = "[0-9]{20}|-[0-9]{19}"
"""Of an integer that may not fit 64 bits."""


class JsonParser:
    """Parses the records of one dataset. It keeps what it learned of their shape; for one thread at a time.

    J1  Each record is either a row or one ``BadLine``; a bad record costs no other.
    J2  A row is equal to its record in the sense of DESIGN §5, whatever was learned before.
    J3  ``parse`` raises for no record, whatever its bytes are.
    """

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._schema = schema(ds)
        self._shape = Shape(ds)
        self._distrust = 0
        self._skip = 0

    def parse(self, ndjson: bytes | pa.Buffer | list[bytes] | lines.Lines) -> Parsed:
        """Return the records of ``ndjson``: text of one object a line, a list of one object each, or lines found.

        Blank lines of a text are no records; a blank entry of a list is a bad one, as each entry has its number.
        """
        if isinstance(ndjson, lines.Lines):
            found = ndjson
        elif isinstance(ndjson, list):
            found = lines.of_records(ndjson)
        else:
            found = lines.of_text(ndjson if isinstance(ndjson, bytes) else ndjson.to_pybytes())
        work = _Work(self._ds, self._shape, found, trusting=self._skip == 0)
        work.run()
        self._remember(work)
        batches = work.batches or [pa.RecordBatch.from_pylist([], schema=self._schema)]
        return Parsed(pa.concat_batches(batches) if len(batches) > 1 else batches[0], work.rows(), work.bad)

    def _remember(self, work: _Work) -> None:
        """Leave the fast way out for 1, 2, 4 … 16 calls after each in which it was of no use."""
        if self._skip:
            self._skip -= 1
        elif work.gave_up:
            self._distrust = min(2 * self._distrust or 1, _MOST_DISTRUST)
            self._skip = self._distrust
        else:
            self._distrust = 0


class _Work:
    """One call of ``parse``: ranges of lines are tried the fast way, halved in doubt, and the few left read exactly."""

    def __init__(self, ds: Dataset, shape: Shape, found: lines.Lines, *, trusting: bool) -> None:
        self._ds = ds
        self._shape = shape
        self._lines = found
        self._doubted = 0
        self.gave_up = not trusting
        self.batches: list[pa.RecordBatch] = []
        self.bad: list[BadLine] = []

    def run(self) -> None:
        """Parse all lines, in their order."""
        total = len(self._lines)
        sample = 0 if self._shape.known else min(total, _FEW)
        if sample:
            self._exactly(0, sample)
        self._halve(sample, total)

    def rows(self) -> npt.NDArray[np.int32]:
        """Return the index of each row among the input records."""
        rows = np.arange(len(self._lines), dtype=np.int32)
        return np.delete(rows, [bad.row for bad in self.bad]) if self.bad else rows

    def _halve(self, first: int, last: int) -> None:
        """Parse a range; the stack holds what is still to do, the nearest on top."""
        todo = [(first, last)]
        while todo:
            first, last = todo.pop()
            count = last - first
            if not count:
                continue
            if count <= _FEW or self.gave_up:
                self._doubted += count
                self._exactly(first, last)
                # Only now: a new shape may have been learned from these rows, with which the fast way goes on.
                self.gave_up = self.gave_up or self._doubted > max(len(self._lines) // _DOUBT_SHARE, 2 * _FEW)
            elif not self._fast(first, last):
                middle = (first + last) // 2
                todo += [(middle, last), (first, middle)]

    def _fast(self, first: int, last: int) -> bool:
        if not self._lines.are_tidy(first, last):
            return False
        batch = self._shape.read(self._lines.text(first, last), last - first)
        if batch is None:
            return False
        self.batches.append(batch)
        return True

    def _exactly(self, first: int, last: int) -> None:
        records: list[dict[str, Any]] = []
        raw = [self._lines.record(i) for i in range(first, last)]
        careful = _needs_care(self._lines.text(first, last), raw)
        for i, line in enumerate(raw):
            try:
                records.append(exact.load(line) if i in careful else exact.quickly(line))
            except Poison as poison:
                self.bad.append(BadLine(first + i, line, poison.reason, poison.detail))
        if records:
            self._shape.learn(records[:_SAMPLE])
            self.batches.append(conform(records, self._ds))


def _needs_care(text: bytes, raw: list[bytes]) -> set[int]:
    """Return which of the lines orjson may read inexactly (an integer past 64 bits), or are perhaps too deep."""
    careful: set[int] = set()
    if pc.match_substring_regex(as_one(text, pa.binary()), _LONG_NUMBER)[0].as_py():
        careful.update(np.flatnonzero(pc.match_substring_regex(pa.array(raw, pa.binary()), _LONG_NUMBER)).tolist())
    careful.update(i for i, line in enumerate(raw) if line.count(b"{") + line.count(b"[") > exact.MOST_DEPTH)
    return careful
