"""The mistakes of a directory's files, gathered so that all are told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from logflume.errors import Misconfigured

MOST = 50
"""Told at once; of more only the number."""


class Mistakes:
    """Gathers what is wrong; what is right goes on being read, so that its mistakes are found too."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep a ``Misconfigured`` of this block for later; what stands behind it in the block is not done."""
        try:
            yield
        except Misconfigured as error:
            self.add(str(error))

    def add(self, text: str) -> None:
        """Add a mistake; ``text`` names file, line and field."""
        if len(self._told) < MOST:
            self._told.append(text)
        else:
            self._more += 1

    def raise_any(self) -> None:
        """Raise ``Misconfigured`` with all of them, a line each, when there are any."""
        if not self._told:
            return
        more = f"\nand {self._more} more mistakes" if self._more else ""
        count = len(self._told) + self._more
        head = f"{count} mistakes:\n" if count > 1 else ""
        raise Misconfigured(head + "\n".join(self._told) + more)
