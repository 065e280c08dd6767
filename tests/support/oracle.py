"""The oracle of the fault tests: it issues ids, and remembers which records were acknowledged.

A record is a function of its session and number, so that the journal of a killed sender needs only numbers:

O1  ``issued`` is written before any record of the range is handed to anyone.
O2  ``acked`` is written after every record of the range was acknowledged by Kafka.
O3  The journal is a file written with ``os.write``: ``kill -9`` of the sender takes nothing of it back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

DATASET = "events"
TENANTS = ("acme", "bell", "cyan", "dune", "echo", "flux", "gale")
_START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

EXPECTED = pa.schema(
    [
        ("tenant", pa.string()),
        ("id", pa.string()),
        ("ms", pa.int64()),
        ("level", pa.string()),
        ("message", pa.string()),
        ("shard", pa.string()),
        ("extra", pa.string()),
        ("sure", pa.bool_()),
    ]
)
"""What the judge compares with; ``sure``: the record was acknowledged, so that it must be there."""


def tenant_of(number: int) -> str:
    """Whose record it is: few tenants have most of them."""
    return TENANTS[min(number % 11, number % len(TENANTS))]


def _row(session: str, number: int) -> tuple[str, str, int, str, str, str, str]:
    noise = hashlib.blake2b(f"{session}/{number}".encode(), digest_size=24).hexdigest()
    level = ("debug", "info", "warning", "error")[number % 4]
    extra = f'{{"odd":[{number},"{noise[:5]}"]}}'
    ms = _START_MS + number * 1000 + number % 997
    return tenant_of(number), f"{session}-{number:07}", ms, level, f"n{number} é\n{noise}", f"s{number % 3}", extra


def record(session: str, number: int) -> tuple[str, dict[str, Any]]:
    """The tenant and the record of a number, as an application would log it."""
    tenant, name, ms, level, message, shard, _ = _row(session, number)
    noise = message[-48:]
    return tenant, {
        "time": ms,
        "level": level,
        "message": message,
        "trace_id": name,
        "attributes": {"shard": shard},
        "odd": [number, noise[:5]],  # the dataset has no such field
    }


@dataclass(frozen=True)
class Journal:
    """One sender's account. One that starts again takes a new session: it can't know what became of the rest."""

    path: Path

    @property
    def session(self) -> str:
        """What the ids of this sender begin with."""
        return self.path.stem

    def issued(self, first: int, end: int) -> None:
        """Note that the records ``first`` to ``end``-1 may be sent from now on (O1)."""
        self._write(f"issued {first} {end}\n")

    def acked(self, first: int, end: int) -> None:
        """Note that they were all acknowledged (O2)."""
        self._write(f"acked {first} {end}\n")

    def numbers(self) -> tuple[set[int], set[int]]:
        """Return what was issued, and what of it was acknowledged."""
        found: dict[str, set[int]] = {"issued": set(), "acked": set()}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                what, first, end = line.split()
                found[what].update(range(int(first), int(end)))
        return found["issued"], found["acked"]

    def _write(self, line: str) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


class Oracle:
    """All journals of one test, in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._deleted: set[tuple[str, str]] = set()

    def journal(self, session: str) -> Journal:
        """A journal for a new sender."""
        return Journal(self.folder / f"{session}.journal")

    def deleted(self, session: str, tenant: str) -> None:
        """Note that somebody deleted a tenant's table by hand, with that session's records in it."""
        self._deleted.add((session, tenant))

    def expected(self) -> pa.Table:
        """Every record that was issued, schema ``EXPECTED``."""
        rows = list(self._rows())
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(EXPECTED)
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, EXPECTED, strict=True)], schema=EXPECTED)

    def acknowledged(self) -> int:
        """How many records were acknowledged."""
        return sum(len(Journal(path).numbers()[1]) for path in self.folder.glob("*.journal"))

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for path in sorted(self.folder.glob("*.journal")):
            issued, acked = Journal(path).numbers()
            assert acked <= issued
            for number in sorted(issued):
                row = _row(path.stem, number)
                yield (*row, number in acked and (path.stem, row[0]) not in self._deleted)
