"""How old the record at an offset is, without reading it: from where the log's end was at which time.

AG1 ``seconds`` is never less than the record's age, as far back as something was noted, and at most the distance of two
    notes more, or a tenth of it where notes have been thinned.
AG2 A partition's notes are some hundred at most, however long it is watched.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final

Place = tuple[str, int]
"""Topic and partition."""

_APART: Final = 0.1
"""Notes may lie apart by this part of their age."""
_MOST_NOTES: Final = 400
_LONGEST_SECONDS: Final = 7 * 86_400.0


class Ages:
    """Where each partition's log ended, at which times (seconds of any one clock)."""

    def __init__(self) -> None:
        self._notes: dict[Place, list[tuple[int, float]]] = {}  # by partition: (end, last time that it was there)
        self._thinned = 0.0

    def note(self, place: Place, end: int, at: float) -> None:
        """At the time ``at`` the next record of ``place`` was to get the offset ``end``."""
        notes = self._notes.setdefault(place, [])
        if notes and end < notes[-1][0] and at >= notes[-1][1]:
            notes.clear()  # another log: the topic was made again
        if notes and notes[-1][0] == end:
            notes[-1] = (end, max(at, notes[-1][1]))
        elif not notes or end > notes[-1][0]:
            notes.append((end, at))
        elif (found := bisect_right(notes, (end, float("inf")))) and notes[found - 1][0] == end:
            notes[found - 1] = (end, max(at, notes[found - 1][1]))
        else:
            insort(notes, (end, at))

    def reach(self, place: Place, offset: int) -> bool:
        """Whether something was noted from before the record at ``offset`` came."""
        notes = self._notes.get(place, [])
        return bool(notes) and notes[0][0] <= offset

    def seconds(self, place: Place, offset: int, now: float) -> float:
        """How old the record at ``offset`` is; 0 when there is none yet (AG1)."""
        notes = self._notes.get(place, [])
        if not notes or offset >= notes[-1][0]:
            return 0.0
        before = bisect_right(notes, (offset, float("inf")))
        return max(0.0, now - notes[max(0, before - 1)][1])

    def most(self, place: Place, offset: int, now: float) -> float:
        """How old a record at ``offset`` is at most; inf: nothing was noted from before it came."""
        notes = self._notes.get(place, [])
        before = bisect_right(notes, (offset, float("inf")))
        return max(0.0, now - notes[before - 1][1]) if before else float("inf")

    def forget(self, now: float) -> None:
        """Keep AG2; call it now and then."""
        for place, notes in self._notes.items():
            kept: list[tuple[int, float]] = []
            for at, note in enumerate(notes):
                last = at + 1 == len(notes)
                near = kept and not last and notes[at + 1][1] - kept[-1][1] < _APART * (now - note[1])
                if not near and (last or now - note[1] < _LONGEST_SECONDS):
                    kept.append(note)
            self._notes[place] = kept[-_MOST_NOTES:]
