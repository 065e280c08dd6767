"""Which offset of an ingest partition may be committed: the end of the unbroken prefix of what is done.

Faust's own rule commits past a message still in flight when several are worked on at once (faust issue 606), and takes
holes between chunks for done. This rule knows exactly what was fetched, in order, and nothing else.

Invariants:

C1  ``committable`` never lies beyond a range that was fetched and is not done.
C2  A range is known from the moment it is fetched: one that is dropped on its way holds the commit back rather than be
    passed over.
C3  After ``forget`` nothing that was fetched before counts, whenever it is done.
C4  A range stays known until Kafka has taken its commit: a refused one is tried again, and seen by ``oldest``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Range:
    """Offsets ``first`` to ``last`` of one partition, fetched together at ``since`` (monotonic seconds)."""

    first: int
    last: int
    since: float
    done: bool = False


class CommitRule:
    """The ranges fetched and not yet committed, by partition."""

    def __init__(self) -> None:
        self._ranges: dict[Hashable, deque[Range]] = {}

    def fetched(self, partition: Hashable, first: int, last: int, since: float) -> Range:
        """Note a range in the order of its fetch, and return what ``done`` is to be set on."""
        fetched = Range(first, last, since)
        self._ranges.setdefault(partition, deque()).append(fetched)
        return fetched

    def committable(self, partition: Hashable) -> int | None:
        """Return the next offset that may be committed; None when nothing new is done."""
        offset = None
        for each in self._ranges.get(partition, ()):
            if not each.done:
                break
            offset = each.last + 1
        return offset

    def committed(self, partition: Hashable, offset: int) -> None:
        """Note that Kafka holds ``offset``, which ``committable`` gave."""
        ranges = self._ranges.get(partition, deque())
        while ranges and ranges[0].done and ranges[0].last < offset:
            ranges.popleft()

    def ready(self) -> list[Hashable]:
        """Return the partitions with something new to commit."""
        return [partition for partition, ranges in self._ranges.items() if ranges and ranges[0].done]

    def forget(self, partitions: Iterable[Hashable] | None = None) -> None:
        """Forget all that was fetched of ``partitions`` (None: of all), because reading starts again elsewhere."""
        if partitions is None:
            self._ranges.clear()
            return
        for partition in partitions:
            self._ranges.pop(partition, None)

    def oldest(self) -> tuple[Hashable, Range] | None:
        """Return the range that has waited longest to be committed, with its partition."""
        waiting = [(partition, ranges[0]) for partition, ranges in self._ranges.items() if ranges]
        return min(waiting, key=lambda pair: pair[1].since, default=None)
