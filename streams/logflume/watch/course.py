"""How groups fare from look to look: how fast they are, when they will have caught up, and what is wrong with them.

CO1 A group that had committed offsets and has none any more has vanished, until it has some again.
CO2 A topic whose records nobody has committed anything of for ``stall_seconds`` is read by no group.
CO3 An offset that is lower than before went backwards; it is told for ``TOLD_SECONDS``.
CO4 A partition with lag whose offset stayed for ``stall_seconds`` has a stalled commit. Sinks may wait on purpose, for
    the longest ``max_age_seconds`` of a job; that is allowed them in addition.
CO5 Each is logged when it begins, and when it is over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import structlog

from logflume import metrics
from logflume.kafka.groups import Lag
from logflume.watch.look import Finding, Late, Pace, What

TOLD_SECONDS: Final = 600.0
_PACE_SECONDS: Final = 60.0
"""Over so long the pace is measured; a sink commits once a second, and flushes every few."""

_IN_STEP: Final = 0.05
"""A group whose pace differs by less from what comes keeps pace: what lies there is always about as much."""
_SOON_SECONDS: Final = 30.0
"""So does one that has done what lies there within this time: sinks commit in bursts, and rates waver by them."""

_Read = tuple[str, str]
"""Group and topic."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Place:
    """Where a group was in a partition, and since when (monotonic)."""

    offset: int
    since: float


class Course:
    """See CO1 to CO5. One thread's."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._history: dict[_Read, deque[tuple[float, int, int]]] = {}
        self._places: dict[tuple[str, str, int], _Place] = {}
        self._there: set[str] = set()
        """Groups that have had offsets."""
        self._unread_since: dict[str, float] = {}
        self._backwards: dict[_Read, tuple[float, Finding]] = {}
        self._told: dict[tuple[What, str, str], Finding] = {}

    def follow(self, late: Sequence[Late], wait_seconds: float, now: float) -> tuple[list[Pace], list[Finding]]:
        """Take in a look at ``now`` (monotonic). ``wait_seconds``: how long sinks may wait on purpose."""
        ordered = sorted(late, key=_read)
        reads = {read: list(of) for read, of in groupby(ordered, key=_read)}
        paces = [self._pace(read, of, now) for read, of in reads.items()]
        findings = [
            *self._vanished(late),
            *self._unread(late, now),
            *self._went_backwards(reads, now),
            *self._stalled(reads, wait_seconds, now),
        ]
        self._say(findings)
        return paces, findings

    def _pace(self, read: _Read, of: Sequence[Late], now: float) -> Pace:
        lags = [each.lag for each in of]
        records, end = sum(lag.lag for lag in lags), sum(lag.end for lag in lags)
        history = self._history.setdefault(read, deque())
        if history and (end < history[-1][1] or end - records < history[-1][2]):
            history.clear()  # the topic was made again, or an offset set back
        history.append((now, end, end - records))
        while len(history) > 2 and now - history[1][0] >= _PACE_SECONDS:
            history.popleft()
        since, end_then, done_then = history[0]
        came = done = None
        if now > since:
            came, done = (end - end_then) / (now - since), (end - records - done_then) / (now - since)
        return Pace(
            *read,
            records=records,
            seconds=max((each.seconds for each in of), default=0.0),
            lost=sum(lag.lost for lag in lags),
            end=end,
            done=end - records,
            came_a_second=came,
            done_a_second=done,
            catch_up_seconds=_catch_up(records, came, done),
        )

    def _vanished(self, late: Iterable[Late]) -> Iterator[Finding]:
        """CO1."""
        there = {each.lag.group for each in late if each.lag.offset is not None}
        self._there |= there
        for group in sorted(self._there - there):
            yield Finding(
                What.VANISHED, group, "", 0, f"group {group} has no offsets any more: it was deleted, or they expired"
            )

    def _unread(self, late: Iterable[Late], now: float) -> Iterator[Finding]:
        """CO2."""
        waiting = {each.lag.topic for each in late if each.lag.end}
        waiting -= {each.lag.topic for each in late if each.lag.offset is not None}
        self._unread_since = {topic: self._unread_since.get(topic, now) for topic in waiting}
        for topic, since in sorted(self._unread_since.items()):
            if now - since >= self._stall_seconds:
                yield Finding(What.UNREAD, "", topic, 0, f"no group has committed anything of {topic}")

    def _went_backwards(self, reads: dict[_Read, list[Late]], now: float) -> Iterator[Finding]:
        """CO3."""
        for read, of in reads.items():
            back = [each.lag for each in of if self._was_beyond(each.lag)]
            if back:
                metrics.LAG_BACKWARDS.labels(*read).inc(len(back))
                first = back[0]
                text = (
                    f"group {first.group} went back in {len(back)} partitions of {first.topic}, "
                    f"in {first.partition} from {self._places[_place(first)].offset} to {first.offset}"
                )
                self._backwards[read] = (now, Finding(What.BACKWARDS, *read, len(back), text))
        self._backwards = {read: told for read, told in self._backwards.items() if now - told[0] < TOLD_SECONDS}
        yield from (finding for _, finding in self._backwards.values())

    def _was_beyond(self, lag: Lag) -> bool:
        before = self._places.get(_place(lag))
        return before is not None and lag.offset is not None and lag.offset < before.offset

    def _stalled(self, reads: dict[_Read, list[Late]], wait_seconds: float, now: float) -> Iterator[Finding]:
        """CO4."""
        for read, of in reads.items():
            stalled: list[tuple[float, Lag]] = []
            for each in of:
                lag, before = each.lag, self._places.get(_place(each.lag))
                if lag.offset is None:
                    continue
                if before is None or before.offset != lag.offset or not lag.lag:
                    self._places[_place(lag)] = _Place(lag.offset, now)
                elif now - before.since >= self._stall_seconds + (wait_seconds if each.stage == "sink" else 0.0):
                    stalled.append((now - before.since, lag))
            if stalled:
                seconds, lag = max(stalled, key=lambda found: found[0])
                text = (
                    f"group {lag.group} has committed nothing in {len(stalled)} partitions of {lag.topic} that have "
                    f"records, in {lag.partition} for {seconds:.0f} s"
                )
                yield Finding(What.STALLED, *read, len(stalled), text)

    def _say(self, findings: Iterable[Finding]) -> None:
        """CO5."""
        now = {(each.what, each.group, each.topic): each for each in findings}
        for about in now.keys() - self._told.keys():
            _log.error(f"watch.{about[0]}", group=about[1], topic=about[2], detail=now[about].text)
        for what, group, topic in self._told.keys() - now.keys():
            _log.warning(f"watch.{what}-no-more", group=group, topic=topic)
        self._told = now


def _read(late: Late) -> _Read:
    return late.lag.group, late.lag.topic


def _place(lag: Lag) -> tuple[str, str, int]:
    return lag.group, lag.topic, lag.partition


def _catch_up(records: int, came: float | None, done: float | None) -> float | None:
    if not records:
        return 0.0
    if came is None or done is None:
        return None
    if done > 0 and (abs(done - came) <= _IN_STEP * came or records <= _SOON_SECONDS * done):
        return records / done
    return records / (done - came) if done > came else math.inf
