"""What becomes of the records that one caller handed in together, told to it once they all are durable.

R1  ``done`` is called exactly once: when every record is in a durable message, as a row or as a dead letter, or with
    the error after which that can't be known. A background thread calls it, outside our locks; it must be quick.
R2  When ``done`` is called without an error, ``bad`` names every record that was no row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pyarrow as pa

from logflume.edge.lines import Lines
from logflume.errors import LogflumeError

DETAILED: Final = 1000
"""Bad records of one receipt whose detail is kept: a body may be all bad, and a detail is larger than such a line."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one tenant and dataset: lines of JSON, or a table of the dataset's fields and ``_extra``."""

    tenant: str
    dataset: str
    content: Lines | pa.RecordBatch = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return self.content.size(0, len(self.content)) if isinstance(self.content, Lines) else self.content.nbytes


class BadPlace(NamedTuple):
    """A record that was no row: its number in the caller's text, and why; ``detail`` is kept for ``DETAILED`` only."""

    number: int
    reason: str
    detail: str


class Receipt:
    """See R1 and R2. The intake alone calls ``owe``, ``settle`` (under its lock) and ``end``."""

    def __init__(self, done: Callable[[LogflumeError | None], None]) -> None:
        self._done = done
        self._owed = 0
        self.bad: list[BadPlace] = []

    def note(self, number: int | None, reason: str, detail: str) -> None:
        """Take down a bad record; the packer's thread does, before the record's cut is settled."""
        self.bad.append(BadPlace(number or 0, reason, detail if len(self.bad) < DETAILED else ""))

    def owe(self) -> None:
        """Wait for one more run of records."""
        self._owed += 1

    def settle(self) -> bool:
        """Have one run less to wait for; whether it was the last."""
        self._owed -= 1
        return self._owed == 0

    def end(self, failure: LogflumeError | None) -> None:
        """Tell the caller."""
        self._done(failure)


def end_all(receipts: Sequence[Receipt], failure: LogflumeError | None = None) -> None:
    """Tell each of ``receipts``."""
    for receipt in receipts:
        receipt.end(failure)
