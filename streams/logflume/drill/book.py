"""A sender's own account: an append-only file with a line for each answer, from which the judge makes the rows.

K1  A line is with the operating system before its sender does anything else: the book of a killed one is right so far.
K2  Records are numbered by tenant, so a line is a range: neither writer nor file grows with the bytes sent.
K3  *Acknowledged* means that somebody said so. What was handed over and not answered is *doubtful*: it may be stored
    once, or not. What was refused is in no range of records at all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

RUN_BITS, TENANT_BITS, NUMBER_BITS = 16, 16, 32
MOST_TENANTS = 1 << TENANT_BITS

ACKNOWLEDGED, DOUBTFUL, REFUSED, WRONG = "acknowledged", "doubtful", "refused", "wrong"
"""Outcomes. Wrong: an answer that does not fit what was sent."""


def first_id(run: int, tenant: int) -> int:
    """Return the id of a tenant's record 0; the records after it count on from there."""
    if not (0 <= run < 1 << RUN_BITS and 0 <= tenant < MOST_TENANTS):
        raise ValueError(f"run {run} or tenant {tenant} is out of range")
    return (run << TENANT_BITS | tenant) << NUMBER_BITS


def text_id(number: int) -> str:
    """Return the text of an id, as the record carries it: 16 hexadecimal digits."""
    return f"{number:016x}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer. ``first`` and ``rows`` are the range of good records; ``bad`` counts the broken ones sent with them.

    ``time`` is seconds since 1970, ``status`` the HTTP status or 0 when there was none.
    """

    time: float
    tenant: int
    first: int
    rows: int
    bad: int
    outcome: str
    status: int

    def line(self) -> str:
        """Return its line in the book."""
        return f"{self.time:.3f} {self.tenant} {self.first} {self.rows} {self.bad} {self.outcome} {self.status}\n"

    @classmethod
    def of(cls, line: str) -> Entry:
        """Return what a line says. ``ValueError``: it is torn."""
        time, tenant, first, rows, bad, outcome, status = line.split()
        return cls(float(time), int(tenant), int(first), int(rows), int(bad), outcome, int(status))


class Book:
    """The file, being written; any thread may note."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, entry: Entry) -> None:
        """Write a line (K1)."""
        with self._lock:
            self._file.write(entry.line())


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a book, which may still be written: a torn last line is none yet."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Entry.of(line)


def last(path: Path, outcome: str) -> float:
    """Return the time of the last entry with this outcome among the last few; 0: there is none."""
    if not path.exists():
        return 0.0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        lines = file.read().decode().splitlines(keepends=True)[1:]
    for line in reversed(lines):
        if line.endswith("\n") and (entry := Entry.of(line)).outcome == outcome:
            return entry.time
    return 0.0


@dataclass(frozen=True, slots=True)
class Sums:
    """What a book says of one tenant."""

    acknowledged: int = 0
    doubtful: int = 0
    bad: int = 0
    refused: int = 0
    """Answers, not records: a refused body is sent again."""
    wrong: int = 0


def sums(entries: Iterable[Entry], tenants: Sequence[str]) -> Mapping[str, Sums]:
    """Add a book up, by tenant."""
    counts: dict[str, list[int]] = {}
    for entry in entries:
        found = counts.setdefault(tenants[entry.tenant], [0] * 5)
        found[0] += entry.rows if entry.outcome == ACKNOWLEDGED else 0
        found[1] += entry.rows if entry.outcome == DOUBTFUL else 0
        found[2] += entry.bad if entry.outcome == ACKNOWLEDGED else 0
        found[3] += entry.outcome == REFUSED
        found[4] += entry.outcome == WRONG
    return {tenant: Sums(*found) for tenant, found in counts.items()}
