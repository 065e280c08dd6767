"""Objects as files of a folder.

F1  A file is written aside, made durable, then linked to its name: it is whole or absent there, after a power cut too.
F2  A name that is taken is never replaced.
F3  What a crash leaves aside lies in ``.unfinished`` and is deleted a day later; it is never mistaken for an object.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from logflume.clock import Clock, SystemClock
from logflume.destinations.destination import UNFINISHED, Data, Receipt, check_name
from logflume.durable import make_folder, sync_folder
from logflume.errors import Misconfigured, Retryable

_LEFT_SECONDS = 86_400  # no write takes a day, on whatever machine that shares the folder

_HOPELESS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EXDEV,
}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Folder:
    """The destination ``file://``. Safe for threads and for several machines that share the folder."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._root = root
        self._clock = clock or SystemClock()
        self._aside = root / UNFINISHED
        self._lock = threading.Lock()
        self._ready = False

    def __repr__(self) -> str:
        return f"Folder({self.url})"

    @property
    def url(self) -> str:
        """What names are relative to."""
        return self._root.as_uri()

    def write(self, name: str, data: Data) -> Receipt:
        """Store the object; see ``Destination``."""
        parts = check_name(name)
        view = memoryview(data)  # type: ignore[arg-type, unused-ignore]  # Arrow's buffers are views too
        with self._errors(name):
            self._prepare()
            path = self._root.joinpath(*parts)
            make_folder(path.parent)
            made = not path.exists() and self._write(path, view)
            if not path.is_file():
                raise IsADirectoryError(errno.EISDIR, "a folder or device has that name")
            sync_folder(path.parent)  # also when somebody else made it: he may not have come that far
        return Receipt(name, view.nbytes, made)

    def holds(self, name: str) -> bool:
        """Whether there is an object of that name."""
        with self._errors(name):
            self._prepare()
            return self._root.joinpath(*check_name(name)).is_file()

    def _write(self, path: Path, view: memoryview) -> bool:
        aside = self._aside / f"{uuid.uuid4().hex}.tmp"
        try:
            with aside.open("xb") as file:
                file.write(view)
                file.flush()
                os.fsync(file.fileno())
            return _link(aside, path)
        finally:
            with contextlib.suppress(OSError):  # the write's own error is the one to tell
                aside.unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Make the folder for unfinished files, and delete what crashes left there long ago; the first time only."""
        with self._lock:
            if self._ready and self._aside.is_dir():
                return
            if not self._root.is_dir():
                # Not made here: a mount that is missing would be filled behind its mount point.
                raise Misconfigured(f"{self.url}: there is no such folder; make it, or mount it")
            self._aside.mkdir(exist_ok=True)
            now = self._clock.now_ns() / 1e9
            for left in self._aside.glob("*.tmp"):
                with contextlib.suppress(FileNotFoundError):  # its writer was slow, or another one tidies up as well
                    if now - left.stat().st_mtime > _LEFT_SECONDS:
                        left.unlink()
            self._ready = True

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"{self.url}: {name} can't be stored or looked up: {error.strerror or error}"
            kind = Misconfigured if error.errno in _HOPELESS else Retryable
            raise kind(what) from error


def _link(aside: Path, path: Path) -> bool:
    """Give a whole file its name; false when the name is taken."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            return False
        aside.replace(path)  # a file system without hard links: at worst equal bytes replace equal bytes
    return True
