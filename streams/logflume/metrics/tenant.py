"""Single tenants, as sinks tell and the watch shows: few by name, and the others as ``other``."""

from __future__ import annotations

from logflume.metrics.metric import gauges

TENANT_WAIT = gauges(
    "logflume_tenant_lag_seconds",
    "seconds",
    ("tenant", "dataset"),
    "Age in Kafka of the oldest row of the tenant's table that sinks have read, or parked, and not stored; the "
    "status_tenants worst by name, the worst of all others as other.",
    "A single tenant waits: its table is parked or broken, or it is a whale; `logflume status` names what fails.",
)
TENANT_ROWS = gauges(
    "logflume_tenant_waiting_rows",
    "rows",
    ("tenant", "dataset"),
    "Rows of the tenant's table that sinks hold in memory; the others summed as other.",
    "Much of one tenant: see its rates, and `shards` in docs/configuration.md.",
)
TENANT_STORED_ROWS = gauges(
    "logflume_tenant_stored_rows",
    "rows",
    ("tenant", "dataset"),
    "Rows stored in the tenant's table in the last whole minute; the others summed as other.",
    "Compare with what the tenant is known to send.",
)
TENANT_BYTES = gauges(
    "logflume_tenant_stored_bytes",
    "bytes",
    ("tenant", "dataset"),
    "Bytes of data files stored for the tenant in the last whole minute; the others summed as other.",
    "A tenant that was never here before, or has many times its share: is it meant? Its rates bound it.",
)
TENANT_FRESHNESS = gauges(
    "logflume_tenant_freshness_seconds",
    "seconds",
    ("tenant", "dataset"),
    "The longest time that a row stored in the last minute or two took from arrival until it could be found; the worst "
    "of all others as other.",
    "High with a low lag: the edge held it, in its spool or as a late file. High with lag: see the stage that is late.",
)
