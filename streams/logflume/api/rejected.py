"""How many records were rejected, and why: dead letters counted by tenant, dataset, reason and day.

RJ1  A letter counts once, however often it was written: at the day (UTC) when Kafka took it.
RJ2  The topic is read once, and then what is new, at most every ``_EVERY_SECONDS``, by one thread at a time.
RJ3  What is older than ``days`` is not counted, and forgotten.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from logflume.clock import Clock
from logflume.kafka.deadletters.filed import Drawers
from logflume.kafka.deadletters.letter import DeadLetter
from logflume.kafka.deadletters.reading import Letters
from logflume.settings import Settings

DAYS: Final = 14
"""For which dead letters are kept (topics.yaml)."""
_EVERY_SECONDS: Final = 30.0


class Key(NamedTuple):
    """What letters are counted by."""

    tenant: str
    dataset: str
    day: date
    reason: str


@dataclass
class _Partition:
    """How far one was read, and what is remembered of it."""

    at: int
    letters: Letters = field(default_factory=lambda: Letters(_is_a_tenants, bodies=False))


class Rejected:
    """See RJ1 to RJ3. Any thread may call; calls block on Kafka."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}
        self._records: Counter[Key] = Counter()
        self._bytes: Counter[Key] = Counter()
        self._read_at = float("-inf")

    def of(self, tenant: str) -> Mapping[Key, tuple[int, int]]:
        """Return the records and bytes of a tenant's letters. Raises ``Retryable`` and ``Misconfigured``."""
        with self._lock:
            if self._clock.monotonic() - self._read_at >= _EVERY_SECONDS:
                self._read_on()
                self._read_at = self._clock.monotonic()
            return {key: (n, self._bytes[key]) for key, n in self._records.items() if key.tenant == tenant}

    def _read_on(self) -> None:
        first = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC) - timedelta(days=DAYS)
        with closing(Drawers(self._settings)) as drawers:
            for partition in drawers.partitions:
                known = self._partitions.get(partition)
                start, _, end = drawers.bounds(partition, round(first.timestamp() * 1000), None)
                if known is None:
                    known = self._partitions[partition] = _Partition(start)
                for key, size in self._new(drawers, partition, known, max(known.at, start), end):
                    self._records[key] += 1
                    self._bytes[key] += size
                known.at = max(known.at, end)
        for key in [key for key in self._records if key.day < first.date()]:
            del self._records[key]
            del self._bytes[key]

    def _new(
        self, drawers: Drawers, partition: int, known: _Partition, start: int, end: int
    ) -> Iterator[tuple[Key, int]]:
        for found in drawers.read_on(known.letters, partition, start, end):
            letter, day = found.letter, datetime.fromtimestamp(found.timestamp_ms / 1000, UTC).date()
            yield Key(letter.tenant or "", letter.dataset or "", day, letter.reason), found.size


def _is_a_tenants(letter: DeadLetter) -> bool:
    return letter.tenant is not None
