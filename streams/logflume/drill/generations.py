"""Which configuration each worker goes by, as it tells Prometheus and the status topic."""

from __future__ import annotations

from dataclasses import dataclass

from logflume.clock import SystemClock
from logflume.drill import gauges
from logflume.drill.ground import Ground, kind
from logflume.kafka import status

_KINDS = ("edge", "sort", "sink")
"""Who follows the configuration."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one worker tells: its generation (0: none, None: it does not answer), and how many it has refused."""

    generation: int | None
    refused: int


def told(ground: Ground) -> dict[str, Told]:
    """Ask each worker."""
    found = {}
    for part in ground.workers():
        if kind(part.name) in _KINDS:
            values = gauges.read(part.health)
            generation = values.get("logflume_config_generation")
            refused = values.get("logflume_config_refused_generations_total", 0.0)
            found[part.name] = Told(None if generation is None else int(generation), int(refused))
    return found


def in_force(ground: Ground) -> set[int | None]:
    """The generations that workers go by: one of them when all agree."""
    return {each.generation for each in told(ground).values()}


def complaints(ground: Ground) -> list[str]:
    """What workers say on the status topic of the generation that they refuse; stale workers say nothing."""
    seen = status.read(ground.settings, SystemClock()).workers()
    return [each.status.condition.in_force.refused for each in seen if not each.stale and _follows(each)]


def _follows(seen: status.Seen) -> bool:
    return seen.status.worker.kind in _KINDS
