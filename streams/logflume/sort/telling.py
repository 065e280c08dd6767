"""What a sorter says of itself on the topic ``status``, and when it begins and ends to do so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logflume import metrics
from logflume.block import reasons
from logflume.clock import Clock
from logflume.config import Source
from logflume.config.telling import in_force
from logflume.kafka.status import Condition, Reporter
from logflume.settings import Settings


def reporter(
    settings: Settings,
    source: Source,
    clock: Clock,
    *,
    ready: Callable[[], str | None],
    stopped: Callable[[], Sequence[str]],
) -> Reporter:
    """Return what tells the status of this sorter; ``stopped``: the partitions that it reads no more."""

    def measure() -> Condition:
        return Condition(
            in_force=in_force(source, clock),
            lag_seconds=metrics.total(metrics.SORT_COMMIT_AGE),
            held_bytes=round(metrics.total(metrics.SORT_BUFFERED_BYTES)),
            budget_bytes=settings.sort_memory_bytes,
            rows=round(metrics.total(metrics.SORT_ROWS)),
            stopped=tuple(stopped()),
            dead_letters=_dead_letters(),
            troubles=tuple((ready() or "").splitlines()),
        )

    return Reporter(settings, "sort", measure, clock=clock)


def _dead_letters() -> tuple[tuple[str, int], ...]:
    found = metrics.sums(metrics.SORT_DEADLETTERS, "reason") | {reasons.RETENTION: metrics.total(metrics.SORT_LOST)}
    return tuple((reason, round(rows)) for reason, rows in found.items())
