"""How late sorters and sinks are, partition by partition: Kafka's offsets, and the ages of what lies there."""

from __future__ import annotations

from typing import Final, Protocol

from logflume.clock import Clock
from logflume.kafka.groups import Lag
from logflume.watch.ages import Ages, Place
from logflume.watch.causes import Late

_LOOK_BACK: Final = tuple(2.0**power for power in range(1, 18))
"""Ages in seconds, to a day and a half, for which Kafka is asked at the start; later on our own notes tell."""
_USED_SECONDS: Final = 600.0
"""A partition is in use when something came within this time."""
_FORGET_SECONDS: Final = 60.0
_NEVER: Final = (0, float("-inf"))


class Asking(Protocol):
    """What is needed of ``kafka.groups.Lags``."""

    def read(self) -> list[Lag]:
        """Each group's lag in each partition, now."""
        ...

    def ends_at(self, places: list[Place], time_ms: int) -> dict[Place, int | None]:
        """Where logs ended at a time; None: where they end now."""
        ...


class Lateness:
    """Asks Kafka once a look: offsets and ends of all partitions, nothing of what is in them. One thread's."""

    def __init__(self, asking: Asking, stages: dict[str, str], clock: Clock) -> None:
        """``stages``: the stage of each group."""
        self._asking = asking
        self._stages = stages
        self._clock = clock
        self._ages = Ages()
        self._asked: set[Place] = set()
        self._used: dict[Place, tuple[int, float]] = {}
        self._forget_at = 0.0

    def look(self) -> list[Late]:
        """Return how late each stage is in each partition. Raises as ``Lags.read``."""
        asked = self._clock.monotonic()  # what came while Kafka was asked came after this (AG1)
        rows = self._asking.read()
        now = self._clock.monotonic()
        self._look_back([row for row in rows if row.lag], now)
        for row in rows:
            place = (row.topic, row.partition)
            self._ages.note(place, row.end, asked)
            if self._used.get(place, _NEVER)[0] != row.end:
                self._used[place] = (row.end, now)
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_SECONDS
            self._ages.forget(now)
        return [self._late(row, now) for row in rows]

    def _late(self, row: Lag, now: float) -> Late:
        place = (row.topic, row.partition)
        seconds = self._ages.seconds(place, row.end - row.lag, now) if row.lag else 0.0
        used = bool(row.lag) or now - self._used.get(place, _NEVER)[1] < _USED_SECONDS
        return Late(self._stages[row.group], f"{row.topic}[{row.partition}]", row.lag, seconds, used)

    def _look_back(self, behind: list[Lag], now: float) -> None:
        """Ask Kafka about partitions whose oldest record came before we looked; once for each."""
        wanted = {}
        for row in behind:
            place = (row.topic, row.partition)
            if place not in self._asked and not self._ages.reach(place, row.end - row.lag):
                wanted[place] = row.end
        now_ms = self._clock.now_ns() // 1_000_000
        for seconds in _LOOK_BACK if wanted else ():
            for place, end in self._asking.ends_at(list(wanted), now_ms - round(seconds * 1000)).items():
                self._ages.note(place, wanted[place] if end is None else end, now - seconds)
        self._asked |= wanted.keys()
