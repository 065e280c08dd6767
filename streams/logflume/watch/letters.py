"""Dead letters by reason, over all edges, sorters and sinks: what these tell on the topic ``status``, added up.

DL1 What a worker had told before the watch looked first is not counted: a watch that starts again would tell of a flood
    that was.
DL2 A worker that starts again counts from 0, and so do we of it.
DL3 There are at most ``KINDS`` times the reasons there are, and one more for those that this version does not know;
    all of them are there from the start, as Prometheus sees no rise in a series that begins with its first letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from logflume import metrics
from logflume.block import reasons
from logflume.kafka.status import Seen

KINDS: Final = ("edge", "sort", "sink")
OTHER: Final = "other"

_Told = dict[str, int]


class Letters:
    """See DL1 to DL3. One thread's."""

    def __init__(self) -> None:
        self._last: dict[tuple[bytes, int], _Told] | None = None
        """By worker and its start."""
        for kind in KINDS:
            for reason in (*reasons.ALL, OTHER):
                metrics.WORKER_DEADLETTERS.labels(kind, reason)

    def follow(self, workers: Sequence[Seen]) -> None:
        """Take in a look's workers, all of them."""
        told = {
            (seen.status.worker.key, seen.status.worker.started_ms): (seen.status.worker.kind, _told(seen))
            for seen in workers
            if seen.status.worker.kind in KINDS
        }
        if self._last is not None:
            for worker, (kind, now) in told.items():
                before = self._last.get(worker, {})
                for reason, rows in now.items():
                    metrics.WORKER_DEADLETTERS.labels(kind, reason).inc(max(0, rows - before.get(reason, 0)))
        self._last = {worker: now for worker, (_, now) in told.items()}


def _told(seen: Seen) -> _Told:
    found: _Told = {}
    for reason, rows in seen.status.condition.dead_letters:
        known = reason if reason in reasons.ALL else OTHER
        found[known] = found.get(known, 0) + rows
    return found
