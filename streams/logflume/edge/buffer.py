"""The records of one dataset that wait to become a block, and the cut that closes them. Pure: no thread, no lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logflume.edge.receipt import Receipt


class Format(StrEnum):
    """How a line is to be read."""

    NDJSON = "ndjson"
    COMBINED = "combined"


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one tenant that came one after the other."""

    tenant: str
    rows: int
    received_ns: int
    """When the first of them arrived, ns since 1970."""
    numbers: npt.NDArray[np.int64] | None = None
    """The records' line numbers in the caller's text, if they came as text."""
    receipt: Receipt | None = field(default=None, repr=False, compare=False)
    """Who waits until they are durable."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What becomes a block (or several, if it would be too large): lines, or an Arrow table of one tenant."""

    id: int
    dataset: str
    runs: tuple[Run, ...]
    rows: int
    size: int
    """Bytes of the records as they came; what the client's memory counts for them."""
    format: Format = Format.NDJSON
    lines: tuple[bytes, ...] = field(default=(), repr=False)
    table: pa.RecordBatch | None = field(default=None, repr=False)
    """The dataset's fields and ``_extra``; instead of ``lines``."""


class Buffer:
    """An open block of one dataset, its records all in one format. Not thread-safe: the client's lock guards it.

    BU1  Every line added is in exactly one cut, in the order of adding, under the tenant it was added for.
    BU2  ``rows`` and ``size`` are those of the lines added since the last cut.
    """

    def __init__(self, dataset: str, format: Format = Format.NDJSON) -> None:
        self.dataset = dataset
        self.format = format
        self.opened = 0.0
        """Monotonic time of the first line since the last cut."""
        self.rows = 0
        self.size = 0
        self._lines: list[bytes] = []
        self._runs: list[Run] = []
        self._tenant = ""
        self._run_rows = 0
        self._received_ns = 0

    def add_record(self, tenant: str, line: bytes, now_ns: int) -> None:
        """Add one record: a line with its newline."""
        if tenant != self._tenant or not self._run_rows:
            self._close_run()
            self._tenant = tenant
            self._received_ns = now_ns
        self._run_rows += 1
        self._lines.append(line)
        self.rows += 1
        self.size += len(line)

    def add_lines(
        self,
        tenant: str,
        data: bytes,
        rows: int,
        now_ns: int,
        numbers: npt.NDArray[np.int64] | None,
        receipt: Receipt | None = None,
    ) -> None:
        """Add ``rows`` records at once: whole lines, none blank."""
        self._close_run()
        self._runs.append(Run(tenant, rows, now_ns, numbers, receipt))
        self._lines.append(data)
        self.rows += rows
        self.size += len(data)

    def receipts(self) -> list[Receipt]:
        """Return who waits for the lines added since the last cut; one for each run."""
        return [run.receipt for run in self._runs if run.receipt is not None]

    def cut(self, id: int) -> Cut:
        """Close the block and begin anew."""
        self._close_run()
        cut = Cut(id, self.dataset, tuple(self._runs), self.rows, self.size, self.format, tuple(self._lines))
        self.rows = 0
        self.size = 0
        self._lines = []
        self._runs = []
        return cut

    def _close_run(self) -> None:
        if self._run_rows:
            self._runs.append(Run(self._tenant, self._run_rows, self._received_ns))
            self._run_rows = 0
