"""What tests of the agents' protocols share: a decoder's surroundings, and the rows that come of its portions."""

from __future__ import annotations

from typing import Any

import orjson

from logflume import contract, model
from logflume.edge.http.portion import Portion
from logflume.edge.http.protocols.gathering import Limits
from logflume.edge.http.protocols.record import Targets

DATASETS = model.load(contract.find(""))
TARGETS = Targets(DATASETS, "events")


class Reserved:
    """Counts what a decoder reserves."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, size: int) -> None:
        self.size += size


def limits(most_bytes: int = 10_000_000, most_records: int = 10_000, reserve: Reserved | None = None) -> Limits:
    return Limits(most_bytes, most_records, reserve or Reserved())


def records(portions: tuple[Portion, ...]) -> dict[str, list[dict[str, Any]]]:
    """The records by dataset."""
    return {portion.dataset: [orjson.loads(line) for line in portion.lines.splitlines()] for portion in portions}


def numbers(portions: tuple[Portion, ...]) -> dict[str, list[int]]:
    """The records' places in the request, by dataset."""
    return {portion.dataset: [] if portion.numbers is None else portion.numbers.tolist() for portion in portions}


def varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(content)) + content
