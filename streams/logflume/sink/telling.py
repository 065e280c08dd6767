"""What a sink says of itself on the topic ``status``: its metrics and its health; its loop has nothing to do for it."""

from __future__ import annotations

from logflume import metrics
from logflume.block import reasons
from logflume.clock import Clock
from logflume.config import Source
from logflume.config.telling import in_force
from logflume.errors import Unconfigured
from logflume.kafka.status import Condition, Reporter
from logflume.settings import Settings
from logflume.sink.health import Health
from logflume.sink.tenants import Tenants


def reporter(settings: Settings, source: Source, health: Health, tenants: Tenants, clock: Clock) -> Reporter:
    """Return what tells the status of this sink."""

    def measure() -> Condition:
        return Condition(
            in_force=in_force(source, clock),
            lag_seconds=metrics.total(metrics.SINK_COMMIT_AGE),
            held_bytes=round(metrics.total(metrics.SINK_BUFFERED_BYTES)),
            budget_bytes=settings.sink_memory_bytes,
            rows=round(metrics.total(metrics.SINK_ROWS) + metrics.total(metrics.JOB_ROWS)),
            paused_share=metrics.total(metrics.SINK_PAUSED),
            stopped=tuple(health.stopped),
            parked_pairs=round(metrics.total(metrics.SINK_PARKED)),
            parked_left_seconds=min(metrics.values(metrics.SINK_PARKED_LEFT), default=None),
            wait_seconds=_wait(source),
            tenants=tenants.told(settings.status_tenants),
            dead_letters=(
                (reasons.UNWANTED, round(metrics.total(metrics.SINK_UNWANTED))),
                (reasons.RETENTION, round(metrics.total(metrics.SINK_LOST) + metrics.total(metrics.SINK_PARKED_LOST))),
            ),
            troubles=tuple((health.ready() or "").splitlines()),
        )

    return Reporter(settings, "sink", measure, clock=clock)


def _wait(source: Source) -> float:
    try:
        return source.current().longest_wait
    except Unconfigured:
        return 0.0
