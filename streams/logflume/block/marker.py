"""The marker of a change of routing: a message without a value that a publisher puts into an ingest partition.

It stands there in the transaction that publishes the generation which makes the change, so whoever reads committed
messages meets it exactly where the change begins (docs/sort.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEADER: Final = "logflume-routing"
_MOST_DIGITS: Final = 18


def headers(generation: int) -> list[tuple[str, bytes]]:
    """Return the headers of a marker."""
    return [(HEADER, str(generation).encode())]


def generation_of(value: bytes | None, found: Sequence[tuple[str, bytes | None]] | None) -> int:
    """Return which generation a message marks; 0: it is no marker."""
    if value:
        return 0
    said = next((content for name, content in found or () if name == HEADER), None) or b""
    return int(said) if said.isdigit() and len(said) <= _MOST_DIGITS else 0
