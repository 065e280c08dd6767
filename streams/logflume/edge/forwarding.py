"""What is sent on at all: an edge drops, and counts, what no table and no job wants.

FW1  Only a configuration in force says that something is not wanted. Without one (none is followed, or there has been
     none yet) nothing is dropped; a generation that was refused says nothing, as it is never in force.
FW2  It is asked once, when records are handed in. What was accepted is sent, whatever comes later.
FW3  What is dropped is counted, by dataset and reason as a metric, by tenant in a bounded table and in the log.
"""

from __future__ import annotations

from logflume import metrics
from logflume.clock import Clock
from logflume.config import Source
from logflume.config.tally import Tally
from logflume.errors import Unconfigured

UNKNOWN_TENANT, UNWANTED = "unknown-tenant", "unwanted"


class Forwarding:
    """See FW1 to FW3. Any thread may call."""

    def __init__(self, source: Source | None, clock: Clock) -> None:
        """``source`` None: no configuration is followed."""
        self._source = source
        self.dropped = Tally("records were dropped that no table and no job wants", clock)
        """By tenant, dataset and reason, since the start."""

    def takes(self, tenant: str, dataset: str, records: int) -> bool:
        """Whether records of this tenant and dataset are sent on; if not, they are counted as dropped."""
        if self._source is None:
            return True
        try:
            configuration = self._source.current()
        except Unconfigured:
            return True
        if configuration.wants(tenant, dataset):
            return True
        reason = UNWANTED if tenant in configuration.tenants else UNKNOWN_TENANT
        if records:
            metrics.EDGE_DROPPED_ROWS.labels(dataset, reason).inc(records)
            self.dropped.add(tenant, dataset, reason, records)
        return False
