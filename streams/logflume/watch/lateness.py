"""How late each group is, partition by partition: Kafka's offsets, and when it appended what lies there.

LA1 The age of a group's oldest record is now minus the time that the broker stamped on it, asked of the broker
    (``kafka.appended``); 0 when there is none.
LA2 Of partitions beyond ``searches`` a look, and of topics whose records bear their producers' times, it comes from
    where we saw the log end at which time (``ages``): never less than the age, and at most two looks more. Those that
    have been late for longest are asked about first.
LA3 What came before we looked first is asked of the broker in any case.
LA4 A clock of ours that is ahead of the broker's makes no record of those that came since we looked first more than a
    minute older than it is: where the log ended at our looks bounds its age.
LA5 A clock of ours that is known to be behind the broker's makes no record younger: it is put forward by so much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from logflume.clock import Clock
from logflume.kafka.appended import AppendTimes, Found
from logflume.kafka.groups import Lag
from logflume.watch.ages import Ages, Place
from logflume.watch.look import Late

_USED_SECONDS: Final = 600.0
"""A partition is in use when something came within this time."""
_FORGET_SECONDS: Final = 60.0
_HELD_SECONDS: Final = 60.0
"""A transaction may hold back a record for so long after it was appended, and we see it only then."""
_NEVER: Final = (0, float("-inf"))
ALL: Final = 1 << 30


class Asking(Protocol):
    """What is needed of ``kafka.groups.Lags``."""

    def read(self) -> list[Lag]:
        """Each group's lag in each partition, now."""
        ...

    def first_from(self, times_ms: Mapping[Place, int]) -> Mapping[Place, Found]:
        """The first record from a time on, and its time; an offset below 0: there is none."""
        ...


class Lateness:
    """Asks Kafka some times a look, nothing of what is in records. One thread's."""

    def __init__(
        self,
        asking: Asking,
        stages: dict[str, str],
        clock: Clock,
        *,
        searches: int = ALL,
        appended: Callable[[str], bool] = lambda topic: True,
    ) -> None:
        """``stages``: the stage of each group. ``appended``: whether the broker stamps the topic's records."""
        self._asking = asking
        self._stages = stages
        self._clock = clock
        self._searches = searches
        self._appended = appended
        self._ages = Ages()
        self._times: dict[str, AppendTimes] = {}
        self._used: dict[Place, tuple[int, float]] = {}
        self._forget_at = 0.0

    def look(self, behind_seconds: float = 0.0) -> list[Late]:
        """Return how late each group is in each partition; ``behind_seconds``: see LA5. Raises as ``Lags.read``."""
        asked = self._clock.monotonic()  # what came while Kafka was asked came after this (AG1)
        rows = self._asking.read()
        now = self._clock.monotonic()
        exact = self._search([row for row in rows if row.lag], now, behind_seconds)
        for row in rows:
            place = (row.topic, row.partition)
            self._ages.note(place, row.end, asked)
            if self._used.get(place, _NEVER)[0] != row.end:
                self._used[place] = (row.end, now)
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_SECONDS
            self._ages.forget(now)
        return [self._late(row, exact, now) for row in rows]

    def _late(self, row: Lag, exact: Mapping[tuple[str, Place], float], now: float) -> Late:
        place = (row.topic, row.partition)
        seconds = 0.0
        if row.lag:
            found = exact.get((row.group, place))
            seconds = self._ages.seconds(place, row.end - row.lag, now) if found is None else found
        used = bool(row.lag) or now - self._used.get(place, _NEVER)[1] < _USED_SECONDS
        return Late(self._stages.get(row.group, ""), row, seconds, used)

    def _search(self, behind: Sequence[Lag], now: float, behind_seconds: float) -> dict[tuple[str, Place], float]:
        """Return the ages that the broker was asked for (LA2, LA3), in seconds."""
        now_ms = self._clock.now_ns() // 1_000_000 + int(behind_seconds * 1000)
        found: dict[tuple[str, Place], float] = {}
        for group, rows in self._chosen(behind, now).items():
            times = self._times.setdefault(group, AppendTimes(self._asking.first_from))
            wanted = {(row.topic, row.partition): (row.end - row.lag, row.end) for row in rows}
            for place, time_ms in times.find(wanted, now_ms).items():
                age = max(0.0, (now_ms - time_ms) / 1000)
                age = min(age, self._ages.most(place, wanted[place][0], now) + _HELD_SECONDS)
                self._ages.note(place, wanted[place][0], now - age)
                if self._appended(place[0]):
                    found[group, place] = age
        return found

    def _chosen(self, behind: Sequence[Lag], now: float) -> dict[str, list[Lag]]:
        """By group, whose oldest records' times are asked for."""
        unknown, known = [], []
        for row in behind:
            place, offset = (row.topic, row.partition), row.end - row.lag
            if not self._ages.reach(place, offset):
                unknown.append(row)
            elif self._appended(row.topic):
                known.append((self._ages.seconds(place, offset, now), row))
        known.sort(key=lambda each: -each[0])
        chosen: dict[str, list[Lag]] = {}
        for row in (*unknown, *(row for _, row in known[: max(0, self._searches - len(unknown))])):
            chosen.setdefault(row.group, []).append(row)
        return chosen
