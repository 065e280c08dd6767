"""Destinations that fail: who tries them again, and when.

Z1  Of all parked outlets of a failing destination one is caught up, as a probe; when something came to rest there, by
    the probe or by anyone who is not parked, all may be.
Z2  The pauses between two probes grow, with jitter: a destination that is back is not met by all workers at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from urllib.parse import urlsplit

from logflume.model.tenant import Outlet
from logflume.sink.parking.parked import Parked

Destination = tuple[str, ...]

_PAUSE_SECONDS = (15.0, 300.0)
_PROBE_SECONDS = 120.0
"""A probe that has told nothing for so long (its partition may have moved to another worker) is given up."""


def destination(outlet: Outlet, *, refused: bool = False) -> Destination:
    """Return what fails and mends as one with ``outlet``; ``refused``: it failed for a reason of its own."""
    if refused:
        return ("one", outlet.tenant, outlet.name)
    if outlet.job is None:
        return ("store",)
    url = urlsplit(outlet.job.target.url)
    return ("job", outlet.job.target.endpoint, url.scheme, url.netloc or url.path)


@dataclass(slots=True)
class _Failing:
    failures: int
    again_at: float
    probe: Parked | None = None
    since: float = 0.0


class Destinations:
    """Those of which parked outlets wait. Used by the worker's thread alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._failing: dict[Destination, _Failing] = {}

    def __bool__(self) -> bool:
        return bool(self._failing)

    def failed(self, of: Destination, now: float) -> None:
        """Note that somebody was parked as ``of`` failed; a burst of such counts as one failure."""
        known = self._failing.get(of)
        if known is not None and known.probe is None:
            return
        failures = 0 if known is None else known.failures + 1
        self._failing[of] = _Failing(failures, now + self.pause(failures))

    def pause(self, failures: int) -> float:
        """Return the seconds to the next probe after so many that failed (Z2)."""
        least, most = _PAUSE_SECONDS
        return min(most, least * 2.0 ** min(failures, 10)) * self._random.uniform(0.5, 1.0)

    def found(self, of: Destination, now: float) -> None:
        """Note that Kafka has somebody parked who may still be failing: a probe goes first."""
        self._failing.setdefault(of, _Failing(0, now))

    def landed(self, of: Destination) -> None:
        """Note that something came to rest there."""
        self._failing.pop(of, None)

    def probes(self, entry: Parked) -> bool:
        """Whether ``entry`` is the one that tries."""
        return any(failing.probe is entry for failing in self._failing.values())

    def may_try(self, of: Destination, entry: Parked, now: float) -> bool:
        """Whether ``entry`` may be caught up now; if so, it is the probe of a failing destination (Z1)."""
        failing = self._failing.get(of)
        if failing is None or failing.probe is entry:
            return True
        if now < failing.again_at or (failing.probe is not None and now - failing.since < _PROBE_SECONDS):
            return False
        failing.probe, failing.since = entry, now
        return True
