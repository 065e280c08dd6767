"""What a look shows, as metrics. Each family is replaced as a whole: a series of what is gone is gone as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from logflume import metrics
from logflume.kafka.status import Level, Pressure
from logflume.watch.causes import STAGES, Cause
from logflume.watch.look import Look, What

_MOST_WORKERS: Final = 1000
"""Of more only ``logflume_status_workers`` tells; those that are stale, or have a trouble, come first."""


def show(look: Look) -> None:
    """Show what of a look is metrics."""
    _show_lag(look)
    _show_findings(look)
    _show_workers(look)
    _show_tenants(look)


def show_pressure(pressure: Pressure, look: Look, found: Sequence[Cause]) -> None:
    """Show what a watch made of it."""
    for stage in STAGES:
        metrics.PRESSURE_SHARE.labels(stage).set(max((c.share for c in found if c.stage == stage), default=0.0))
        seconds = max((each.seconds for each in look.late if each.stage == stage), default=0.0)
        metrics.PRESSURE_LAG.labels(stage).set(seconds)
    conditions = [seen.status.condition for seen in look.workers if not seen.stale]
    fill = max((max(each.spool_share or 0.0, each.queue_share) for each in conditions), default=0.0)
    metrics.PRESSURE_SHARE.labels("edge").set(fill)
    for level in Level:
        metrics.PRESSURE_LEVEL.labels(str(level)).set(level is pressure.level)


def show_nothing() -> None:
    """Show nothing of what Kafka would tell: it does not answer."""
    show(Look())
    for gauge in (metrics.PRESSURE_SHARE, metrics.PRESSURE_LAG, metrics.PRESSURE_LEVEL):
        gauge.clear()


def _show_lag(look: Look) -> None:
    places = [((each.lag.group, each.lag.topic, str(each.lag.partition)), each) for each in look.late]
    metrics.LAG_RECORDS.show((labels, each.lag.lag) for labels, each in places)
    metrics.LAG_SECONDS.show((labels, each.seconds) for labels, each in places)
    paces = [((pace.group, pace.topic), pace) for pace in look.paces]
    metrics.LAG_LOST.show((labels, pace.lost) for labels, pace in paces)
    metrics.LAG_END.show((labels, pace.end) for labels, pace in paces)
    metrics.LAG_DONE.show((labels, pace.done) for labels, pace in paces)
    metrics.LAG_CATCH_UP.show(
        (labels, pace.catch_up_seconds) for labels, pace in paces if pace.catch_up_seconds is not None
    )
    metrics.LAG_LOOK.set(look.took_seconds)


def _show_findings(look: Look) -> None:
    of = {what: [each for each in look.findings if each.what is what] for what in What}
    stalled = dict.fromkeys(((pace.group, pace.topic) for pace in look.paces), 0)
    metrics.LAG_STALLED.show((stalled | {(f.group, f.topic): f.count for f in of[What.STALLED]}).items())
    metrics.LAG_VANISHED.show(((finding.group,), 1) for finding in of[What.VANISHED])
    metrics.LAG_UNREAD.show(((finding.topic,), 1) for finding in of[What.UNREAD])


def _show_workers(look: Look) -> None:
    states: dict[tuple[str, ...], int] = {}
    for seen in look.workers:
        state = (seen.status.worker.kind, "stale" if seen.stale else "fresh")
        states[state] = states.get(state, 0) + 1
    metrics.STATUS_WORKERS.show(states.items())
    most = sorted(look.workers, key=lambda seen: not (seen.stale or seen.status.condition.troubles))[:_MOST_WORKERS]
    workers = [((seen.status.worker.kind, seen.status.worker.id), seen) for seen in most]
    metrics.WORKER_AGE.show((labels, seen.age_seconds) for labels, seen in workers)
    metrics.WORKER_GENERATION.show(
        (labels, seen.status.condition.in_force.generation)
        for labels, seen in workers
        if seen.status.worker.kind != "watch"  # it follows none: 0 would look like one that lags behind
    )
    metrics.WORKER_HASH.show(
        ((*labels, seen.status.condition.in_force.config_hash), 1)
        for labels, seen in workers
        if seen.status.condition.in_force.config_hash
    )
    ages = ((labels, seen.status.condition.in_force.config_seconds) for labels, seen in workers)
    metrics.WORKER_CONFIG_AGE.show((labels, age) for labels, age in ages if age is not None)
    sinks = [(labels, seen) for labels, seen in workers if seen.status.worker.kind == "sink" and not seen.stale]
    metrics.WORKER_PARKED.show((labels, seen.status.condition.parked_pairs) for labels, seen in sinks)
    left = ((labels, seen.status.condition.parked_left_seconds) for labels, seen in sinks)
    metrics.WORKER_PARKED_LEFT.show((labels, seconds) for labels, seconds in left if seconds is not None)


def _show_tenants(look: Look) -> None:
    tenants = [((share.tenant or "other", share.dataset or "other"), share) for share in look.tenants]
    metrics.TENANT_WAIT.show((labels, share.wait_seconds) for labels, share in tenants)
    metrics.TENANT_ROWS.show((labels, share.waiting_rows) for labels, share in tenants)
    metrics.TENANT_STORED_ROWS.show((labels, share.stored_rows) for labels, share in tenants)
    metrics.TENANT_BYTES.show((labels, share.stored_bytes) for labels, share in tenants)
    metrics.TENANT_FRESHNESS.show((labels, share.fresh_seconds) for labels, share in tenants)
