"""What each tenant may still send: token buckets, one for bytes and one for records, filled by the rates in force.

AL1  In any t seconds a tenant takes at most burst + rate × t of each, and one thing more if that is larger than the
     burst by itself (``most`` tells; who must not have it asks first). ``charge`` counts what came already, in debt.
AL2  A tenant that always has something waiting takes rate × t in the long run: what it was refused costs it nothing.
AL3  New rates hold from the next question on. Nobody gets a second burst for them.
AL4  Memory is bounded by the tenants that sent something within their burst's seconds.

Rates of a tenant stand in its file; where it says nothing, ``default`` holds. Any thread may call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

from logflume.clock import Clock
from logflume.errors import Unconfigured
from logflume.model import Configuration, Rates

_FEW = 1000
"""Tenants beyond which those are forgotten that have their whole burst: as if they had never sent anything."""

_SLACK = 1e-6
"""Part of a unit that rounding may cost: whoever waited as told must not have to wait again."""


class Bucket:
    """One limit's level, in units that may be taken at once; below 0 is debt. Pure, and for one thread at a time."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """It begins full. ``rate`` 0: no limit."""
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, now

    @property
    def burst(self) -> float:
        """The most that may be taken at once."""
        return self._burst if self._rate else math.inf

    def set(self, rate: float, burst: float, now: float) -> None:
        """Go on with other limits; the level stays, or what fits of it (AL3)."""
        if (rate, burst) == (self._rate, self._burst):
            return
        self._fill(now)
        if not self._rate:  # there was no level that meant anything
            self._level = burst
        self._rate, self._burst = rate, burst
        self._level = min(self._level, burst)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken, or the whole burst if it is more; 0: now."""
        if not self._rate:
            return 0.0
        self._fill(now)
        missing = min(amount, self._burst) - self._level
        return missing / self._rate if missing > _SLACK else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take it, whether it is there or not; a negative amount gives back."""
        if self._rate:
            self._fill(now)
            self._level = min(self._burst, self._level - amount)

    def is_full(self, now: float) -> bool:
        """Whether it is as it began."""
        self._fill(now)
        return not self._rate or self._level >= self._burst

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now


class Most(NamedTuple):
    """What may be taken at once, ever."""

    size: float
    records: float


class _Tenant:
    """Both buckets of one tenant."""

    __slots__ = ("_rates", "records", "size")

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self.size = Bucket(rates.bytes_per_second, rates.bytes_per_second * rates.burst_seconds, now)
        self.records = Bucket(rates.records_per_second, rates.records_per_second * rates.burst_seconds, now)

    def set(self, rates: Rates, now: float) -> None:
        if rates is self._rates:  # of the same generation: nearly always
            return
        self._rates = rates
        self.size.set(rates.bytes_per_second, rates.bytes_per_second * rates.burst_seconds, now)
        self.records.set(rates.records_per_second, rates.records_per_second * rates.burst_seconds, now)

    def wait(self, size: int, records: int, now: float) -> float:
        return max(self.size.wait(size, now), self.records.wait(records, now))

    def take(self, size: int, records: int, now: float) -> None:
        self.size.take(size, now)
        self.records.take(records, now)

    def is_full(self, now: float) -> bool:
        return self.size.is_full(now) and self.records.is_full(now)


class Allowances:
    """See AL1 to AL4."""

    def __init__(self, current: Callable[[], Configuration] | None, default: Rates, clock: Clock) -> None:
        """``current`` gives the configuration in force; without one (None, or ``Unconfigured``) ``default`` holds."""
        self._current = current
        self._default = default
        self._clock = clock
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}
        self._sweep_at = _FEW

    def __len__(self) -> int:
        """Tenants that are remembered."""
        return len(self._tenants)

    def most(self, tenant: str) -> Most:
        """What the tenant may send at once; more can only go in parts."""
        rates = self._rates(tenant)
        return Most(
            rates.bytes_per_second * rates.burst_seconds or math.inf,
            rates.records_per_second * rates.burst_seconds or math.inf,
        )

    def wait(self, tenant: str, size: int, records: int) -> float:
        """Seconds until as much might be taken; 0: now. Nothing is taken."""
        rates = self._rates(tenant)
        if _is_free(rates):
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            return self._of(tenant, rates, now).wait(size, records, now)

    def take(self, tenant: str, size: int, records: int) -> float:
        """Take it and return 0, or return in how many seconds there may be room; then nothing is taken."""
        rates = self._rates(tenant)
        if _is_free(rates):
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            found = self._of(tenant, rates, now)
            wait = found.wait(size, records, now)
            if not wait:
                found.take(size, records, now)
            return wait

    def charge(self, tenant: str, size: int, records: int) -> float:
        """Count what has come already; return for how many seconds the tenant should send nothing."""
        rates = self._rates(tenant)
        if _is_free(rates):
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            found = self._of(tenant, rates, now)
            found.take(size, records, now)
            return found.wait(0, 0, now)

    def refund(self, tenant: str, size: int, records: int) -> None:
        """Give back what was taken for something that came to nothing."""
        with self._lock:
            found = self._tenants.get(tenant)
            if found is not None:
                found.take(-size, -records, self._clock.monotonic())

    def _rates(self, tenant: str) -> Rates:
        if self._current is None:
            return self._default
        try:
            known = self._current().tenants.get(tenant)
        except Unconfigured:
            return self._default
        return self._default if known is None else effective(known.rates, self._default)

    def _of(self, tenant: str, rates: Rates, now: float) -> _Tenant:
        found = self._tenants.get(tenant)
        if found is not None:
            found.set(rates, now)
            return found
        if len(self._tenants) >= self._sweep_at:
            self._tenants = {name: each for name, each in self._tenants.items() if not each.is_full(now)}
            self._sweep_at = max(_FEW, 2 * len(self._tenants))
        return self._tenants.setdefault(tenant, _Tenant(rates, now))


def effective(own: Rates, default: Rates) -> Rates:
    """Return a tenant's rates: its own, and the default's where it has none."""
    if not own.bytes_per_second and not own.records_per_second:
        return default
    if own.bytes_per_second and own.records_per_second:
        return own
    return Rates(
        own.bytes_per_second or default.bytes_per_second,
        own.records_per_second or default.records_per_second,
        own.burst_seconds,
    )


def _is_free(rates: Rates) -> bool:
    return not rates.bytes_per_second and not rates.records_per_second
