"""Whether an edge may send at all: until it has had a configuration it neither drops nor forwards.

HO1 Without any configuration yet, what was accepted stays where it is, in the spool or in memory.
HO2 Once there was one it never holds back again: a source that has a generation keeps a good one.
"""

from __future__ import annotations

from logflume.config import Source
from logflume.errors import Unconfigured


class Holding:
    """See HO1 and HO2. Any thread may ask; with no source at all nothing is held back."""

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self._had_one = source is None

    @property
    def why(self) -> str:
        """Why nothing is sent; empty: it is."""
        if self._had_one or self._source is None:
            return ""
        try:
            self._source.current()
        except Unconfigured as none:
            return str(none)
        self._had_one = True
        return ""

    def generation(self) -> int:
        """The generation in force; 0: none, or nobody follows any."""
        if self._source is None:
            return 0
        try:
            return self._source.current().generation
        except Unconfigured:
            return 0
