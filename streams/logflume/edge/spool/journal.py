"""The segment that is being written, and when the next one begins. Not thread-safe: the spool's lock guards it.

J1  When ``append`` returns with ``durable``, the record outlives a crash of the machine.
J2  When it raises, the record is not in the segment, or that segment is never written again: after a failed ``fsync``
    the system forgets what it could not write and says nothing of it the next time, so such a file can't be trusted.
J3  A segment begins with a checkpoint, twice, that is durable before anything else is written there: so everything in
    the segments before but their messages may be forgotten. Twice, as it guards against sending again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
from collections.abc import Callable
from pathlib import Path

from logflume import crash
from logflume.edge.spool.disk import Disk, File
from logflume.edge.spool.segment import Segment

_LOG = logging.getLogger("logflume.edge.spool")

_NAME = re.compile(r"([0-9a-f]{16})-([0-9]{12})\.segment")

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk, or our part of it, is full: nothing is broken."""


def parse_name(name: str) -> tuple[str, int] | None:
    """The spool's id and the segment's number that a file's name tells; None when it is no segment's."""
    found = _NAME.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


class Journal:
    """See J1 to J3. All errors are ``OSError``."""

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        *,
        spool_id: str,
        sequence: int,
        segment_bytes: int,
        checkpoint: Callable[[], bytes],
        begun: Callable[[Segment], None],
    ) -> None:
        """``checkpoint`` makes a segment's first record; ``begun`` is told of each new segment."""
        self._folder = folder
        self._disk = disk
        self._spool_id = spool_id
        self._sequence = sequence
        self._segment_bytes = segment_bytes
        self._checkpoint = checkpoint
        self._begun = begun
        self._file: File | None = None
        self._segment = Segment(folder)
        self._begun_bytes = 0  # what its checkpoint takes: of thousands of marks it may be larger than all the rest

    def append(self, record: bytes, *, durable: bool) -> tuple[Segment, int]:
        """Write ``record``; returns the segment that has it, and where."""
        if self._file is None or self._segment.size - self._begun_bytes >= self._segment_bytes:
            self.begin()
        file, segment = self._file, self._segment
        assert file is not None
        at = segment.size
        try:
            file.write(record)
        except OSError as failure:
            self._take_back(at, trusted=failure.errno in NO_ROOM)
            raise
        crash.point("spool.written")
        if durable:
            try:
                file.sync()
            except OSError:
                self._take_back(at, trusted=False)
                raise
        segment.size += len(record)
        return segment, at

    def begin(self) -> None:
        """Go on in a new segment (J3).

        Should that fail, nothing is written to the old one either: if the new one comes to light after a crash, its
        checkpoint would be taken for later than what was written there.
        """
        self.leave()
        self._sequence += 1
        path = self._folder / f"{self._spool_id}-{self._sequence:012d}.segment"
        file = self._disk.create(path)
        try:
            checkpoint = self._checkpoint()
            file.write(checkpoint)
            file.write(checkpoint)
            file.sync()
            self._disk.sync_folder(self._folder)
        except OSError:
            file.close()
            with contextlib.suppress(OSError):
                self._disk.remove(path)
            raise
        self._file = file
        self._segment = Segment(path)
        self._segment.size = self._begun_bytes = 2 * len(checkpoint)
        self._begun(self._segment)

    def leave(self) -> None:
        """Write no more into this segment."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def close(self) -> None:
        """Make what was noted durable, if the disk lets us, and end."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # notes without which the next one only looks longer
                self._file.sync()
        self.leave()

    def _take_back(self, good: int, *, trusted: bool) -> None:
        """Cut what a failed write left; a file that is not ``trusted``, or can't be cut, is left for good (J2)."""
        assert self._file is not None
        try:
            self._file.cut(good)
        except OSError:
            trusted = False
        if not trusted:
            _LOG.warning("%s failed to be written at %d; another segment takes its place", self._segment.path, good)
            self.leave()
