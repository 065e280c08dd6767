"""Turns at a table's log, among the threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    lock: threading.RLock = field(default_factory=threading.RLock)
    users: int = 0


class Turns:
    """One lock a path, for as long as somebody holds it or waits for it; who holds it may take it again.

    A tenant of many shards has as many writers of one table. Whoever commits on a version that another has just passed
    reads the log again, which costs far more than to wait for the other's commit (docs/tables.md).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    @contextmanager
    def of(self, path: str) -> Iterator[None]:
        """Wait until nobody else is within, for ``path``."""
        with self._lock:
            turn = self._turns.setdefault(path, _Turn())
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[path]

    def __len__(self) -> int:
        return len(self._turns)
