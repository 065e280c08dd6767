"""What whoever asks a question relies on, be it the engine here or a server that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from logflume.explore.engine.engine import LIMIT, Scanned
from logflume.explore.live import Waiting
from logflume.explore.recent import Range
from logflume.explore.span import ALWAYS, Recent, Span


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a query is: rows that were handed over, and what was read."""

    rows: int
    scanned: Scanned


class Answered(Protocol):
    """One query's answer, read once: its schema stands from the beginning, what follows the rows at their end."""

    schema: pa.Schema

    @property
    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, as they come. Raises what ended the query."""

    @property
    def limit(self) -> int | None:
        """Rows after which it was cut, or would have been."""

    @property
    def limited(self) -> bool:
        """Whether it was."""

    @property
    def range(self) -> Range:
        """Of its tables, what it is about."""

    @property
    def scanned(self) -> Scanned:
        """What was read."""

    @property
    def waiting(self) -> Waiting | None:
        """What was added that still waits in Kafka; None when that was not asked for."""

    def read_all(self) -> pa.Table:
        """Read the whole answer."""


class Answers(Protocol):
    """Runs queries."""

    def query(
        self, tenant: str, sql: str, limit: int = LIMIT, span: Span | Recent = ALWAYS, *, live: bool = False
    ) -> AbstractContextManager[Answered]:
        """Run one SELECT over a tenant's tables (``live``: and what waits in Kafka); it ends with the block."""

    def seen(self) -> Seen | None:
        """How far the query is that runs, or None while it waits. For any thread."""
