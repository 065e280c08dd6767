"""Plain lines gathered to records: a stack trace is one record, not forty.

Nothing is dropped: every line that is not blank by itself stands in exactly one record, in order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from logflume.errors import Misconfigured

MOST_LINES: Final = 1000
"""Lines of one record; what comes after begins another. A deep recursion's trace has about as many."""

_CONTINUES: Final = re.compile(rb"\s|$|Caused by:|at |\.\.\.")
_LOOKED_AT: Final = 1000
"""Bytes of a line that a rule sees: the user's expression may be slow on long ones."""

_INSTANT: Final = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))(?=[\s\],;|]|$)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Group:
    """The lines ``first`` to ``last`` (not included) are one record."""

    first: int
    last: int


class Multiline:
    """Says which lines begin a record. With a rule of the user's, every line that matches it; else every line but
    those that look like a continuation: blank, indented, ``Caused by:``, ``at``, ``...``.
    """

    def __init__(self, start: str = "") -> None:
        """``start``: a regular expression that the first line of a record matches from its beginning."""
        try:
            self._start = re.compile(start.encode()) if start else None
        except re.error as error:
            raise Misconfigured(f"the expression for a record's first line, {start!r}, is none: {error}") from error

    def begins(self, line: bytes) -> bool:
        """Whether ``line`` begins a record, whatever came before it."""
        seen = line[:_LOOKED_AT]
        return not _CONTINUES.match(seen) if self._start is None else self._start.match(seen) is not None

    def groups(self, lines: Sequence[bytes], most_bytes: int) -> tuple[list[Group], bool]:
        """Return the records of ``lines``, and whether the last one may still go on.

        A record has ``MOST_LINES`` lines and about ``most_bytes`` at most: what would pass them begins the next one.
        """
        found: list[Group] = []
        first, size = 0, 0
        for i, line in enumerate(lines):
            if i > first and (self.begins(line) or i - first >= MOST_LINES or size + len(line) > most_bytes):
                found.append(Group(first, i))
                first, size = i, 0
            size += len(line) + 1
        if first < len(lines):
            found.append(Group(first, len(lines)))
        is_open = bool(found) and len(lines) - first < MOST_LINES and size <= most_bytes
        return found, is_open


def instant(text: str) -> str | None:
    """Return the instant that ``text`` begins with, in RFC 3339; None when there is none, or it has no zone."""
    match = _INSTANT.match(text)
    return None if match is None else match[1].replace(" ", "T").replace(",", ".")
