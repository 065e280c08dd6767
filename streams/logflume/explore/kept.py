"""Values that were used last, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """For one thread."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return a value, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value that has ``size`` bytes."""
        if key in self._values:
            self._held -= self._values.pop(key)[1]
        self._values[key] = value, size
        self._held += size
        while self._held > self._most:
            _, (_, dropped) = self._values.popitem(last=False)
            self._held -= dropped
