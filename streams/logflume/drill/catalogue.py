"""Every drill, in the order in which `make drills` runs them."""

from __future__ import annotations

from logflume.drill.acts import (
    blank_config,
    broker_restart,
    half_config,
    poison_flood,
    rolling_restart,
    sink_stop,
    tenant_surge,
    token_revoke,
    whale,
    worker_kill,
)
from logflume.drill.drill import Drill

DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        blank_config.DRILL,
        half_config.DRILL,
        tenant_surge.DRILL,
        whale.DRILL,
        sink_stop.DRILL,
        broker_restart.DRILL,
        worker_kill.DRILL,
        rolling_restart.DRILL,
        poison_flood.DRILL,
        token_revoke.DRILL,
    )
}
