"""Which tenants' lines are read from files now, and which of them are sent on at all."""

from __future__ import annotations

from logflume.clock import Clock
from logflume.edge.admission import Admission
from logflume.edge.forwarding import Forwarding
from logflume.edge.rates import Pacing


class Gate:
    """One thread's.

    TG1  Of a tenant over its rate no file is read until what was read is made up for: the files wait, nothing is lost.
    TG2  Lines that ``Forwarding`` drops are read and counted, and their file goes on behind them.
    """

    def __init__(self, forwarding: Forwarding, pacing: Pacing) -> None:
        self._forwarding = forwarding
        self._pacing = pacing
        self._holds = False
        self.held = False
        """Whether a file was left unread by TG1 in the last turn."""

    @classmethod
    def of(cls, admission: Admission) -> Gate:
        """As a client would have its callers' records."""
        return cls(admission.forwarding, admission.pacing)

    @classmethod
    def open(cls, clock: Clock) -> Gate:
        """Everything passes."""
        return cls(Forwarding(None, clock), Pacing.free(clock))

    def waits(self, tenant: str) -> bool:
        """Whether the tenant's files are to be left unread now (TG1)."""
        waits = self._pacing.allowances.wait(tenant, 0, 0) > 0
        self._holds |= waits
        return waits

    def passes(self, tenant: str, dataset: str, size: int, records: int) -> bool:
        """Whether lines that were read are sent on; those are charged to the tenant."""
        if not self._forwarding.takes(tenant, dataset, records):
            return False
        if self._pacing.allowances.charge(tenant, size, records):
            self._pacing.note(tenant, dataset, "tail", records)
        return True

    def end_turn(self) -> None:
        """The turn's files have been looked at."""
        self.held, self._holds = self._holds, False
