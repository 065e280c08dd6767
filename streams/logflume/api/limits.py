"""How often one may ask: by token, by tenant, and by address for those who show no token that is good.

LI1  In any t seconds at most burst + rate × t requests of a token are answered, and of a tenant, with all its tokens.
LI2  One that is refused costs nothing of either, and no work is done for it. It hears when there will be room.
LI3  Whoever shows no good token hears so (401) at a rate by address, and beyond it is refused without a look. A good
     token is never refused for its address: a proxy's is that of many.
LI4  Memory is bounded: of what is not at rest the oldest are forgotten beyond ``_MOST``.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import Final

from logflume import metrics
from logflume.api.caller import Caller
from logflume.api.problem import Problem
from logflume.clock import Clock
from logflume.config.allowance import Bucket
from logflume.settings import Settings

_MOST: Final = 50_000
_SITE: Final = 64  # bits of an IPv6 address: one network has as many addresses as it likes


class _Buckets:
    """A bucket for each of those who ask, the last of them last."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, max(1.0, burst)
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Seconds until there is room for one; 0: now."""
        return self._bucket(key, now).wait(1, now) if self._rate else 0.0

    def take(self, key: str, now: float) -> None:
        """Count one."""
        if self._rate:
            self._bucket(key, now).take(1, now)

    def _bucket(self, key: str, now: float) -> Bucket:
        found = self._of.get(key)
        if found is None:
            found = self._of[key] = Bucket(self._rate, self._burst, now)
            if len(self._of) > _MOST:
                self._of.popitem(last=False)
        self._of.move_to_end(key)
        return found


class Limits:
    """See LI1 to LI4. For one event loop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        seconds = settings.serve_burst_seconds
        self._tokens = _Buckets(settings.serve_token_requests, settings.serve_token_requests * seconds)
        self._tenants = _Buckets(settings.serve_tenant_requests, settings.serve_tenant_requests * seconds)
        self._addresses = _Buckets(settings.serve_address_failures, settings.serve_address_failures * seconds)

    def take(self, who: Caller) -> None:
        """Count a request. ``Problem`` 429 when it is too many; then nothing is counted (LI2)."""
        now = self._clock.monotonic()
        token = f"{who.tenant}/{who.token}"
        waits = {"token": self._tokens.wait(token, now), "tenant": self._tenants.wait(who.tenant, now)}
        whose = max(waits, key=lambda each: waits[each])
        if waits[whose]:
            raise _later(whose, f"this {whose} asks more often than it may", waits[whose])
        self._tokens.take(token, now)
        self._tenants.take(who.tenant, now)

    def failed(self, address: str) -> None:
        """Count that somebody showed no good token. ``Problem`` 429 when that is too often (LI3)."""
        now = self._clock.monotonic()
        site = _site(address)
        if wait := self._addresses.wait(site, now):
            raise _later("address", "no good token has come from this address too often", wait)
        self._addresses.take(site, now)


def _later(whose: str, detail: str, seconds: float) -> Problem:
    metrics.EXPLORE_LIMITED.labels(whose).inc()
    again = max(1, math.ceil(seconds))
    return Problem(429, "too-many", f"{detail}; there will be room in {again} s", retry_seconds=again)


def _site(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:_SITE]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _SITE), strict=False))
