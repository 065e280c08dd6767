"""The records of one request on their way to portions, within the limits that hold for every protocol."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from logflume.edge.http.portion import LineError, Portion
from logflume.edge.http.refusal import Refusal

_MOST_TOLD = 100
"""Refused records whose reason is kept: answers name a few, and each costs memory."""


_STEP = 256_000
"""Most bytes reserved ahead for lines, since each time takes a lock."""

SMALL = 64_000
"""Bytes of input whose objects need no reservation: they are gone before the next record's are made."""

_FIELDS_A_RECORD = 5
"""A record is one field of its group, looked at twice; groups have a few of their own."""

Reserve = Callable[[int], None]
"""Takes memory for a request, from any thread; raises ``Refusal`` when there is none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``most_bytes``: of a request's records, written as JSON; labels and resources are repeated in each record there.

    ``most_records``: a record can be two bytes long, and costs a few hundred while it is carried.
    """

    most_bytes: int
    most_records: int
    reserve: Reserve


class Gathering:
    """Collects lines by dataset, each with its record's place in the request, and what was refused."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines: dict[str, list[bytes]] = {}
        self._numbers: dict[str, array[int]] = {}
        self._bytes = 0
        self._reserved = 0
        self.fields_left = _FIELDS_A_RECORD * limits.most_records
        """Of a protobuf frame: each is a step in Python, whether it says anything or not."""
        self._records = 0
        self.refused: list[LineError] = []
        """The first of them; ``refusals`` counts all."""
        self.refusals = 0

    def add(self, dataset: str, line: bytes, number: int) -> None:
        """Take a record as one line of JSON, its newline included. Raises ``Refusal`` past the limits."""
        if dataset not in self._lines:
            self._lines[dataset] = []
            self._numbers[dataset] = array("q")
        self._count(len(line))
        self._lines[dataset].append(line)
        self._numbers[dataset].append(number)

    def refuse(self, number: int, reason: str, detail: str) -> None:
        """Note a record that is not taken."""
        self._count(0)
        self.refusals += 1
        if len(self.refused) < _MOST_TOLD:
            self.refused.append(LineError(number, reason, detail))

    def step(self) -> None:
        """Count something that is no record, but costs about as much: an empty group of records."""
        self._count(0)

    def objects(self, size: int, per_byte: int) -> None:
        """Reserve memory for the objects of one record of ``size`` bytes: at most ``per_byte`` for each."""
        if size > SMALL:
            self._limits.reserve(size * per_byte)

    def portions(self) -> tuple[Portion, ...]:
        """Return what was gathered, a portion for each dataset."""
        return tuple(
            Portion(dataset, b"".join(lines), np.array(self._numbers[dataset], np.int64))
            for dataset, lines in self._lines.items()
        )

    def _count(self, size: int) -> None:
        self._records += 1
        self._bytes += size
        if self._records > self._limits.most_records:
            raise Refusal(413, f"a request may hold {self._limits.most_records} records; send smaller batches")
        if self._bytes > self._limits.most_bytes:
            raise Refusal(
                413,
                f"the records of a request, each with the labels or resource it is sent under, may take "
                f"{self._limits.most_bytes} bytes as JSON; send smaller batches",
            )
        if self._bytes > self._reserved:  # twice: as lines, and joined to portions
            more = self._bytes - self._reserved + min(self._bytes, _STEP)
            self._limits.reserve(2 * more)
            self._reserved += more


def parse_json(body: bytes) -> object:
    """Return the JSON value of a body, for which the caller has reserved memory. Raises ``Refusal`` when it is none."""
    try:
        return orjson.loads(body)
    except ValueError as error:
        raise Refusal(400, f"the body is no JSON: {str(error)[:200]}") from None
