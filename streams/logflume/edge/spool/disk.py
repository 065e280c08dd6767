"""The few things that a spool does with files: the real ones, behind an interface that a test's disk has too.

DK1  Every failure is an ``OSError``; ``write`` may have written a part then.
DK2  What was written to a file outlives the machine once ``sync`` of that file has returned, and the file's name once
     ``sync_folder`` has. After a ``sync`` that failed nothing is known of what was written since the last good one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol


class File(Protocol):
    """A file that was made by this process, and is only appended to."""

    def write(self, data: bytes) -> None:
        """Append all of ``data``."""
        ...

    def sync(self) -> None:
        """Return when all that was written is durable (DK2)."""
        ...

    def cut(self, size: int) -> None:
        """Take away what was written beyond ``size``."""
        ...

    def close(self) -> None:
        """Let go of it; says nothing about what is durable."""
        ...


class Lock(Protocol):
    """A folder that is this process's alone."""

    def release(self) -> None:
        """Let others have it."""
        ...

    def forget(self) -> None:
        """In a fork's child: let go of the copy; the parent keeps the lock."""
        ...


class Disk(Protocol):
    """See DK1 and DK2. Names are plain names inside ``folder``."""

    def make(self, folder: Path) -> None:
        """Make ``folder`` and its parents, durably, where they are not there."""
        ...

    def lock(self, folder: Path) -> Lock | None:
        """Take ``folder``, or None when another process has it."""
        ...

    def names(self, folder: Path) -> list[str]:
        """The names of the files in ``folder``."""
        ...

    def create(self, path: Path) -> File:
        """Make a file that is not there yet."""
        ...

    def size(self, path: Path) -> int:
        """Bytes of a file."""
        ...

    def read(self, path: Path, at: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``at``; fewer at the file's end only."""
        ...

    def sync(self, path: Path) -> None:
        """Make durable what a file holds, whoever wrote it."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Make durable which files ``folder`` has."""
        ...


class _RealFile:
    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def sync(self) -> None:
        os.fsync(self._handle)

    def cut(self, size: int) -> None:
        os.ftruncate(self._handle, size)

    def close(self) -> None:
        os.close(self._handle)


class _RealLock:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        fcntl.flock(self._handle, fcntl.LOCK_UN)  # a child forked meanwhile may have a copy
        os.close(self._handle)

    def forget(self) -> None:
        # Closing a copy does not unlock: the lock belongs to the open file, which the parent still has.
        os.close(self._handle)


class RealDisk:
    """This machine's files."""

    def make(self, folder: Path) -> None:
        """Make ``folder`` and its parents."""
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(exist_ok=True, mode=0o700)
            self.sync_folder(part.parent)

    def lock(self, folder: Path) -> Lock | None:
        """Take ``folder`` by an advisory lock on its file ``lock``, which the system gives back when we die."""
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return _RealLock(handle)

    def names(self, folder: Path) -> list[str]:
        """The names in ``folder``."""
        return os.listdir(folder)  # noqa: PTH208

    def create(self, path: Path) -> File:
        """Make a file, readable by its owner alone."""
        return _RealFile(path)

    def size(self, path: Path) -> int:
        """Bytes of a file."""
        return path.stat().st_size

    def read(self, path: Path, at: int, size: int) -> bytes:
        """Bytes from anywhere in a file."""
        with path.open("rb", buffering=0) as file:
            file.seek(at)
            parts = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def sync(self, path: Path) -> None:
        """``fsync`` of a file."""
        _sync(path, os.O_RDWR)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """``fsync`` of a folder."""
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
