"""Where the records of an NDJSON text begin and end, found by whole-array operations: no loop over good lines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEWLINE = 10
_IS_BLANK = np.zeros(256, dtype=np.bool_)
_IS_BLANK[[_NEWLINE, 13, 32, 9]] = True


class Lines:
    """The records of ``data``: its lines that are not blank, as JSON understands blank (space, tab, return).

    ``numbers`` are the records' line numbers in the text that came in, from ``first`` on; blank lines count there.
    """

    __slots__ = ("_ends", "data", "numbers")

    def __init__(self, data: bytes, first: int = 1) -> None:
        """Find the lines of ``data``; a last line without newline is a line, a byte order mark at the start is none."""
        data = data.removeprefix(BYTE_ORDER_MARK)
        if data and data[-1] != _NEWLINE:
            data += b"\n"
        characters = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(characters == _NEWLINE) + 1
        starts = np.concatenate([[0], ends])[: len(ends)]
        numbers = np.arange(first, first + len(ends), dtype=np.int64)
        suspects = np.flatnonzero(_IS_BLANK[characters[starts]])
        # A good line begins with "{"; only the others are looked at one by one.
        blank = [i for i in suspects.tolist() if not data[starts[i] : ends[i]].strip(b" \t\r\n")]
        if blank:
            kept = np.delete(np.arange(len(ends)), blank)
            data = b"".join([data[starts[i] : ends[i]] for i in kept.tolist()])
            numbers = numbers[kept]
            ends = np.cumsum((ends - starts)[kept])
        self.data = data
        self.numbers: npt.NDArray[np.int64] = numbers
        self._ends: npt.NDArray[np.int64] = ends.astype(np.int64)

    def __len__(self) -> int:
        """Records."""
        return len(self._ends)

    def size(self, start: int, stop: int) -> int:
        """Bytes of the records from ``start`` up to and without ``stop``, newlines included."""
        return self._end(stop) - self._end(start)

    def fitting(self, start: int, rows: int, size: int) -> int:
        """Return how far a piece from ``start`` may go with at most ``rows`` records and ``size`` bytes (``stop``)."""
        by_size = int(np.searchsorted(self._ends, self._end(start) + size, side="right"))
        return max(start, min(len(self), start + rows, by_size))

    def piece(self, start: int, stop: int) -> bytes:
        """Return the records from ``start`` up to and without ``stop``, each with its newline."""
        return self.data[self._end(start) : self._end(stop)]

    def part(self, start: int, stop: int) -> Lines:
        """Return the records from ``start`` up to and without ``stop``, with their numbers."""
        found = Lines.__new__(Lines)
        found.data = self.piece(start, stop)
        found.numbers = self.numbers[start:stop]
        found._ends = self._ends[start:stop] - self._end(start)
        return found

    def _end(self, count: int) -> int:
        return int(self._ends[count - 1]) if count else 0
