"""Between a client's callers and its memory: what nobody wants goes no further, and each tenant comes at its rate.

AD1  Records are dropped only as ``Forwarding`` allows, a call's all or none, and the caller hears how many.
AD2  Of a call that is larger than its tenant's burst the parts go in one after the other, each when its time has come.
     Who waits for its rate holds no memory and no lock.
AD3  What did not go in for want of room is given back to the tenant's rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from logflume.edge.buffer import Format
from logflume.edge.forwarding import Forwarding
from logflume.edge.intake import Intake, NotAccepted
from logflume.edge.lines import Lines
from logflume.edge.rates import Pacing


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a call: ``rows`` records went in, ``dropped`` did not, as no table and no job wants them.

    Bad ones among ``rows`` are told to ``on_bad`` when they are read.
    """

    rows: int
    dropped: int = 0


class Admission:
    """See AD1 to AD3. Any thread may call; calls take and raise what those of ``Intake`` do, and ``OverLimit``."""

    def __init__(self, intake: Intake, forwarding: Forwarding, pacing: Pacing) -> None:
        self._intake = intake
        self.forwarding = forwarding
        self.pacing = pacing

    def add_record(self, tenant: str, dataset: str, line: bytes, timeout: float) -> None:
        """Take one record, or drop it."""
        if not self.forwarding.takes(tenant, dataset, 1):
            return
        self.pacing.take(tenant, dataset, len(line), 1, timeout)
        try:
            self._intake.add_record(tenant, dataset, line, timeout)
        except NotAccepted:
            self.pacing.allowances.refund(tenant, len(line), 1)
            raise

    def add_lines(
        self, tenant: str, dataset: str, lines: Lines, format: Format, timeout: float, *, numbered: bool
    ) -> Accepted:
        """Take all of ``lines``, or drop them; ``timeout`` is for each wait."""
        if not self.forwarding.takes(tenant, dataset, len(lines)):
            return Accepted(0, len(lines))
        size, records = self.pacing.allowances.most(tenant)
        if len(lines) <= records and lines.size(0, len(lines)) <= size:
            self._add_part(tenant, dataset, lines, format, timeout, 0, numbered=numbered)
            return Accepted(len(lines))
        at = 0
        while at < len(lines):
            stop = max(at + 1, lines.fitting(at, _whole(records), _whole(size)))
            self._add_part(tenant, dataset, lines.part(at, stop), format, timeout, at, numbered=numbered)
            at = stop
        return Accepted(len(lines))

    def add_table(self, tenant: str, dataset: str, table: pa.RecordBatch, timeout: float) -> Accepted:
        """Take all rows of ``table``, or drop them; ``timeout`` is for each wait."""
        if not self.forwarding.takes(tenant, dataset, table.num_rows):
            return Accepted(0, table.num_rows)
        size, records = self.pacing.allowances.most(tenant)
        each = max(1, table.nbytes) / max(1, table.num_rows)
        rows = max(1, _whole(min(records, size / each, table.num_rows)))
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows)
            self.pacing.take(tenant, dataset, part.nbytes, part.num_rows, timeout, at)
            try:
                self._intake.add_table(tenant, dataset, part, timeout)
            except NotAccepted as full:
                raise self._given_back(full, tenant, part.nbytes, part.num_rows, at) from full
        return Accepted(table.num_rows)

    def _add_part(
        self, tenant: str, dataset: str, lines: Lines, format: Format, timeout: float, before: int, *, numbered: bool
    ) -> None:
        size = lines.size(0, len(lines))
        self.pacing.take(tenant, dataset, size, len(lines), timeout, before)
        try:
            self._intake.add_lines(tenant, dataset, lines, format, timeout, numbered=numbered)
        except NotAccepted as full:
            raise self._given_back(full, tenant, lines.size(full.accepted, len(lines)), len(lines), before) from full

    def _given_back(self, full: NotAccepted, tenant: str, size: int, records: int, before: int) -> NotAccepted:
        """AD3: ``size`` bytes of the part's ``records``; ``before`` of the call's went in with other parts."""
        self.pacing.allowances.refund(tenant, size, records - full.accepted)
        return NotAccepted(str(full), before + full.accepted)


def _whole(number: float) -> int:
    return 1 << 62 if math.isinf(number) else int(number)
