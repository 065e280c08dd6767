"""What one look at Kafka shows: one immutable value, which metrics, commands and the pressure are all made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from logflume.kafka.groups import Lag
from logflume.kafka.status import NO_PRESSURE, Pressure, Seen, Share


@dataclass(frozen=True, slots=True)
class Late:
    """How far a group is behind in one partition: records, and the age of the oldest of them; 0 when there is none.

    ``stage``: whose group it is; empty: none of Logflume's. ``used``: whether records came lately, or wait.
    """

    stage: str
    lag: Lag
    seconds: float
    used: bool

    @property
    def partition(self) -> str:
        """As workers call it: ``topic[number]``."""
        return f"{self.lag.topic}[{self.lag.partition}]"


@dataclass(frozen=True, slots=True)
class Pace:
    """A group on a topic, all partitions together: how fast records come and are done, of late.

    ``catch_up_seconds``: when it will have caught up if both stay so; inf: never. Of a group that keeps pace with what
    comes: when what lies there now will be done. None: not known yet.
    """

    group: str
    topic: str
    records: int
    seconds: float
    lost: int
    end: int
    done: int
    came_a_second: float | None
    done_a_second: float | None
    catch_up_seconds: float | None


class What(StrEnum):
    """What is not as it should be with a group."""

    VANISHED = "group-vanished"
    UNREAD = "topic-without-group"
    BACKWARDS = "offset-backwards"
    STALLED = "commit-stalled"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of a group that somebody should look at; ``count``: of partitions."""

    what: What
    group: str
    topic: str
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """Everything, at one time."""

    at_ms: int = 0
    took_seconds: float = 0.0
    late: tuple[Late, ...] = ()
    paces: tuple[Pace, ...] = ()
    findings: tuple[Finding, ...] = ()
    workers: tuple[Seen, ...] = ()
    tenants: tuple[Share, ...] = ()
    """Tables of tenants, as sinks tell of them; the last one, without a name, is all others."""
    pressure: Pressure = NO_PRESSURE
    """As it was published last."""
