"""How soon rows can be found: at their table's commit, now minus their arrival. By columns, in the flush's thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from logflume.metrics import SINK_SEARCHABLE


@dataclass(frozen=True, slots=True)
class Freshness:
    """Of rows that a commit made searchable: how many took how long (``SINK_SEARCHABLE``'s buckets), the longest."""

    counts: tuple[int, ...]
    total_seconds: float
    longest_seconds: float


def freshness(received: pa.ChunkedArray, now_ns: int) -> Freshness | None:
    """Return that of rows with these times of arrival (nanoseconds); ``None``: there are none.

    A time of arrival is an edge's; one that lies ahead of this clock counts as now.
    """
    if not len(received):
        return None
    arrived = np.concatenate([np.asarray(chunk.view(pa.int64())) for chunk in received.chunks])
    seconds = np.maximum(0.0, (now_ns - arrived) / 1e9)
    places = np.searchsorted(SINK_SEARCHABLE.bounds, seconds)
    counts = np.bincount(places, minlength=len(SINK_SEARCHABLE.bounds) + 1)
    return Freshness(tuple(counts.tolist()), float(seconds.sum()), float(seconds.max()))
