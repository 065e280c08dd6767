"""When the broker appended a record: asked of the broker, for many partitions at once, and without reading records.

Kafka's ListOffsets (KIP-79) gives for a time the first record from then on, with the time that it bears. Where the
broker stamps records as it appends them (``LogAppendTime``) these times rise with the offsets, so a record's own time
is found by asking a few times.

AP1 ``find`` returns the time of the record at the offset, to a millisecond or a thousandth of its age; never a later
    one, so that an age is never told too small.
AP2 What was found is asked for no more, and the next search of the partition begins there.
AP3 A call costs a request a round for all partitions together, ``_MOST_ROUNDS`` at most; what is not found by then is
    told as older than it is, and the next call goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Place = tuple[str, int]
"""Topic and partition."""
Found = tuple[int, int]
"""Offset and time (milliseconds since 1970 UTC) of the first record from a time on; an offset below 0: none."""

_MOST_ROUNDS: Final = 16
_EXACT: Final = 1000
"""A thousandth of the age is exact enough (AP1)."""


class AppendTimes:
    """One consumer group's: offsets of a partition that only rise. One thread's."""

    def __init__(self, ask: Callable[[Mapping[Place, int]], Mapping[Place, Found]]) -> None:
        """``ask`` gives for each partition the first record from a time on."""
        self._ask = ask
        self._known: dict[Place, Found] = {}
        """A record at or before the one wanted last, and its time."""
        self._answers: dict[Place, Found] = {}
        """What was wanted last, and what was found."""

    def find(self, wanted: Mapping[Place, tuple[int, int]], now_ms: int) -> dict[Place, int]:
        """Return when the record at an offset was appended; ``wanted``: that offset, and the log's end, of each place.

        Raises what ``ask`` does.
        """
        searches = {
            place: _Search(offset, end, self._begin(place, offset, end), now_ms)
            for place, (offset, end) in wanted.items()
            if self._answers.get(place, (-1, 0))[0] != offset
        }
        for _ in range(_MOST_ROUNDS):
            asked = {place: search.next for place, search in searches.items() if not search.done}
            if not asked:
                break
            for place, found in self._ask(asked).items():
                searches[place].take(asked[place], *found)
        for place, search in searches.items():
            if search.low is not None:
                self._known[place] = search.low
                if search.done:
                    self._answers[place] = (search.offset, search.low[1])
        return {place: self._told(place, offset) for place, (offset, _) in wanted.items()}

    def _told(self, place: Place, offset: int) -> int:
        at, time_ms = self._answers.get(place, (-1, 0))
        return time_ms if at == offset else self._known[place][1]

    def _begin(self, place: Place, offset: int, end: int) -> Found | None:
        known = self._known.get(place)
        if known is not None and known[0] <= offset < end:
            return known
        self._answers.pop(place, None)  # an offset that was set back, or another log
        return None


class _Search:
    """For one record: between ``low``, at or before it, and ``high``, behind it."""

    def __init__(self, offset: int, end: int, low: Found | None, now_ms: int) -> None:
        self.offset = offset
        self.low = low
        self._end = end
        self._high = (end, now_ms + 1)
        self._now_ms = now_ms
        self._turn = 0

    @property
    def done(self) -> bool:
        """Whether ``low`` has its time (AP1)."""
        if self.low is None:
            return False
        at, time_ms = self.low
        return at >= self.offset or self._high[1] - time_ms <= max(1, (self._now_ms - time_ms) // _EXACT)

    @property
    def next(self) -> int:
        """The time to ask for: by turns where the record is if they came evenly, the next one, and the middle."""
        if self.low is None:
            return 0
        (low, since), (high, until) = self.low, self._high
        gap = until - since
        way = ((self.offset - low - 0.5) / max(1, high - low), 0.0, 0.5)[self._turn % 3]
        return since + min(gap - 1, max(1, round(way * gap)))

    def take(self, asked_ms: int, offset: int, time_ms: int) -> None:
        """Hear of the first record from ``asked_ms`` on."""
        self._turn += self.low is not None
        if 0 <= offset <= self.offset or self.low is None:
            self.low = (offset if offset >= 0 else self.offset, time_ms if offset >= 0 else self._now_ms)
        else:
            self._high = (offset if offset >= 0 else self._end, asked_ms)
