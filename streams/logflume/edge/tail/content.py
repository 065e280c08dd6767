"""The bytes of one file, plain or packed, read at positions with bounded memory."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import Final

SKIP_BYTES: Final = 1 << 20
"""Read at once of a packed file on the way to a position."""


class Plain:
    """An open file. It stays readable when its name passes to another file, or to none."""

    packed = False

    def __init__(self, path: str) -> None:
        """Open ``path``, following links; ``OSError`` when that fails."""
        # Not blocking: a pipe that took a file's name must not hold everything up.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)

    def stat(self) -> os.stat_result:
        """Return what the system says of it now."""
        return os.fstat(self._file)

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from ``at`` on, fewer only at the end."""
        data = os.pread(self._file, size, at)
        while data and len(data) < size:
            more = os.pread(self._file, size - len(data), at + len(data))
            if not more:
                break
            data += more
        return data

    def data_from(self, at: int) -> int:
        """Return where the first byte at or behind ``at`` is that is not in a hole."""
        try:
            return os.lseek(self._file, at, os.SEEK_DATA)
        except OSError:  # none behind, or a file system that knows no holes
            return at

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._file)


class Packed:
    """A gzip file, unpacked on the way: going forward is cheap, going back begins anew."""

    packed = True

    def __init__(self, path: str) -> None:
        """Open ``path``; ``OSError`` when that fails."""
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed by `close`
        self._start = 0
        self._held = b""

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes of the content from ``at`` on, fewer only at the end.

        ``OSError`` (also for a torn or broken file).
        """
        try:
            if at < self._start:
                self._file.seek(0)
                self._start, self._held = 0, b""
            while at >= self._start + len(self._held):
                self._start += len(self._held)
                self._held = self._file.read(max(1, min(SKIP_BYTES, at - self._start)))
                if not self._held:
                    return b""
            self._held = self._held[at - self._start :]
            self._start = at
            while len(self._held) < size and (more := self._file.read(size - len(self._held))):
                self._held += more
            return self._held[:size]
        except (EOFError, zlib.error) as error:
            raise OSError(f"the gzip file is torn: {error}") from error

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()
