"""What is said of who is parked: metrics, the lines on ``/ready`` and of the status, and how long is left."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.sink.assigned import Assigned
from logflume.sink.parking.parked import FAILING, NEW, Parked
from logflume.sink.partition import Partition

_TOLD = 20
_SHORT = 0.25
"""With so much of the retention left somebody should hear of it: 18 hours of 72."""

_log = structlog.get_logger(__name__)


class Telling:
    """Looks at all who are parked. Used by the worker's thread alone."""

    def __init__(self, assigned: Assigned, retention: Callable[[str], float | None], clock: Clock) -> None:
        """``retention`` gives the seconds for which a topic keeps its rows, None while that is not known."""
        self._assigned = assigned
        self._retention = retention
        self._clock = clock
        self._short: set[str] = set()
        self._datasets: set[str] = set()
        self.troubles: list[str] = []
        """Who is parked, and why."""
        self.running_out: list[str] = []
        """Where retention will soon take what a parked one waits for."""

    def tell(self) -> None:
        """Say who is parked, why, and how long is left."""
        counts = {FAILING: 0, NEW: 0}
        said: list[str] = []
        for partition in self._assigned.open.values():
            for entry in partition.behind.parking:
                counts[entry.reason] += 1
                if entry.reason == FAILING and len(said) < _TOLD:
                    said.append(_said(partition, entry))
        metrics.SINK_PARKED_BEHIND.set(sum(_behind(partition) for partition in self._assigned.open.values()))
        for reason, count in counts.items():
            metrics.SINK_PARKED.labels(reason).set(count)
        if counts[FAILING] > _TOLD:
            said.append(f"{counts[FAILING] - _TOLD} more are parked")
        if counts[NEW]:
            said.append(f"{counts[NEW]} new tables and jobs are parked: see sink_new_pairs_a_minute")
        self.troubles = said
        self._tell_left()

    def _tell_left(self) -> None:
        """Say how old the oldest rows are that a parked one waits for, and how long retention leaves them there."""
        oldest, left = 0.0, dict[str, float]()
        short: dict[str, str] = {}
        for partition in self._assigned.open.values():
            age = self._age(partition)
            if age is None:
                continue
            oldest = max(oldest, age)
            if (retention := self._retention(partition.topic)) is None:
                continue
            here = max(0.0, retention - age)
            left[partition.dataset.name] = min(here, left.get(partition.dataset.name, math.inf))
            if here < _SHORT * retention:
                short[partition.where] = (
                    f"retention takes rows that parked tables or jobs of {partition.where} wait for in "
                    f"{here / 3600:.1f} h (of {retention / 3600:.1f}): see docs/parking.md"
                )
                if partition.where not in self._short:
                    _log.error(
                        "sink.parked-running-out",
                        partition=partition.where,
                        left_seconds=round(here),
                        retention_seconds=round(retention),
                    )
        metrics.SINK_PARKED_AGE.set(oldest)
        for dataset, seconds in left.items():
            metrics.SINK_PARKED_LEFT.labels(dataset).set(seconds)
        for dataset in self._datasets - left.keys():
            metrics.SINK_PARKED_LEFT.remove(dataset)
        self._datasets, self._short = set(left), set(short)
        self.running_out = list(short.values())[:_TOLD]

    def _age(self, partition: Partition) -> float | None:
        """Return the age of the oldest rows that a parked one waits for in seconds; None: nobody waits."""
        since = min((entry.since_ms for entry in partition.behind.parking if entry.away and entry.since_ms), default=0)
        return max(0.0, self._clock.now_ns() / 1e9 - since / 1e3) if since else None


def _behind(partition: Partition) -> int:
    lowest = min((entry.cursor.offset for entry in partition.behind.parking if entry.away), default=None)
    return 0 if lowest is None else max(0, partition.position.offset - lowest)


def _said(partition: Partition, entry: Parked) -> str:
    job = entry.outlet.name and f" (job {entry.outlet.name})"
    return (
        f"{entry.outlet.tenant}/{partition.dataset.name}{job} of {partition.where} is parked at offset "
        f"{entry.cursor.offset} ({entry.phase.value}): {entry.trouble or 'it failed before the restart'}"
    )
