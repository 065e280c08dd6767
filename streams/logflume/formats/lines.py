"""Records as lines of one text, found without a loop over them; an odd line is known before any parser sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_LF, _OPEN, _CLOSE = ord("\n"), ord("{"), ord("}")
SPACE: Final = b" \t\r\n"
MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Lines:
    """``data[starts[i]:ends[i]]`` is record ``i``; from one record to the next there is one line feed.

    ``odd`` are the records (ascending) that do not begin with ``{`` and end with ``}``, or are not on one line. Every
    other line holds whole objects only: an object over two of them would end the first with ``}`` and begin the second
    with ``{``, and between these JSON wants a comma.
    """

    data: bytes
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    odd: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, first: int, last: int) -> bytes:
        """Return the text of the records ``first`` to ``last``, the last not included."""
        return self.data[self.starts[first] : self.ends[last - 1]]

    def record(self, i: int) -> bytes:
        """Return record ``i`` by itself."""
        return self.data[self.starts[i] : self.ends[i]]

    def between(self, first: int, last: int) -> Lines:
        """Return the records ``first`` to ``last``, the last not included, as lines of their own."""
        odd = self.odd[np.searchsorted(self.odd, first) : np.searchsorted(self.odd, last)]
        return Lines(self.data, self.starts[first:last], self.ends[first:last], odd - first)

    def are_tidy(self, first: int, last: int) -> bool:
        """Whether none of the records ``first`` to ``last`` is odd."""
        return bool(np.searchsorted(self.odd, first) == np.searchsorted(self.odd, last))


def of_text(data: bytes) -> Lines:
    """Return the lines of ``data`` that are not blank, without a first byte order mark and carriage returns at ends."""
    data = data.removeprefix(MARK)
    found = bounds(data)
    if found is not None and all_tidy(data, *found):
        return Lines(data, *found, odd=np.empty(0, np.int64))
    kept = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return of_records([line for line in kept if line.strip(SPACE)])


def of_records(records: list[bytes]) -> Lines:
    """Return each of ``records`` as a record, blank ones too."""
    data = b"\n".join(records)
    found = bounds(data) if records and records[-1] else None  # a blank one at the end would make no line
    if found is not None and len(found[0]) == len(records) and all_tidy(data, *found):
        return Lines(data, *found, odd=np.empty(0, np.int64))
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    starts = np.cumsum(lengths + 1) - lengths - 1
    odd = [i for i, record in enumerate(records) if not _is_tidy(record)]
    return Lines(data, starts, starts + lengths, np.array(odd, np.int64))


def bounds(data: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Return where the lines of ``data`` begin and end, the last one's feed optional; None when there are none."""
    if not data:
        return None
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF)
    ends = feeds if data.endswith(b"\n") else np.append(feeds, len(data))
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    return starts, ends


def all_tidy(data: bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bool:
    """Whether each of the lines begins with ``{`` and ends with ``}``."""
    if (starts == ends).any():
        return False
    text = np.frombuffer(data, np.uint8)
    return bool((text[starts] == _OPEN).all() and (text[ends - 1] == _CLOSE).all())


def _is_tidy(record: bytes) -> bool:
    bare = record.strip(SPACE)
    return bare.startswith(b"{") and bare.endswith(b"}") and b"\n" not in record
