"""Tenants' rates at an edge: who is over its own waits here, or hears for how long it must."""

from __future__ import annotations

import threading
from collections.abc import Callable

from logflume import metrics
from logflume.clock import Clock
from logflume.config import Source
from logflume.config.allowance import Allowances
from logflume.config.tally import Tally
from logflume.errors import OverLimit
from logflume.model import Rates
from logflume.model.rates import NO_RATES
from logflume.settings import Settings

_STEP_SECONDS = 0.5
"""After so long a waiter asks again: new rates hold at once."""


def allowances(settings: Settings, source: Source | None, clock: Clock) -> Allowances:
    """Return what tenants may still send to this process."""
    default = Rates(settings.edge_tenant_bytes_per_second, settings.edge_tenant_records_per_second)
    return Allowances(None if source is None else source.current, default, clock)


class Pacing:
    """Lets callers wait for their tenant's rate. Any thread may call."""

    def __init__(self, allowances: Allowances, clock: Clock, wait: Callable[[float], object] | None = None) -> None:
        """``wait`` waits for some seconds, or less when there is a reason to look again."""
        self.allowances = allowances
        self.over = Tally("tenants sent more than their rates allow", clock)
        """Records that had to wait, by tenant and dataset."""
        self._clock = clock
        self._wait = wait or threading.Event().wait

    @classmethod
    def free(cls, clock: Clock) -> Pacing:
        """Nobody ever waits."""
        return cls(Allowances(None, NO_RATES, clock), clock)

    def take(self, tenant: str, dataset: str, size: int, records: int, timeout: float, accepted: int = 0) -> None:
        """Return when the tenant may send it, counted; ``OverLimit`` when that is not so within ``timeout`` seconds.

        ``accepted`` is what the error says of the call's records so far.
        """
        seconds = self.allowances.take(tenant, size, records)
        if not seconds:
            return
        self.note(tenant, dataset, "client", records)
        deadline = self._clock.monotonic() + timeout
        while seconds:
            left = deadline - self._clock.monotonic()
            if left <= 0 or seconds > left:
                raise OverLimit(
                    f"tenant {tenant} sends more than its rate allows: {records} records of {size} bytes may come in "
                    f"{seconds:.1f} s, which is more than the {max(0.0, left):.1f} s left to wait",
                    seconds,
                    accepted,
                )
            self._wait(min(seconds, _STEP_SECONDS))
            seconds = self.allowances.take(tenant, size, records)

    def note(self, tenant: str, dataset: str, way: str, records: int) -> None:
        """Count records that were not taken at once, or not at all; ``way`` they came."""
        metrics.EDGE_OVER_RATE.labels(way).inc(records)
        self.over.add(tenant, dataset, f"over-rate by {way}", records)
