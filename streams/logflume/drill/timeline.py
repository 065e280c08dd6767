"""What the tables' files say about time: when rows came, when they were at rest, second by second and group by group.

A row carries its arrival (``_received``), its file the time at which it was written: their difference is how long the
row waited. Nobody is asked; a stage that tells the wrong rate is not believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logflume.demo.judge import Files

_READERS = 4
_BUCKETS = 4096
"""Waiting times are counted in buckets of a tenth of a second, up to nearly seven minutes; the last one is open."""
_BUCKET_SECONDS = 0.1

Counts = NDArray[np.int64]


@dataclass
class Group:
    """Rows of some tenants, by the second after the start in which they came or came to rest."""

    seconds: int
    came: Counts = field(init=False)
    rested: Counts = field(init=False)
    waits: NDArray[np.int32] = field(init=False)
    """By second of arrival and bucket of waiting time."""

    def __post_init__(self) -> None:
        self.came = np.zeros(self.seconds, np.int64)
        self.rested = np.zeros(self.seconds, np.int64)
        self.waits = np.zeros((self.seconds, _BUCKETS), np.int32)

    def add(self, received: NDArray[np.float64], at_rest: float) -> None:
        """Count rows of one file: when each came, when all of them were at rest, in seconds after the start."""
        second = received.astype(np.int64)
        inside = (second >= 0) & (second < self.seconds)
        second = second[inside]
        wait = np.clip(((at_rest - received[inside]) / _BUCKET_SECONDS).astype(np.int64), 0, _BUCKETS - 1)
        np.add.at(self.came, second, 1)
        np.add.at(self.waits, (second, wait), 1)
        if 0 <= at_rest < self.seconds:
            self.rested[int(at_rest)] += len(received)

    def rate(self, start: float, end: float, within_seconds: float | None = None) -> float:
        """Rows a second that came between two seconds; ``within_seconds``: only those at rest so soon after."""
        first, last = int(np.ceil(start)), int(np.floor(end))
        if last <= first:
            return 0.0
        buckets = _BUCKETS if within_seconds is None else int(within_seconds / _BUCKET_SECONDS)
        return float(self.waits[first:last, :buckets].sum()) / (last - first)

    def waited(self, start: float, end: float, share: float) -> float | None:
        """The waiting time in seconds that ``share`` of the rows that came between did not exceed; None: none came."""
        counts = self.waits[max(0, int(start)) : max(0, int(np.ceil(end)))].sum(axis=0)
        total = int(counts.sum())
        if not total:
            return None
        return float(np.searchsorted(np.cumsum(counts), share * total) + 1) * _BUCKET_SECONDS


def read(
    filesystem: pa.fs.FileSystem, files: Iterable[Files], groups: Mapping[str, str], start: float, seconds: int
) -> dict[str, Group]:
    """Read the arrivals of every row in ``files``; ``groups`` names each tenant's group, others are left out.

    ``start`` is in seconds since 1970; what came before it, or ``seconds`` after it, is not counted.
    """
    found = {name: Group(seconds) for name in dict.fromkeys(groups.values())}  # in the order given
    wanted = [
        (groups[each.tenant], path, written)
        for each in files
        if each.tenant in groups
        for path, written in zip(each.paths, each.written_ms, strict=True)
    ]

    def fetch(place: tuple[str, str, int]) -> tuple[str, NDArray[np.float64], float]:
        name, path, written = place
        column = pq.read_table(path, filesystem=filesystem, columns=["_received"])["_received"]
        micros = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        return name, micros / 1e6 - start, written / 1000 - start

    with ThreadPoolExecutor(_READERS) as pool:
        for name, received, at_rest in pool.map(fetch, wanted):
            found[name].add(received, at_rest)
    return found
