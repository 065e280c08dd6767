"""A disk in memory that loses what was not synced, and fails when it is told to."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Pick = Callable[[int, int], int]
"""``pick(low, high)`` gives a number between the two, both included."""


class Crashed(BaseException):
    """The process dies here; nothing that catches errors may catch it."""


@dataclass
class _Content:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    unsure: bool = False
    """A sync failed since the last good one: what is not synced may be there or not, for ever."""


@dataclass
class FakeDisk:
    """See ``edge.spool.disk.Disk``. A power cut keeps of each file what was synced and any part of what followed."""

    room: int = 1 << 40
    fail_writes: int = 0
    """So many writes fail with EIO, after a part."""
    fail_syncs: int = 0
    fail_reads: int = 0
    fail_creates: int = 0
    crash_in: int | None = None
    """The process dies at the so-maniest operation that changes something."""
    tear: Pick = max
    files: dict[Path, _Content] = field(default_factory=dict)
    durable: dict[Path, _Content] = field(default_factory=dict)
    """The names that a power cut would leave."""
    locked: set[Path] = field(default_factory=set)
    syncs: int = 0

    # --- what a test does ---------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """The process is gone; the machine goes on, and has everything that was written."""
        self.locked.clear()
        self._calm()

    def cut_power(self, pick: Pick) -> None:
        """The machine is gone: unsynced names vanish, and of unsynced bytes a prefix stays."""
        self.locked.clear()
        self._calm()
        files: dict[Path, _Content] = {}
        for path in self.files.keys() | self.durable.keys():
            there, lasting = self.files.get(path), self.durable.get(path)
            content = there or lasting
            assert content is not None
            if lasting is None and not pick(0, 1):
                continue  # made, and the folder not synced
            if there is None and not pick(0, 1):
                continue  # removed likewise
            kept = self._after(content, pick)
            files[path] = _Content(bytearray(kept), kept)
        self.files, self.durable = files, dict(files)

    def flip(self, path: Path, at: int) -> None:
        """One bit of a file turns over."""
        content = self.files[path]
        content.data[at] ^= 0x10
        content.synced = bytes(content.data)

    @property
    def used(self) -> int:
        return sum(len(content.data) for content in self.files.values())

    def _calm(self) -> None:
        self.fail_writes = self.fail_syncs = self.fail_reads = self.fail_creates = 0
        self.crash_in = None

    def _after(self, content: _Content, pick: Pick) -> bytes:
        data, synced = bytes(content.data), content.synced
        same = 0
        while same < min(len(data), len(synced)) and data[same] == synced[same]:
            same += 1
        if same < len(synced):  # cut or written over since: either state
            return synced if pick(0, 1) else data[: pick(same, len(data))]
        return data[: pick(len(synced), len(data))]

    # --- what a spool does --------------------------------------------------------------------------------------------

    def step(self) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise Crashed

    def make(self, folder: Path) -> None:
        pass

    def lock(self, folder: Path) -> _FakeLock | None:
        if folder in self.locked:
            return None
        self.locked.add(folder)
        return _FakeLock(self, folder)

    def names(self, folder: Path) -> list[str]:
        return [path.name for path in self.files if path.parent == folder]

    def create(self, path: Path) -> _FakeFile:
        self.step()
        if self.fail_creates:
            self.fail_creates -= 1
            raise OSError(errno.EIO, "create")
        if path in self.files:
            raise FileExistsError(path)
        self.files[path] = _Content()
        return _FakeFile(self, self.files[path])

    def size(self, path: Path) -> int:
        return len(self.files[path].data)

    def read(self, path: Path, at: int, size: int) -> bytes:
        if self.fail_reads:
            self.fail_reads -= 1
            raise OSError(errno.EIO, "read")
        return bytes(self.files[path].data[at : at + size])

    def sync(self, path: Path) -> None:
        self._sync(self.files[path])

    def remove(self, path: Path) -> None:
        self.step()
        del self.files[path]

    def sync_folder(self, folder: Path) -> None:
        self.step()
        if self.fail_syncs:
            self.fail_syncs -= 1
            raise OSError(errno.EIO, "sync_folder")
        for path in [path for path in self.durable if path.parent == folder]:
            del self.durable[path]
        self.durable.update((path, content) for path, content in self.files.items() if path.parent == folder)

    def _sync(self, content: _Content) -> None:
        self.step()
        self.syncs += 1
        if self.fail_syncs:
            self.fail_syncs -= 1
            content.unsure = True
            raise OSError(errno.EIO, "sync")
        if not content.unsure:  # fsyncgate: after a failure the next call succeeds, and has done nothing
            content.synced = bytes(content.data)


@dataclass
class _FakeLock:
    disk: FakeDisk
    folder: Path

    def release(self) -> None:
        self.disk.locked.discard(self.folder)

    def forget(self) -> None:
        pass


@dataclass
class _FakeFile:
    disk: FakeDisk
    content: _Content

    def write(self, data: bytes) -> None:
        room = self.disk.room - self.disk.used
        try:
            self.disk.step()
        except Crashed:
            self.content.data += data[: self.disk.tear(0, len(data))]
            raise
        if self.disk.fail_writes:
            self.disk.fail_writes -= 1
            self.content.data += data[: self.disk.tear(0, len(data) - 1)]
            raise OSError(errno.EIO, "write")
        if len(data) > room:
            self.content.data += data[: max(0, room)]
            raise OSError(errno.ENOSPC, "No space left on device")
        self.content.data += data

    def sync(self) -> None:
        self.disk._sync(self.content)

    def cut(self, size: int) -> None:
        self.disk.step()
        del self.content.data[size:]

    def close(self) -> None:
        pass
