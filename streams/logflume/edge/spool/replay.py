"""What the segments of a folder say, read in their order: the messages that are not done, the marks, what is in doubt.

RE1  What a later record or checkpoint says replaces what was said before it.
RE2  Bytes that are no record cost only themselves: they are copied to ``quarantine/`` (before their segment may go),
     counted, logged as an error. An end that a crash tore is no damage: it was never acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from logflume import metrics
from logflume.edge.spool import frames, records
from logflume.edge.spool.disk import Disk
from logflume.edge.spool.frames import Damage, Frame, Kind
from logflume.edge.spool.records import Sent
from logflume.edge.spool.segment import Segment

_LOG = logging.getLogger("logflume.edge.spool")

QUARANTINE = "quarantine"
_SECTOR_BYTES = 4096
"""What is tried by itself when a file can't be read in one go."""


@dataclass
class Found:
    """What a folder of segments holds."""

    next: int = 1
    marks: dict[str, bytes] = field(default_factory=dict)
    sent: dict[int, Sent] = field(default_factory=dict)
    """By number: sent, and not known to be in Kafka."""
    segments: list[Segment] = field(default_factory=list)

    def finish(self, number: int) -> None:
        """Take ``number`` for done."""
        self.sent.pop(number, None)
        for segment in self.segments:
            if segment.finish(number):
                return


def replay(folder: Path, disk: Disk, spool_id: str, names: list[str]) -> Found:
    """Read the segments ``names``, in order. Raises ``OSError`` when the folder can't be read at all."""
    found = Found()
    for name in names:
        segment = Segment(folder / name)
        found.segments.append(segment)
        data = _read(disk, segment.path)
        for each in frames.scan(bytes.fromhex(spool_id), data):
            if isinstance(each, Damage):
                _damaged(disk, segment, each, data[each.at : each.at + each.size])
            else:
                _apply(found, segment, each)
        segment.size = len(data)
    alive = {number for number in found.sent if any(segment.find(number) for segment in found.segments)}
    found.sent = {number: sent for number, sent in found.sent.items() if number in alive}
    return found


def set_aside(disk: Disk, path: Path, at: int, broken: bytes, messages: int, what: str) -> bool:
    """Copy broken bytes of a segment into quarantine; False when that failed. What lies there already is known."""
    folder = path.parent / QUARANTINE
    name = f"{path.stem}-{at}"
    try:
        disk.make(folder)
        if name in disk.names(folder):
            return True
        file = disk.create(folder / name)
        try:
            file.write(broken)
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                disk.remove(folder / name)
            raise
        finally:
            file.close()
        disk.sync_folder(folder)
    except OSError as failure:
        _LOG.error("%s is broken at %d (%s), and no copy could be made: %s", path, at, what, failure)
        return False
    metrics.EDGE_SPOOL_QUARANTINED.inc(messages)
    _LOG.error("%s is broken at %d: %s; %d bytes are kept as %s", path, at, what, len(broken), folder / name)
    return True


def _read(disk: Disk, path: Path) -> bytes:
    size = disk.size(path)
    try:
        return disk.read(path, 0, size)
    except OSError as failure:
        _LOG.error("%s can't be read in one go: %s", path, failure)
    parts = []
    for at in range(0, size, _SECTOR_BYTES):
        length = min(_SECTOR_BYTES, size - at)
        try:
            parts.append(disk.read(path, at, length))
        except OSError:
            parts.append(b"\xff" * length)  # not zeros: those are what a torn end looks like
    return b"".join(parts)


def _damaged(disk: Disk, segment: Segment, damage: Damage, broken: bytes) -> None:
    if damage.torn:
        _LOG.info("%s ends at %d in %d bytes of an unfinished write", segment.path, damage.at, damage.size)
        return
    if damage.head is None:
        messages, what = 1, "bytes that are no record"
    else:
        # The head is whole, so it is known what is missing; notes and checkpoints hold no messages.
        messages = damage.head.count if damage.head.kind is Kind.MESSAGES else 0
        what = f"a record of kind {damage.head.kind.name}, messages {damage.head.number} and {messages} in all"
    if not set_aside(disk, segment.path, damage.at, broken, messages, what):
        segment.kept = True


def _apply(found: Found, segment: Segment, record: Frame) -> None:
    head = record.head
    found.next = max(found.next, head.number + head.count)
    match head.kind:
        case Kind.CHECKPOINT:
            _take_over(found, records.unpack_checkpoint(record.payload))
        case Kind.MESSAGES:
            group = records.unpack_group(record.payload, values=False)
            segment.add(record.at, head.number, head.count, head.time_ns)
            set_marks(found.marks, group.marks)
            found.sent.update((sent.number, sent) for sent in group.sent)
        case Kind.SENT:
            found.sent.update((sent.number, sent) for sent in records.unpack_sent(record.payload))
        case Kind.DONE:
            found.finish(head.number)


def _take_over(found: Found, checkpoint: records.Checkpoint) -> None:
    found.next = max(found.next, checkpoint.next)
    found.marks = dict(checkpoint.marks)
    found.sent = {sent.number: sent for sent in checkpoint.sent}
    ranges = iter(checkpoint.left)
    first, last = next(ranges, (found.next, found.next))
    for segment in found.segments:
        for number in list(segment.waiting(0)):
            while last < number:
                first, last = next(ranges, (found.next, found.next))
            if number < first:
                segment.finish(number)


def set_marks(marks: dict[str, bytes], news: Mapping[str, bytes]) -> None:
    """Set each mark of ``news``; one without a value goes."""
    for name, value in news.items():
        if value:
            marks[name] = value
        else:
            marks.pop(name, None)
