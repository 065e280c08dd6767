"""Follows the files of all sources into the spool; one thread's.

Numbered promises:

T1  What was read of a file and the file's place behind it become durable in one ``put``: after a crash at any moment
    every line is in the spool once. Nothing but the spool knows a place.
T2  The records of one file are put in the file's order.
T3  A file is read to its end under whatever name it has, and without any while it is open here; out of its ``.gz`` or
    its copy when it can't be read itself. It is known by its content, not by its name.
T4  A file that was cut is begun anew. What was written between the last reading and the cut is lost, unless the sources
    name its copy (``app.log*``) or a ``.gz`` of it comes to lie beside it.
T5  While the spool takes nothing, nothing is read: the files wait. One turn's records are in memory, no more.
T6  At most ``open_files`` descriptors are held, but for files that have no name any more.
"""

from __future__ import annotations

import itertools
import os
import stat as stats
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.edge.tail.content import Plain
from logflume.edge.tail.followed import Followed, Limits, Step
from logflume.edge.tail.lost import Found, Lost, Wait
from logflume.edge.tail.place import MARK, Place
from logflume.edge.tail.source import Source
from logflume.edge.tail.turn import Blocks, Keeper, Turn
from logflume.errors import Unavailable

BEGAN: Final = "tail-began"
"""The mark that says that a follower has run before: what existed at the first start may be left out, nothing later."""

_TURN_BYTES: Final = 4 << 20
"""Records of one turn; a chunk may come on top."""
_LAST_LINES: Final = 64 << 10
"""Looked through for the last newline when a file is begun at its end."""
_WARNED: Final = 10_000
_log = structlog.get_logger(__name__)


class Follower:
    """See the promises T1 to T6. ``scan`` finds files, ``turn`` reads a piece of those that have more."""

    def __init__(
        self,
        sources: Sequence[Source],
        spool: Keeper,
        blocks: Blocks,
        clock: Clock,
        limits: Limits,
        *,
        host: str,
        from_end: bool = False,
        once: bool = False,
    ) -> None:
        """``from_end``: what exists at the very first start is followed from its end. ``once``: nothing will be added
        to any file, so that each is read to its last byte.
        """
        self._sources = tuple(sources)
        self._by_id = {source.id: source for source in sources}
        self._spool = spool
        self._blocks = blocks
        self._clock = clock
        self._limits = limits
        self._host = host
        self._once = once
        self._files: dict[tuple[int, int], Followed] = {}
        self._holding: dict[Followed, None] = {}  # files with an open descriptor, the longest unread first
        self._named: dict[str, list[Followed]] | None = None  # by their first names, sorted once a scan
        self._queue: deque[Followed] = deque()
        self._marks: dict[str, bytes] = {}  # to be put with what comes next
        self._turn: Turn | None = None
        self._warned: set[str] = set()
        places = [Place.from_mark(name, value) for name, value in spool.marks.items() if name.startswith(MARK)]
        known = [place for place in places if place is not None]
        self._next = max((place.number for place in known), default=0) + 1
        self._lost = Lost(clock, known)
        self._first = BEGAN not in spool.marks
        self._from_end = from_end and self._first
        self.full = ""
        """Why the spool takes nothing at the moment; "" when it does."""

    # --- finding ------------------------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Find new files, renamed ones, and those that are gone. Does nothing while a turn waits for the spool."""
        if self._turn is not None:
            return
        now = self._clock.monotonic()
        self._lost.begin()
        self._named = None
        found: set[tuple[int, int]] = set()
        for source in self._sources:
            for path in source.paths():
                try:
                    stat = os.stat(path)  # noqa: PTH116 - thousands a second: a Path each costs more than the call
                except OSError:  # gone since the patterns were expanded, or a dangling link
                    continue
                key = (stat.st_dev, stat.st_ino)
                if key in found or not stats.S_ISREG(stat.st_mode):
                    continue
                found.add(key)
                if key not in self._files:
                    self._meet(source, path, stat)
                elif self._is_still(self._files[key], stat):
                    self._files[key].seen(path, stat, now)
                else:
                    self._lose(self._files[key])
                    self._meet(source, path, stat)
        for key, file in list(self._files.items()):
            if key not in found:
                self._look_after(file, now)
        self._look_for_lost()
        if self._first:
            self._marks[BEGAN] = b"1"
            self._first = self._from_end = False
        metrics.EDGE_TAIL_FILES.set(len(self._files))
        metrics.EDGE_TAIL_LAG_BYTES.set(self.lag)

    @property
    def lag(self) -> int:
        """Bytes that are not in the spool, as far as the last look at the files tells."""
        return sum(file.lag for file in self._files.values())

    @property
    def files(self) -> int:
        """How many files are followed."""
        return len(self._files)

    def _meet(self, source: Source, path: str, stat: os.stat_result) -> None:
        """Take up a file that is not followed yet: a known one under any name, or a new one."""
        try:
            content = Plain(path)
        except OSError as error:
            self._warn(path, error)
            return
        try:
            stat = content.stat()  # of what was opened; the name may have passed on
            key = (stat.st_dev, stat.st_ino)
            if key in self._files or not stats.S_ISREG(stat.st_mode):
                content.close()
                return
            known = self._lost.find(path, stat, content, self._originals(path))
            if isinstance(known, Wait):
                content.close()
                return
            if isinstance(known, Found):
                before, place = known.before, known.place
                real = os.path.realpath(path)
                place = replace(place, source=source.id, device=key[0], inode=key[1], real=real, gone_ns=0)
            else:
                before, place = b"", self._new(source, path, key)
                if self._from_end:
                    before, place = self._at_end(place, content, stat)
        except OSError as error:
            content.close()
            self._warn(path, error)
            return
        self._follow(Followed(place, source, path, self._clock.monotonic()), key, content, before)
        self._files[key].seen(path, stat, self._clock.monotonic())

    def _originals(self, path: str) -> list[Place]:
        """Return the places of files of which ``path`` may be a copy, by its name."""
        if self._named is None:
            self._named = defaultdict(list)
            for file in self._files.values():
                self._named[file.place.path].append(file)
        shorter = (path[:end] for end in range(path.rindex("/") + 2, len(path)))
        return [file.foremost() for name in shorter for file in self._named.get(name, ())]

    def _new(self, source: Source, path: str, key: tuple[int, int]) -> Place:
        self._next += 1
        return Place(self._next - 1, source.id, path, os.path.realpath(path), *key)

    def _at_end(self, place: Place, content: Plain, stat: os.stat_result) -> tuple[bytes, Place]:
        start = max(0, stat.st_size - _LAST_LINES)
        data = content.read(start, stat.st_size - start)
        offset = start + (data.rfind(b"\n") + 1 or len(data))
        before = content.read(max(0, offset - 256), min(256, offset))
        place = place.moved(offset, before, content)
        self._marks[place.mark] = place.to_mark()
        return before, place

    def _follow(self, file: Followed, key: tuple[int, int], content: Plain | None, before: bytes) -> None:
        if content is not None:
            file.adopt(content, before)
        self._files[key] = file
        self._queue.append(file)
        self._hold(file)
        if not file.tenant:
            self._warn(file.path, "no tenant is named for its namespace; it is not read")

    def _is_still(self, file: Followed, stat: os.stat_result) -> bool:
        """Whether the inode is still of the file that we knew: only an open one can't be another's."""
        if file.content is not None or file.size == stat.st_size:
            return True
        try:
            return self._open(file)
        except OSError:  # it can't be told; reading it says so, and tells once it can
            return True

    def _look_after(self, file: Followed, now: float) -> None:
        """A file that no pattern finds any more: renamed, or deleted."""
        file.rest_until = 0.0  # no scan sees it change
        if file.is_packed:
            return
        path = self._lost.whereabouts(file.place)
        if path is not None:
            try:
                stat = Path(path).stat()
            except OSError:
                return  # renamed again; the next scan finds it
            if (stat.st_dev, stat.st_ino) == (file.place.device, file.place.inode) and self._is_still(file, stat):
                file.seen(path, stat, now)
                file.place = replace(file.place, real=path)
                return
        if file.content is None:
            self._lose(file)
        elif isinstance(file.content, Plain) and file.content.stat().st_nlink and file.path == file.place.path:
            file.path = ""  # moved to where we do not look; it is read out by its descriptor

    def _lose(self, file: Followed) -> None:
        """Keep the place of a file that is gone, for its rest may come to light packed."""
        self._forget(file)
        place = replace(file.place, gone_ns=self._clock.now_ns())
        if place.offset:
            self._lost.add(place)
            self._marks[place.mark] = place.to_mark()

    def _forget(self, file: Followed) -> None:
        file.release()
        self._holding.pop(file, None)
        packed_key, plain_key = (-1, file.place.number), (file.place.device, file.place.inode)
        del self._files[packed_key if self._files.get(packed_key) is file else plain_key]
        self._queue.remove(file)

    def _look_for_lost(self) -> None:
        for path, content, found in self._lost.search(set(self._files)):
            if (source := self._by_id.get(found.place.source)) is None:
                content.close()
                continue
            file = Followed(found.place, source, path, self._clock.monotonic())
            key = (found.place.device, found.place.inode)
            if content.packed:
                key = (-1, found.place.number)
            _log.info("tail.found-again", path=path, of=found.place.path, offset=found.place.offset)
            file.adopt(content, found.before)
            self._follow(file, key, None, b"")
        for place in self._lost.newly_gone():
            self._marks[place.mark] = place.to_mark()
        for place in self._lost.forgotten():
            self._marks[place.mark] = b""

    # --- reading ------------------------------------------------------------------------------------------------------

    def turn(self) -> int:
        """Read a piece of each file that has more, up to a few megabytes, and put it; return the bytes that were put.

        What the spool refuses is kept and put the next time.
        """
        if self._turn is None:
            self._turn = self._gather()
        turn = self._turn
        if not turn.steps and not turn.marks:
            self._turn = None
            return 0
        try:
            self._spool.put(turn.messages, turn.marks)
        except Unavailable as error:
            if not self.full:
                _log.warning("tail.waiting", reason=str(error), lag_bytes=self.lag)
                metrics.EDGE_TAIL_ERRORS.labels("spool-full").inc()
            self.full = str(error)
            return 0
        if self.full:
            _log.info("tail.going-on")
        self.full = ""
        self._turn = None
        for step in turn.steps:
            self._take_up(step)
        return turn.bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits: not for the spool, a tenant's rate, or a later scan to tell what a file is."""
        return self._turn is None and not self._lost.waiting and not self._blocks.gate.held

    def close(self) -> None:
        """Give all descriptors back."""
        for file in self._files.values():
            file.release()

    def _gather(self) -> Turn:
        steps: list[Step] = []
        size, now = 0, self._clock.monotonic()
        for _ in range(len(self._queue)):
            file = self._queue[0]
            self._queue.rotate(-1)
            if now < file.rest_until:
                continue
            step = self._step(file)
            if step is None:
                continue
            steps.append(step)
            size += len(step.taken.lines.data)
            if size >= _TURN_BYTES:
                break
        marks, self._marks = self._marks, {}
        return self._blocks.turn(steps, marks, self._clock.now_ns())

    def _step(self, file: Followed) -> Step | None:
        now = self._clock.monotonic()
        try:
            due = file.tenant and file.due(now, self._limits, once=self._once)
            if not due or self._blocks.gate.waits(file.tenant):
                return None
            if file.content is None and not self._open(file):
                self._lose(file)
                return None
            step = file.step(self._next, self._host, now, self._clock.now_ns(), self._limits, once=self._once)
        except OSError as error:
            self._warn(file.path, error)
            if file.is_packed:
                self._lose(file)
            else:
                self._release(file)
            return None
        if step is not None:
            self._hold(file)
        if step is not None and step.place.number == self._next:
            self._next += 1
            metrics.EDGE_TAIL_ERRORS.labels("cut").inc()
            _log.info("tail.cut", path=file.path, read=file.place.offset)
        return step

    def _open(self, file: Followed) -> bool:
        """Open a file again that was closed; False when it is not the same any more."""
        try:
            content = Plain(file.path)
        except FileNotFoundError:
            return False
        try:
            stat = content.stat()
            same = (stat.st_dev, stat.st_ino) == (file.place.device, file.place.inode)
            before = file.place.tail_in(content) if same else None
        except OSError:
            content.close()
            raise
        if before is None:
            content.close()
            return False
        file.adopt(content, before)
        self._hold(file)
        return True

    def _hold(self, file: Followed) -> None:
        """Keep T6: close what was read longest ago."""
        self._holding.pop(file, None)
        self._holding[file] = None
        over = len(self._holding) - self._limits.open_files
        if over <= 0:
            return
        closable = (f for f in self._holding if f is not file and f.path and not f.gone and not f.is_packed)
        for other in list(itertools.islice(closable, over)):
            self._release(other)

    def _release(self, file: Followed) -> None:
        file.release()
        self._holding.pop(file, None)

    def _take_up(self, step: Step) -> None:
        file = step.file
        metrics.EDGE_TAIL_BYTES.inc(max(0, step.place.offset - file.place.offset))
        if step.left is not None:
            self._lost.add(step.left)
        file.take_up(step)
        if step.ended:
            self._forget(file)
            if file.is_elsewhere:
                self._lost.add(replace(step.place, gone_ns=self._clock.now_ns()))

    def _warn(self, path: str, error: object) -> None:
        """Say once what is wrong with a file."""
        metrics.EDGE_TAIL_ERRORS.labels("unreadable").inc()
        if path in self._warned:
            return
        if len(self._warned) >= _WARNED:
            self._warned.clear()
        self._warned.add(path)
        _log.warning("tail.unreadable", path=path, error=str(error))
