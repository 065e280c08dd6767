"""A position: where in a sorted partition a reader is, and what it had seen by then.

From a stored position the same rows come again in the same order, whoever reads (DESIGN §6a).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from logflume.block.sorted import Coordinate

Ingest = tuple[str, int]
"""(topic id, partition): one ingest partition. Topics are known by their id: one made again is another topic."""

Advance = tuple[tuple[Ingest, Coordinate], ...]
"""What one sorted block covers: for each ingest partition the last coordinate in it."""


@dataclass(frozen=True)
class Position:
    """The next sorted offset to read, and the watermarks there.

    A watermark is the last (offset, row) of an ingest partition that lies before this position; rows at or below it
    have been read already and are repeats.

    ``floor`` is above 0 when reading began, or went on, at a log start past offset 0: what lay below was lost to
    retention (and recorded by whoever placed the reader there). ``since`` names the ingest partitions seen from there
    on; for all others a missing range may lie in the lost part and is no hole.
    """

    offset: int
    watermarks: Mapping[Ingest, Coordinate] = field(default_factory=lambda: MappingProxyType({}))
    floor: int = 0
    since: frozenset[Ingest] = frozenset()

    def advanced(self, next_offset: int, advance: Advance) -> Position:
        """Return the position after a block that ends at ``next_offset`` and covers ``advance``."""
        if not advance:
            return replace(self, offset=next_offset)
        watermarks = dict(self.watermarks)
        raise_watermarks(watermarks, advance)
        since = self.since | {ingest for ingest, _ in advance} if self.floor else self.since
        return Position(next_offset, MappingProxyType(watermarks), self.floor, since)

    def lost_until(self, log_start: int) -> Position:
        """Return the position at ``log_start`` when retention has removed everything before it."""
        return replace(self, offset=log_start, floor=log_start, since=frozenset())

    def may_have_lost(self, ingest: Ingest) -> bool:
        """Tell whether ranges of ``ingest`` may be missing here because retention removed them."""
        return self.floor > 0 and ingest not in self.since


def raise_watermarks(watermarks: dict[Ingest, Coordinate], advance: Advance) -> None:
    """Raise ``watermarks`` in place to what ``advance`` covers; a watermark never falls."""
    for ingest, last in advance:
        if last > watermarks.get(ingest, (-1, -1)):
            watermarks[ingest] = last
