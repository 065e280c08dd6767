"""One file that is followed: its place, its descriptor, and what one reading of it gives. Nothing here is durable."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Final

from logflume.edge.tail.content import Packed, Plain
from logflume.edge.tail.place import HEAD_BYTES, TAIL_BYTES, Place
from logflume.edge.tail.reading import About, Taken, Until
from logflume.edge.tail.source import Source

_REST_SECONDS: Final = 30.0
"""A file that gave nothing, though it was still for a while, is not looked at again for so long unless a scan sees it
change: of thousands of files most are such, and looking at each in every turn costs more than reading the others.
"""
_HELD_BYTES: Final = 16 << 10
"""Most bytes read and not taken that one file keeps for the case that it is cut."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``record_seconds``: a file that was still for so long has its last record whole. ``partial_seconds``: nothing is
    added any more to the last line of a rotated file that was still for so long.
    """

    record_bytes: int = 256_000
    open_files: int = 512
    record_seconds: float = 2.0
    partial_seconds: float = 10.0

    @property
    def chunk_bytes(self) -> int:
        """Read at once of one file."""
        return max(1 << 20, 4 * self.record_bytes)


@dataclass(frozen=True, slots=True)
class Step:
    """What one reading gave: ``taken`` and, once that is durable, where the file's place is then."""

    file: Followed
    taken: Taken
    place: Place
    before: bytes = field(default=b"", repr=False)
    held: bytes = field(default=b"", repr=False)
    left: Place | None = None
    """The file was cut: the place in its former content, of which a copy may have the rest."""
    ended: bool = False
    """Nothing more can come."""


class Followed:
    """See the module. ``place`` moves only by ``take_up``, when what was read before it is durable."""

    def __init__(self, place: Place, source: Source, path: str, now: float) -> None:
        self.place = place
        self.source = source
        self.tenant = source.tenant_of(place.path)
        self.path = path
        """Where it was found last; "" when it was moved to where nobody looks."""
        self.size = place.offset
        self.content: Plain | Packed | None = None
        self.gone = False
        """No name leads to it any more; only the descriptor does."""
        self.rest_until = 0.0
        """Nothing is due before."""
        self._before = b""
        self._held = b""
        self._grew_at = now
        self._tried: object = None
        self._changed: object = None

    @property
    def rotated(self) -> bool:
        """Whether its first name is another file's now, or nobody's."""
        return self.gone or self.path != self.place.path

    @property
    def is_packed(self) -> bool:
        """Whether it is read out of a packed file."""
        return isinstance(self.content, Packed)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it was moved to where nobody looks: it may come back."""
        return not self.gone and not self.path

    @property
    def lag(self) -> int:
        """Bytes that are not read, as far as that is known."""
        return max(0, self.size - self.place.offset)

    def foremost(self) -> Place:
        """Return the place; of a file of which nothing is taken yet one that tells what it begins with."""
        if self.place.offset or not (self._held or isinstance(self.content, Plain)):
            return self.place
        beginning = self._held  # what is there now may be another content: it may be cut already
        if not beginning and self.content is not None:
            beginning = self.content.read(0, HEAD_BYTES)
        return self.place.moved(len(beginning), beginning[-TAIL_BYTES:], _Past(beginning, packed=False))

    def adopt(self, content: Plain | Packed, before: bytes) -> None:
        """Read from ``content`` from now on, in which ``before`` was found to be what stands before the place."""
        self.release()
        self.content, self._before, self._tried = content, before, None

    def release(self) -> None:
        """Give the descriptor back."""
        if self.content is not None:
            self.content.close()
            self.content = None

    def seen(self, path: str, stat: os.stat_result, now: float) -> None:
        """Take down what a scan saw of it."""
        if path != self.path:
            self.path, self.rest_until = path, 0.0
        self._look(stat, now)

    def due(self, now: float, limits: Limits, *, once: bool) -> bool:
        """Whether a reading could give anything; ``OSError`` when the system can't say."""
        if isinstance(self.content, Packed):
            return True
        if isinstance(self.content, Plain):
            stat = self.content.stat()
            self._look(stat, now)
            self.gone = stat.st_nlink == 0
        if self._tried != self._reason(now, limits, once=once):
            return True
        if not self.rotated and now - self._grew_at >= max(limits.record_seconds, limits.partial_seconds):
            self.rest_until = now + _REST_SECONDS
        return False

    def step(self, next_number: int, host: str, now: float, now_ns: int, limits: Limits, *, once: bool) -> Step | None:
        """Read a piece of the file, whose ``content`` is set; None when nothing can be taken now.

        ``next_number`` names the new place, should the file turn out to have been cut. ``OSError`` as the system says.
        """
        assert self.content is not None
        about = About(os.fsencode(self.place.path).decode(errors="backslashreplace"), host)
        if isinstance(self.content, Packed):
            return self._read(Until.END, about, limits)
        stat = self.content.stat()
        self._look(stat, now)
        reason = self._reason(now, limits, once=once)
        until = self._until(now, limits, once=once)
        if stat.st_size < self.place.offset:
            return self._cut(next_number, about, now_ns)
        step = self._read(until, about, limits, stat.st_mtime_ns)
        if step is None:
            return self._cut(next_number, about, now_ns)
        if step.place.offset == self.place.offset and not step.ended:
            self._tried, self._held = reason, step.held
            return None
        return step

    def take_up(self, step: Step) -> None:
        """Move to the place that is durable now."""
        if step.left is not None:
            self.size = 0
        self.place, self._before, self._held = step.place, step.before, step.held
        self._tried = None

    def _look(self, stat: os.stat_result, now: float) -> None:
        changed = (stat.st_size, stat.st_mtime_ns)
        if changed != self._changed:
            self._changed, self._grew_at, self.rest_until = changed, now, 0.0
        self.size = stat.st_size

    def _until(self, now: float, limits: Limits, *, once: bool) -> Until:
        still = now - self._grew_at
        if once or (self.rotated and still >= limits.partial_seconds):
            return Until.END
        return Until.LINE if still >= limits.record_seconds else Until.RECORD

    def _reason(self, now: float, limits: Limits, *, once: bool) -> object:
        """A reading that gave nothing is not repeated while this is the same."""
        return self._changed, self.gone, self._until(now, limits, once=once)

    def _read(self, until: Until, about: About, limits: Limits, modified_ns: int = 0) -> Step | None:
        """Read from the place on; None when the bytes before it are not those that were read."""
        assert self.content is not None
        place, before = self.place, self._before
        data = self.content.read(place.offset - len(before), len(before) + limits.chunk_bytes)
        if not data.startswith(before + self._held):
            return None
        data = data[len(before) :]
        at_end = len(data) < limits.chunk_bytes
        offset, data = self._past_nuls(place.offset, data, at_end)
        before += b"\0" * min(TAIL_BYTES, offset - place.offset)
        until = until if at_end else Until.RECORD
        taken = self.source.reading.take(data, until, about)
        if not at_end and not taken.consumed and data:
            taken = self.source.reading.take(data, Until.LINE, about)
        consumed = len(data) if until is Until.END else taken.consumed
        offset += consumed
        before = (before + data[:consumed])[-min(TAIL_BYTES, offset) :] if offset else b""
        if offset != place.offset:
            place = replace(place.moved(offset, before, self.content), modified_ns=modified_ns or place.modified_ns)
        rest = data[consumed:]
        held = rest if len(rest) <= _HELD_BYTES and rest.strip(b"\0") else b""
        ended = until is Until.END and (self.gone or self.content.packed or self.is_elsewhere)
        return Step(self, taken, place, before, held, ended=ended)

    def _past_nuls(self, offset: int, data: bytes, at_end: bool) -> tuple[int, bytes]:
        """Leave out the NULs that stand where the file was cut while its writer went on at its old position."""
        bare = data.lstrip(b"\0")
        if len(bare) == len(data) or (at_end and not bare):
            return offset, data
        if bare or not isinstance(self.content, Plain):
            return offset + len(data) - len(bare), bare
        return max(offset + len(data), self.content.data_from(offset)), b""

    def _cut(self, number: int, about: About, now_ns: int) -> Step:
        """Begin anew in a file that was cut, with the whole lines that had been read of it and not taken."""
        taken = self.source.reading.take(self._held, Until.LINE, about)
        old, left = self.place, None
        if offset := old.offset + taken.consumed:
            before = (self._before + self._held[: taken.consumed])[-TAIL_BYTES:]
            left = replace(old.moved(offset, before, _Past(self._held, packed=old.offset > 0)), gone_ns=now_ns)
        place = Place(number, old.source, old.path, old.real, old.device, old.inode)
        return Step(self, taken, place, left=left)


@dataclass(frozen=True, slots=True)
class _Past:
    """A content that is no more. ``packed``: its beginning can't be had again, a place in it keeps what it knew."""

    beginning: bytes
    packed: bool

    def read(self, at: int, size: int) -> bytes:
        return self.beginning[at : at + size]
