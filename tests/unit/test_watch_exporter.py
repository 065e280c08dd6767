"""What a watch shows of workers."""

from __future__ import annotations

from logflume import metrics
from logflume.kafka.status import Condition, Identity, InForce, Status
from logflume.kafka.status.reading import Seen
from logflume.watch import exporter
from logflume.watch.look import Look


def seen(kind: str, generation: int) -> Seen:
    condition = Condition(in_force=InForce(generation, "h" if generation else ""))
    return Seen(Status(Identity(kind, "w", "host", 1, "0", 0), condition, time_ms=1, period_seconds=2.0), 0.5)


def test_a_watch_follows_no_configuration_and_is_not_shown_as_one_that_lags_behind() -> None:
    exporter.show(Look(workers=(seen("sink", 2), seen("edge", 0), seen("watch", 0))))
    shown = {kind: _generation(kind) for kind in ("sink", "edge", "watch")}
    exporter.show(Look())
    assert shown == {"sink": 2, "edge": 0, "watch": None}


def _generation(kind: str) -> float | None:
    name = "logflume_worker_config_generation"
    return metrics.REGISTRY.get_sample_value(name, {"kind": kind, "worker": "w"})
