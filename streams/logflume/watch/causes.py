"""What is near its limit, as parts of that limit.

CA1 A stage is as late as a quarter (``pressure_partitions_ratio``) of its partitions in use are at least: what holds up
    single ones, a whale or a broken table, slows nobody else down.
CA2 Partitions that a worker has stopped, because reading on could lose or mix up rows, do not count: they wait for
    somebody, and all other tenants must not.
CA3 A worker's memory slows edges down and never stops them: its end, and a successor, would come sooner.
CA4 What fills an edge (spool, memory) is not here: an edge obeys its own limits, and slows down no other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from logflume.kafka.status import Seen
from logflume.settings import Settings
from logflume.watch.look import Late

STAGES = ("sort", "sink")

_MOST_OF_MEMORY = 0.99  # CA3


@dataclass(frozen=True, slots=True)
class Cause:
    """A limit and how near it is: ``share`` 1 is reached. ``text`` is for people."""

    stage: str
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; 0: anything."""

    lag_seconds: float
    partitions_ratio: float
    memory_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The settings'."""
        return cls(
            settings.pressure_lag_seconds, settings.pressure_partitions_ratio, int(settings.pressure_memory_bytes)
        )


def causes(late: Iterable[Late], workers: Iterable[Seen], limits: Limits) -> list[Cause]:
    """Return what was measured against each limit, the nearest first."""
    fresh = [seen for seen in workers if not seen.stale]
    stopped = {name for seen in fresh for name in seen.status.condition.stopped}
    everything = list(late)
    found = [cause for stage in STAGES for cause in _lag(stage, everything, stopped, limits)]
    found += [cause for seen in fresh for cause in _memory(seen, limits)]
    return sorted(found, key=lambda cause: -cause.share)


def lag_seconds(late: Sequence[Late], ratio: float) -> float:
    """Return how late ``ratio`` of these partitions are at least (CA1)."""
    used = sorted((each.seconds for each in late if each.used), reverse=True)
    return used[math.ceil(ratio * len(used)) - 1] if used else 0.0


def _lag(stage: str, late: Sequence[Late], stopped: Collection[str], limits: Limits) -> list[Cause]:
    if limits.lag_seconds <= 0:
        return []
    counted = [each for each in late if each.stage == stage and each.partition not in stopped]
    seconds = lag_seconds(counted, limits.partitions_ratio)
    as_late = sum(each.used and each.seconds >= seconds for each in counted)
    of = sum(each.used for each in counted)
    text = (
        f"{stage}: {as_late} of {of} partitions are {seconds:.0f} s late or more; the limit is {limits.lag_seconds:g} s"
    )
    return [Cause(stage, seconds / limits.lag_seconds, text)]


def _memory(seen: Seen, limits: Limits) -> list[Cause]:
    worker, condition = seen.status.worker, seen.status.condition
    if limits.memory_bytes <= 0 or worker.kind not in STAGES or condition.budget_bytes <= 0:
        return []
    beyond = condition.resident_bytes - condition.budget_bytes
    text = (
        f"{worker.kind} {worker.id} takes {condition.resident_bytes / 1e6:.0f} MB; its budget is "
        f"{condition.budget_bytes / 1e6:.0f} MB, and {limits.memory_bytes / 1e6:.0f} MB more are allowed"
    )
    return [Cause(worker.kind, min(_MOST_OF_MEMORY, max(0.0, beyond / limits.memory_bytes)), text)]
