"""What a worker tells of its configuration on the topic ``status``."""

from __future__ import annotations

from logflume.clock import Clock
from logflume.config import Source
from logflume.kafka import status
from logflume.kafka.status import InForce


def in_force(source: Source, clock: Clock) -> InForce:
    """Return which generation is in force, its age, and why what was offered since is not."""
    return status.in_force(source.current, clock, source.state().refused)
