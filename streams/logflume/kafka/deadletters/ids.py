"""A set of letters' ids that takes little more than their bytes, however many they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from logflume.kafka.deadletters.letter import ID_BYTES

_FRESH = 50_000
"""Ids kept as Python objects, some 110 bytes each, before they become 12 bytes of a sorted array."""

_TYPE = f"S{ID_BYTES}"


class Ids:
    """Ids (``DeadLetter.digest``) that were seen."""

    def __init__(self, fresh: int = _FRESH) -> None:
        self._most_fresh = fresh
        self._fresh: set[bytes] = set()
        self._sorted: list[npt.NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return len(self._fresh) + sum(len(level) for level in self._sorted)

    def __contains__(self, digest: bytes) -> bool:
        return self.have([digest])[0]

    def have(self, digests: Sequence[bytes]) -> list[bool]:
        """Say of each whether it was added."""
        found = [digest in self._fresh for digest in digests]
        if not self._sorted or all(found):
            return found
        # Padding with zero bytes makes nothing equal: all have one length.
        wanted = np.array(digests, dtype=_TYPE)
        mask = np.array(found)
        for level in self._sorted:
            at = np.minimum(np.searchsorted(level, wanted), len(level) - 1)
            mask |= level[at] == wanted
        return [bool(each) for each in mask]

    def add(self, digests: Sequence[bytes]) -> None:
        """Add ids that are not there yet."""
        self._fresh.update(digests)
        if len(self._fresh) < self._most_fresh:
            return
        level = np.sort(np.array(list(self._fresh), dtype=_TYPE))
        self._fresh.clear()
        # Levels double in size, so that there are few of them and each id is moved seldom.
        while self._sorted and len(self._sorted[-1]) <= 2 * len(level):
            level = np.sort(np.concatenate([self._sorted.pop(), level]))
        self._sorted.append(level)

    def new(self, digests: Sequence[bytes]) -> list[bool]:
        """Say of each whether it is here for the first time, also among ``digests``, and add those."""
        had = self.have(digests)
        among: set[bytes] = set()
        found = []
        for digest, seen in zip(digests, had, strict=True):
            found.append(not seen and digest not in among)
            among.add(digest)
        self.add([digest for digest, fresh in zip(digests, found, strict=True) if fresh])
        return found
