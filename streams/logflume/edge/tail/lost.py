"""Places whose file is gone or was cut, and the search for what has their content now: the same file under another
name, its ``.gz``, or its copy.

L1  A content is taken for a place's only if it begins with what was read (``Place.tail_in``), was not written to before
    it, and bears the same inode or the name of the place's file with something added.
L2  A place is forgotten ``FORGET_SECONDS`` after its content was seen last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.edge.tail.content import Packed, Plain
from logflume.edge.tail.place import Place, digest

FORGET_SECONDS: Final = 86_400.0
_MOST_WAIT: Final = 60.0
"""Seconds between two searches for one place, at most; they begin with every scan."""
_COPY_SECONDS: Final = 5.0
"""A copy that grows no more for so long, and is shorter than what was read, is none."""
_TWIN_SECONDS: Final = 60.0
"""A copy whose original was not cut for so long is a file of its own."""
_SLACK_NS: Final = 2_000_000_000
"""gzip and others keep a file's time to the second."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """``place`` is one in the content looked at; ``before`` stands just before it there."""

    place: Place
    before: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """It can't be said yet whether this is a copy."""


@dataclass(slots=True)
class _Search:
    """When a place is searched for, and the packed files that were looked at in vain."""

    at: float
    pause: float
    vain: set[tuple[int, int, int]]


class Lost:
    """See L1 and L2."""

    def __init__(self, clock: Clock, places: Iterable[Place]) -> None:
        self._clock = clock
        self._places: dict[int, Place] = {}
        self._searches: dict[int, _Search] = {}
        self._waiting: dict[tuple[int, int], tuple[int, float, float]] = {}
        self._listed: dict[str, dict[tuple[int, int], str]] = {}
        self._inodes: dict[int, set[int]] = {}
        self._unmarked: set[int] = set()
        for place in places:
            if not place.gone_ns:
                self._unmarked.add(place.number)
            self.add(place if place.gone_ns else replace(place, gone_ns=clock.now_ns()))

    def begin(self) -> None:
        """Forget what folders held at the last scan."""
        self._listed.clear()

    @property
    def waiting(self) -> int:
        """How many files may be copies, which the next scans will tell."""
        return len(self._waiting)

    def newly_gone(self) -> list[Place]:
        """Return the places that had a file when they were marked, and have none now; each once."""
        found = [self._places[number] for number in self._unmarked if number in self._places]
        self._unmarked.clear()
        return found

    def add(self, place: Place) -> None:
        """Search for ``place``."""
        self._places[place.number] = place
        self._searches[place.number] = _Search(self._clock.monotonic(), 0.5, set())
        self._inodes.setdefault(place.inode, set()).add(place.number)

    def read_out(self, place: Place) -> None:
        """Stop searching for ``place``, which was read to its end."""
        if self._places.pop(place.number, None) is not None:
            del self._searches[place.number]
            self._inodes[place.inode].discard(place.number)
            if not self._inodes[place.inode]:
                del self._inodes[place.inode]

    def find(self, path: str, stat: os.stat_result, content: Plain, beside: Sequence[Place]) -> Found | Wait | None:
        """Return the place of the plain file ``path``; None when it is a new one.

        ``beside`` are places of files of which it may be a copy that is just being made.
        """
        for place in [self._places[number] for number in self._inodes.get(stat.st_ino, ())]:
            if place.device != stat.st_dev and place.path != path:
                continue
            before = place.tail_in(content) if stat.st_size >= place.offset else None
            if before is not None:
                self.read_out(place)
                return Found(place, before)
        for place in list(self._places.values()):
            if _is_copy_name(path, place) and not _is_older(stat, place):
                before = place.tail_in(content) if stat.st_size >= place.offset else None
                if before is not None:
                    self.read_out(place)
                    self._waiting.pop((stat.st_dev, stat.st_ino), None)
                    return Found(place, before)
        return self._copy_of(path, stat, content, [*beside, *self._places.values()])

    def whereabouts(self, place: Place) -> str | None:
        """Return the path under which the inode of ``place`` lies beside its last one."""
        folder = _folder(place.real)
        return self._listing(folder).get((place.device, place.inode))

    def search(self, followed: set[tuple[int, int]]) -> Iterator[tuple[str, Plain | Packed, Found]]:
        """Give each place that was found again, with the path and the open content; it is not searched any more."""
        now = self._clock.monotonic()
        for number, place in list(self._places.items()):
            search = self._searches[number]
            if now < search.at:
                continue
            search.at, search.pause = now + search.pause, min(_MOST_WAIT, 2 * search.pause)
            found = self._renamed(place, followed) or self._packed(place, search)
            if found is not None:
                self.read_out(place)
                yield found

    def forgotten(self) -> list[Place]:
        """Return the places that are searched for no longer (L2)."""
        oldest = self._clock.now_ns() - int(FORGET_SECONDS * 1e9)
        old = [place for place in self._places.values() if place.gone_ns < oldest]
        for place in old:
            self.read_out(place)
        return old

    def _copy_of(self, path: str, stat: os.stat_result, content: Plain, places: Sequence[Place]) -> Wait | None:
        """Wait while ``path`` may be a copy in the making, or one whose original is about to be cut."""
        key = (stat.st_dev, stat.st_ino)
        if not any(self._may_become(path, stat, content, place) for place in places):
            self._waiting.pop(key, None)
            return None
        now = self._clock.monotonic()
        size, since, grew = self._waiting.get(key, (-1, now, now))
        if size != stat.st_size:
            grew = now
        whole = any(stat.st_size >= place.offset for place in places if _is_copy_name(path, place))
        if now - since > _TWIN_SECONDS or (not whole and now - grew > _COPY_SECONDS):
            self._waiting.pop(key, None)
            return None
        self._waiting[key] = (stat.st_size, since, grew)
        return Wait()

    def _may_become(self, path: str, stat: os.stat_result, content: Plain, place: Place) -> bool:
        if not place.offset or not _is_copy_name(path, place) or _is_older(stat, place):
            return False
        if stat.st_size >= place.offset:
            return place.tail_in(content) is not None
        return stat.st_size < place.head_bytes or digest(content.read(0, place.head_bytes)) == place.head

    def _renamed(self, place: Place, followed: set[tuple[int, int]]) -> tuple[str, Plain | Packed, Found] | None:
        path = None if (place.device, place.inode) in followed else self.whereabouts(place)
        if path is None:
            return None
        return self._opened(path, place, Plain)

    def _packed(self, place: Place, search: _Search) -> tuple[str, Plain | Packed, Found] | None:
        if not place.offset:
            return None  # nothing of it was read: nothing to know it by
        for folder in dict.fromkeys((_folder(place.real), _folder(place.path))):
            for path in sorted(self._listing(folder).values()):
                if not path.endswith(".gz") or not _is_packed_name(path, place):
                    continue
                try:
                    stat = Path(path).stat()
                except OSError:
                    continue
                version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if version in search.vain or _is_older(stat, place):
                    continue
                found = self._opened(path, place, Packed)
                if found is not None:
                    return found
                search.vain.add(version)
        return None

    def _opened(
        self, path: str, place: Place, kind: type[Plain] | type[Packed]
    ) -> tuple[str, Plain | Packed, Found] | None:
        try:
            content = kind(path)
        except OSError:
            return None
        try:
            before = place.tail_in(content)
        except OSError as error:
            metrics.EDGE_TAIL_ERRORS.labels("torn").inc()
            _log.warning("tail.torn", path=path, error=str(error))
            before = None
        if before is None:
            content.close()
            return None
        return path, content, Found(replace(place, gone_ns=0), before)

    def _listing(self, folder: str) -> dict[tuple[int, int], str]:
        """The regular files of a folder by device and inode; read once a scan."""
        if folder not in self._listed:
            self._listed[folder] = {}
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_file(follow_symlinks=False):
                            stat = entry.stat(follow_symlinks=False)
                            self._listed[folder][stat.st_dev, stat.st_ino] = entry.path
            except OSError:
                pass  # the folder is gone with the file
        return self._listed[folder]


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _is_copy_name(path: str, place: Place) -> bool:
    return path != place.path and path.startswith(place.path)


def _is_packed_name(path: str, place: Place) -> bool:
    """``app.log`` becomes ``app.log.1.gz``, ``app-20240501.log.gz`` …"""
    stem = place.path.rpartition("/")[2].split(".")[0]
    return path.rpartition("/")[2].startswith(stem)


def _is_older(stat: os.stat_result, place: Place) -> bool:
    return stat.st_mtime_ns < place.modified_ns - _SLACK_NS
