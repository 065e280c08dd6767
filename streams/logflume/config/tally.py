"""What the configuration made us turn away, told by tenant: a bounded table, and a line in the log once a minute.

Metrics can't have a label for each of many thousands of tenants; an operator still has to learn whose records they are.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import NamedTuple

from logflume.clock import Clock

OTHERS = "(others)"
"""Stands for all tenants beyond the table's size."""

_MOST = 1000
_TOLD = 10
_TELL_SECONDS = 60.0

_LOG = logging.getLogger(__name__)  # not structlog's: this is in applications, too, whose stdout is theirs


class Place(NamedTuple):
    """Whose records, of which kind, and why."""

    tenant: str
    dataset: str
    reason: str


class Tally:
    """Counts by tenant, dataset and reason, ``_MOST`` of these at most. Any thread may call."""

    def __init__(self, event: str, clock: Clock) -> None:
        """``event`` is what the log's line says."""
        self._event = event
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Place] = Counter()
        self._fresh: Counter[Place] = Counter()
        self._told_at = float("-inf")

    def add(self, tenant: str, dataset: str, reason: str, count: int) -> None:
        """Count; the first is told at once, and then what has come in a minute."""
        place = Place(tenant, dataset, reason)
        with self._lock:
            if place not in self._counts and len(self._counts) >= _MOST:
                place = Place(OTHERS, dataset, reason)
            self._counts[place] += count
            self._fresh[place] += count
            now = self._clock.monotonic()
            if now - self._told_at < _TELL_SECONDS:
                return
            self._told_at = now
            fresh, self._fresh = self._fresh, Counter()
        worst = ", ".join(f"{each.tenant}/{each.dataset} {each.reason}: {n}" for each, n in fresh.most_common(_TOLD))
        _LOG.warning("%s: %s; %d in all", self._event, worst, fresh.total())

    def top(self, number: int = _TOLD) -> list[tuple[Place, int]]:
        """Return the largest counts since the start."""
        with self._lock:
            return self._counts.most_common(number)
