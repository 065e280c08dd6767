"""What the cursors topic keeps of whose rows a sink group has stored of a sorted partition: a hash of each.

N1 of ``intents`` holds here too: the record lies where the position of its sorted partition lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np

from logflume.errors import Refused
from logflume.kafka.single_object import SingleObject
from logflume.settings import Settings

MOST = 100_000
"""Pairs that a record names at most: 800 kB, which a message may have. Any more are new again after a restart."""


def key(group: str, topic: str, partition: int) -> bytes:
    """Return the key of a record."""
    return f"known/{group}/{topic}/{partition}".encode()


def hash_of(tenant: str, job: str) -> int:
    """Return what stands for a tenant's table (``job`` empty) or job; two of 100,000 are alike once in 10⁹ times."""
    return int.from_bytes(hashlib.blake2b(f"{tenant}/{job}".encode(), digest_size=8).digest(), "big")


class Codec:
    """Writes and reads records by the contract's schema."""

    def __init__(self, settings: Settings) -> None:
        self._encoding = SingleObject(settings.topics_dir, "known")

    def encode(self, topic: str, topic_id: str, partition: int, hashes: Collection[int]) -> bytes:
        """Return the message's value."""
        pairs = np.sort(np.fromiter(hashes, dtype=">u8", count=len(hashes)))[:MOST]
        where = {"topic": topic, "topic_id": topic_id, "partition": partition}
        return self._encoding.encode(where | {"pairs": pairs.tobytes()})

    def decode(self, value: bytes) -> tuple[str, frozenset[int]]:
        """Return the topic's id and the hashes; raises ``Refused`` when it is no record that this version knows."""
        record = self._encoding.decode(value)
        if len(record["pairs"]) % 8:
            raise Refused(f"a stored record of known pairs has {len(record['pairs'])} bytes")
        return record["topic_id"], frozenset(np.frombuffer(record["pairs"], dtype=">u8").tolist())
