"""Every drill, in the order in which `make drills` runs them."""

from __future__ import annotations

from logflume.drill.acts import broker_restart, poison_flood, sink_stop, tenant_surge, whale, worker_kill
from logflume.drill.drill import Drill

DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        tenant_surge.DRILL,
        whale.DRILL,
        sink_stop.DRILL,
        broker_restart.DRILL,
        worker_kill.DRILL,
        poison_flood.DRILL,
    )
}
