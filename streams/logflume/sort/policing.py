"""Plain records beyond their tenant's rate: counted and told, never held back, as a sorter drops nothing and waits for
nobody. Kafka's quotas hold those producers back whose principal is a tenant's (``config.quotas``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from logflume import metrics
from logflume.clock import Clock
from logflume.config.allowance import Allowances
from logflume.config.tally import Tally
from logflume.model import Configuration, Rates
from logflume.settings import Settings


class Policing:
    """Compares what tenants' own producers sent with their rates. Any thread may call.

    It sees what this worker reads: of a tenant whose records go to several workers each sees a part. A batch beyond
    the rate is counted whole, and what is read again after a crash again: it tells who, not how much to the record.
    """

    def __init__(self, settings: Settings, current: Callable[[], Configuration], clock: Clock) -> None:
        default = Rates(settings.edge_tenant_bytes_per_second, settings.edge_tenant_records_per_second)
        self._allowances = Allowances(current, default, clock)
        self.over = Tally("tenants' own producers send more than their rates allow", clock)
        """Records beyond the rates, by tenant and dataset."""

    def look(
        self, dataset: str, tenants: Sequence[str], owners: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64]
    ) -> None:
        """Look at records of ``sizes`` bytes; ``owners`` are their tenants' places in ``tenants``, below 0 nobody's."""
        known = owners >= 0
        records = np.bincount(owners[known], minlength=len(tenants))
        weights = np.bincount(owners[known], weights=sizes[known], minlength=len(tenants))
        for at in np.flatnonzero(records).tolist():
            if self._allowances.take(tenants[at], int(weights[at]), int(records[at])):
                metrics.SORT_OVER_RATE.labels(dataset).inc(int(records[at]))
                self.over.add(tenants[at], dataset, "over-rate", int(records[at]))
