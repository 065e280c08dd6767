"""What is known in memory of one segment: where its messages lie and which of them are done. No I/O, no lock.

A message costs some 10 bytes here, and a group of them 32, so that a full spool of small blocks stays small in memory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where a message lies: the record at ``at``, whose first message has the number ``first``."""

    at: int
    first: int


class Segment:
    """A file of records. Groups are added with growing numbers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes of whole records; what a failed write left behind them does not count."""
        self.left = 0
        """Messages that are not done."""
        self.kept = False
        """It holds something broken of which there is no copy yet: it must not be removed."""
        self._firsts = array("Q")
        self._places = array("Q")
        self._times = array("Q")
        self._bases = array("Q")  # index of a group's first message in _done
        self._done = bytearray()

    @property
    def last(self) -> int:
        """The highest number in it, -1 when it has no message."""
        return self._firsts[-1] + len(self._done) - self._bases[-1] - 1 if self._firsts else -1

    @property
    def oldest_ns(self) -> int | None:
        """When the first of its messages that are not done was put."""
        at = self._done.find(0)
        return None if at < 0 else self._times[bisect_right(self._bases, at) - 1]

    def add(self, at: int, first: int, count: int, time_ns: int) -> None:
        """Know of a group of ``count`` messages in the record at ``at``."""
        if not count:
            return
        self._firsts.append(first)
        self._places.append(at)
        self._times.append(time_ns)
        self._bases.append(len(self._done))
        self._done += bytes(count)
        self.left += count

    def find(self, number: int) -> Place | None:
        """Where ``number`` lies, if it is here and not done."""
        found = self._index(number)
        if found is None or self._done[found[1]]:
            return None
        return Place(self._places[found[0]], self._firsts[found[0]])

    def group(self, number: int) -> range:
        """The numbers of the group that ``number`` is in, done or not."""
        found = self._index(number)
        if found is None:
            return range(0)
        first = self._firsts[found[0]]
        return range(first, first + self._end(found[0]) - self._bases[found[0]])

    def extent(self, first: int) -> int:
        """Bytes from the record of the group that begins with ``first`` to that of the next group, or to the end."""
        group = bisect_right(self._firsts, first)
        return (self._places[group] if group < len(self._places) else self.size) - self._places[group - 1]

    def finish(self, number: int) -> bool:
        """Count ``number`` as done; False when it is not here, or was done already."""
        found = self._index(number)
        if found is None or self._done[found[1]]:
            return False
        self._done[found[1]] = 1
        self.left -= 1
        return True

    def waiting(self, start: int) -> Iterator[int]:
        """The numbers from ``start`` on that are not done, in order."""
        group = max(0, bisect_right(self._firsts, start) - 1)
        while self.left and group < len(self._firsts):
            first, base = self._firsts[group], self._bases[group]
            for at in range(base, self._end(group)):
                number = first + at - base
                if number >= start and not self._done[at]:
                    yield number
            group += 1

    def ranges(self) -> Iterator[tuple[int, int]]:
        """First and last of each range of numbers that are not done."""
        if not self.left:
            return
        whole = self.left == len(self._done)
        for group, first in enumerate(self._firsts):
            base, end = self._bases[group], self._end(group)
            if whole:
                yield first, first + end - base - 1
                continue
            for at in range(base, end):
                if not self._done[at]:
                    yield first + at - base, first + at - base

    def _end(self, group: int) -> int:
        return self._bases[group + 1] if group + 1 < len(self._bases) else len(self._done)

    def _index(self, number: int) -> tuple[int, int] | None:
        group = bisect_right(self._firsts, number) - 1
        if group < 0:
            return None
        at = self._bases[group] + number - self._firsts[group]
        return (group, at) if at < self._end(group) else None


def merged(ranges: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in order, those that touch made one."""
    open_range: tuple[int, int] | None = None
    for first, last in ranges:
        if open_range is not None and first == open_range[1] + 1:
            open_range = (open_range[0], last)
            continue
        if open_range is not None:
            yield open_range
        open_range = (first, last)
    if open_range is not None:
        yield open_range
