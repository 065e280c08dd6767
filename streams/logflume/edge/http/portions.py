"""Portions of a request as pieces for the client; and, for ``atomic`` requests, what of them would be bad."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from logflume.block import reasons
from logflume.edge.http.portion import Portion
from logflume.edge.lines import Lines
from logflume.edge.receipt import DETAILED, BadPlace, Piece
from logflume.formats import JsonParser
from logflume.model import Datasets

_ROWS: Final = 4000
"""Records parsed at once: columns of a dataset take memory by the row, whatever is in it."""
_SAFE_BYTES: Final = 512_000
"""A record of fewer bytes surely fits into a block, however its fields are spelled there."""


def pieces(tenant: str, portions: Sequence[Portion]) -> list[Piece]:
    """Return the portions with their records found. A portion's numbers are one for each of its lines."""
    return [Piece(tenant, portion.dataset, _lines(portion)) for portion in portions]


def _lines(portion: Portion) -> Lines:
    lines = Lines(portion.lines)
    if portion.numbers is not None:
        lines.numbers = portion.numbers[lines.numbers - 1]  # blank lines are no records
    return lines


class Parsers:
    """Says which records a block could not carry, by the parsers that the client packs with; for any thread."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._own = threading.local()

    def bad(self, pieces: Sequence[Piece]) -> list[BadPlace]:
        """Return the bad records of ``pieces``, with the numbers that their sender gave them."""
        found: list[BadPlace] = []
        for piece in pieces:
            if isinstance(piece.content, Lines):
                self._add_bad(piece.dataset, piece.content, found)
        return found

    def _add_bad(self, dataset: str, lines: Lines, found: list[BadPlace]) -> None:
        parser = self._parser(dataset)
        for at in range(0, len(lines), _ROWS):
            stop = min(at + _ROWS, len(lines))
            records = lines.piece(at, stop).split(b"\n")[:-1]
            parsed = parser.parse(records)
            for bad in parsed.bad:
                _add(found, int(lines.numbers[at + bad.row]), bad.reason, bad.detail)
            sizes = np.fromiter(map(len, records), np.int64, len(records))
            for row in np.flatnonzero(sizes[parsed.rows] > _SAFE_BYTES).tolist():
                _add(
                    found,
                    int(lines.numbers[at + parsed.rows[row]]),
                    reasons.TOO_LARGE,
                    f"more than {_SAFE_BYTES} bytes",
                )

    def _parser(self, dataset: str) -> JsonParser:
        parsers: dict[str, JsonParser] = self._own.__dict__.setdefault("parsers", {})
        if dataset not in parsers:
            parsers[dataset] = JsonParser(self._datasets[dataset])
        return parsers[dataset]


def _add(found: list[BadPlace], number: int, reason: str, detail: str) -> None:
    found.append(BadPlace(number, reason, detail if len(found) < DETAILED else ""))
