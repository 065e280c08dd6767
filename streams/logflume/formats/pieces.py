"""Lines gathered to pieces of a size that is worth a call, each with the number of its first record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from logflume.errors import LogflumeError

PIECE_BYTES: Final = 1 << 20


def pieces(lines: Iterable[bytes], size: int = PIECE_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first record, counted from 1; lines) for records of one line each, with its newline.

    When ``lines`` end with an error, what came before it is yielded first.
    """
    held: list[bytes] = []
    first, room = 1, size
    try:
        for number, line in enumerate(lines, start=1):
            held.append(line)
            room -= len(line)
            if room <= 0:
                yield first, b"".join(held)
                held, first, room = [], number + 1, size
    except LogflumeError:
        if held:
            yield first, b"".join(held)
        raise
    if held:
        yield first, b"".join(held)
