"""Caps on who is new: a surge of new tables and jobs takes nothing from those that are there (DESIGN §7).

V1  Whoever was stored here before flows on, whatever the caps say: also after a restart, or at another worker.
V2  Who is new begins when there is room: a bucket of tokens, a minute's worth of them at most, is filled evenly; four
    times as fast while the worker is not pressed. And there are no more active ones than ``active_pairs``.
V3  Who has no room is parked before its first row: nothing of it is lost, and it takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from logflume.kafka.known import hash_of
from logflume.model.tenant import Outlet

_EASY_TIMES = 4.0
_ACTIVE_SECONDS = 600.0
_LEARNING_SECONDS = 60.0
"""A group that worked before it kept a record of whom it knows takes everybody for known for so long."""

_STORE_SECONDS = 30.0
"""How often the record is written at most; who came since is new again if the worker dies."""


class Caps:
    """How many may begin. Used by the worker's thread alone."""

    def __init__(self, active_pairs: int, new_a_minute: int, pressed: Callable[[], bool]) -> None:
        self._most_active = active_pairs
        self._burst = float(new_a_minute)
        self._tokens = self._burst
        self._pressed = pressed
        self._filled_at: float | None = None
        self._seen: dict[tuple[str, Outlet], float] = {}
        self._next_look = 0.0

    def seen(self, partition: str, outlets: Iterable[Outlet], now: float) -> None:
        """Note that ``outlets`` began, or that rows of them came to rest."""
        for outlet in outlets:
            self._seen[partition, outlet] = now

    def grant(self, count: int, now: float, at_least: int = 0) -> int:
        """Return how many of ``count`` new ones may begin now (V2); none while ``at_least`` might soon."""
        self._fill(now)
        room = self._most_active - len(self._seen)
        granted = max(0, min(count, int(self._tokens), room))
        if granted < min(at_least, int(self._burst), room):
            return 0
        self._tokens -= granted
        return granted

    def _fill(self, now: float) -> None:
        since = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        times = 1.0 if self._pressed() else _EASY_TIMES
        self._tokens = min(self._burst, self._tokens + since * times * self._burst / 60.0)
        if now >= self._next_look:
            self._next_look = now + _ACTIVE_SECONDS / 20
            self._seen = {pair: at for pair, at in self._seen.items() if now - at < _ACTIVE_SECONDS}


class Known:
    """Who was stored before in one partition (V1)."""

    def __init__(self, hashes: frozenset[int] | None, worked_before: bool, now: float) -> None:
        """``hashes``: the record; None: there is none. ``worked_before``: but the group has a position."""
        self._hashes = set(hashes or ())
        self._outlets: set[Outlet] = set()
        self._learning = now + _LEARNING_SECONDS if hashes is None and worked_before else 0.0
        # Of a group that has just begun it says that nobody is known: without it a restart would learn them all.
        self._changed = hashes is None
        self._stored_at: float | None = None

    def has(self, outlet: Outlet, now: float) -> bool:
        """Whether ``outlet`` is known."""
        if outlet in self._outlets:
            return True
        if now < self._learning:
            self.add(outlet)
        elif hash_of(outlet.tenant, outlet.name) in self._hashes:
            self._outlets.add(outlet)
        return outlet in self._outlets

    def add(self, outlet: Outlet) -> None:
        """Know ``outlet`` from now on."""
        self._outlets.add(outlet)
        number = hash_of(outlet.tenant, outlet.name)
        if number not in self._hashes:
            self._hashes.add(number)
            self._changed = True

    def to_store(self, now: float) -> set[int] | None:
        """Return the hashes when they are to be stored with the next commit.

        Not while it learns: by half a record everyone else would be new.
        """
        if now < self._learning:
            return None
        due = self._stored_at is None or now - self._stored_at >= _STORE_SECONDS
        return self._hashes if self._changed and due else None

    def stored(self, now: float) -> None:
        """Note that the hashes are stored."""
        self._changed, self._stored_at = False, now
