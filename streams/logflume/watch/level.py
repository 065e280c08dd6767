"""From how near a limit is to what edges shall do: up at once, down slowly, and nothing in between.

J1  At or above a level's ``on`` mark that level holds at once.
J2  Down it goes one level at a time, each when the share was at or below the level's ``off`` mark for ``hold_seconds``
    without a break.
J3  Between ``off`` and ``on`` of a level nothing changes: what wobbles there never makes the level flap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from logflume.errors import Misconfigured
from logflume.kafka.status import Level
from logflume.settings import Settings


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the levels begin and end, as parts of a limit; ``least``: the least part of its pace that an edge keeps."""

    slow_on: float = 0.9
    slow_off: float = 0.7
    stop_on: float = 1.0
    stop_off: float = 0.8
    hold_seconds: float = 10.0
    least: float = 0.1

    @classmethod
    def of(cls, settings: Settings) -> Marks:
        """The settings'; ``Misconfigured`` when they are no band at all."""
        marks = cls(
            settings.pressure_slow_on,
            settings.pressure_slow_off,
            settings.pressure_stop_on,
            settings.pressure_stop_off,
            settings.pressure_hold_seconds,
            settings.pressure_least_ratio,
        )
        if not (marks.slow_off < marks.slow_on <= marks.stop_on and marks.slow_off <= marks.stop_off < marks.stop_on):
            raise Misconfigured(
                "pressure_slow_off < pressure_slow_on <= pressure_stop_on and "
                "pressure_slow_off <= pressure_stop_off < pressure_stop_on are wanted: "
                "a level that ends where it begins would flap"
            )
        return marks


@dataclass(frozen=True, slots=True)
class State:
    """The level in force, since when, and since when the share is low enough for the next lower one (monotonic)."""

    level: Level = Level.NONE
    since: float = 0.0
    low_since: float | None = None


def step(state: State, share: float, now: float, marks: Marks) -> State:
    """Return the state after a look at ``now``, when the nearest limit was at ``share`` (1: reached)."""
    risen = _risen(state.level, share, marks)
    if risen is not state.level:
        return State(risen, now)
    if state.level is Level.NONE:
        return state
    off, below = (marks.stop_off, Level.SLOW) if state.level is Level.STOP else (marks.slow_off, Level.NONE)
    if share > off:
        return replace(state, low_since=None)
    low_since = now if state.low_since is None else state.low_since
    if now - low_since >= marks.hold_seconds:
        return State(below, now)
    return replace(state, low_since=low_since)


def factor(level: Level, share: float, marks: Marks) -> float:
    """Which part of their pace edges keep: all of it where slowing down ends, the least where they stop."""
    if level is Level.NONE:
        return 1.0
    if level is Level.STOP:
        return 0.0
    way = (share - marks.slow_off) / (marks.stop_on - marks.slow_off)
    return min(1.0, max(marks.least, 1.0 - way * (1.0 - marks.least)))


def _risen(level: Level, share: float, marks: Marks) -> Level:
    """J1."""
    if share >= marks.stop_on:
        return Level.STOP
    if share >= marks.slow_on and level is Level.NONE:
        return Level.SLOW
    return level
