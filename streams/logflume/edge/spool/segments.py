"""All segments of a spool: where its messages are read back from, how much they take, and when one may go.

Not thread-safe: the spool's lock guards it.

SG1  A record that is found broken is set aside in ``quarantine/`` before its messages count as done; one that can't be
     read now is left for the next opening to try.
SG2  A segment goes once all its messages are done; never the last, whose checkpoint speaks for those before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from logflume import metrics
from logflume.edge.spool import frames, records
from logflume.edge.spool.disk import Disk
from logflume.edge.spool.message import Message
from logflume.edge.spool.records import Group
from logflume.edge.spool.replay import set_aside
from logflume.edge.spool.segment import Segment, merged

_LOG = logging.getLogger("logflume.edge.spool")


class Segments:
    """See SG1 and SG2; the oldest first. Each call but ``load`` and ``reclaim`` is memory alone."""

    def __init__(
        self, disk: Disk, spool_id: str, segments: Sequence[Segment], lost: Callable[[Sequence[int]], None]
    ) -> None:
        """``lost`` is told of the messages in a record that was set aside; the spool counts them as done."""
        self._disk = disk
        self._id = bytes.fromhex(spool_id)
        self._segments = list(segments)
        self._lost = lost
        self._group: tuple[int, Group] | None = None

    def add(self, segment: Segment) -> None:
        """Know of a segment that was begun."""
        self._segments.append(segment)

    @property
    def last(self) -> Segment:
        """The one that was begun last."""
        return self._segments[-1]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(segment.size for segment in self._segments)

    @property
    def left(self) -> int:
        """Messages that are not done."""
        return sum(segment.left for segment in self._segments)

    @property
    def oldest_ns(self) -> int | None:
        """When the first of them was put."""
        return next((segment.oldest_ns for segment in self._segments if segment.left), None)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last of each range of numbers that are not done."""
        return tuple(merged(each for segment in self._segments for each in segment.ranges()))

    def has(self, number: int) -> bool:
        """Whether ``number`` is here and not done."""
        return any(segment.find(number) for segment in self._segments)

    def following(self, start: int, out: Collection[int]) -> int | None:
        """The first number from ``start`` on that is not done and not ``out``."""
        for segment in self._segments:
            if segment.left and segment.last >= start:
                for number in segment.waiting(start):
                    if number not in out:
                        return number
        return None

    def finish(self, number: int) -> None:
        """Count ``number`` as done."""
        for segment in self._segments:
            if segment.finish(number):
                return

    def load(self, number: int) -> Message | None:
        """Read a message; None when it can't be (SG1)."""
        for segment in self._segments:
            place = segment.find(number)
            if place is not None:
                if self._group is None or self._group[0] != place.first:
                    self._group = self._read(segment, place.at, place.first)
                return None if self._group is None else self._group[1].messages[number - place.first]
        return None

    def reclaim(self) -> None:
        """Remove the segments that may go (SG2)."""
        for segment in self._segments[:-1]:
            if segment.left or segment.kept:
                continue
            try:
                self._disk.remove(segment.path)
            except FileNotFoundError:
                pass
            except OSError as failure:
                _LOG.warning("%s can't be removed: %s", segment.path, failure)
                continue
            self._segments.remove(segment)

    def _read(self, segment: Segment, at: int, first: int) -> tuple[int, Group] | None:
        record = b""
        try:
            head = frames.read_head(self._id, self._disk.read(segment.path, at, frames.HEAD_BYTES))
            size = frames.FRAME_BYTES + head.length if head is not None else segment.extent(first)
            record = self._disk.read(segment.path, at, size)
        except OSError as failure:
            metrics.EDGE_SPOOL_ERRORS.labels("unreadable").inc()
            _LOG.error("%s can't be read at %d: %s; the next start tries again", segment.path, at, failure)
            return None
        payload = frames.read_payload(record) if head is not None and len(record) == size else None
        if payload is not None:
            return first, records.unpack_group(payload)
        numbers = segment.group(first)
        lost = [number for number in numbers if segment.find(number) is not None]
        if set_aside(self._disk, segment.path, at, record, len(lost), f"messages {numbers[0]} to {numbers[-1]}"):
            self._lost(lost)
        return None
