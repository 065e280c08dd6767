"""The traced blocks of one sorted partition, from their reading to the commit that passes them."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from logflume import traces
from logflume.sink.buffers import Flight
from logflume.traces import Headers, Step

_MOST: Final = 100
"""Of more the oldest is told no further."""


class Traced:
    """Used by the worker's thread. Nothing is kept while nothing is traced."""

    def __init__(self, where: str) -> None:
        """``where``: the partition, for people."""
        self._where = where
        self._open: dict[int, Step] = {}

    def read(self, offset: int, headers: Headers) -> None:
        """A block was read."""
        step = traces.go_on("logflume.sink", [headers], partition=self._where, offset=offset)
        if step is None:
            return
        self._open[offset] = step
        if len(self._open) > _MOST:
            self._open.pop(next(iter(self._open))).end(failed="too many blocks are traced at once")

    def rested(self, flight: Flight, seconds: float, tenant: str, job: str) -> None:
        """A flight took ``seconds`` and is at rest."""
        if not self._open:
            return
        end_ns = time.time_ns()
        for offset in np.intersect1d(np.array(list(self._open)), flight.offsets()).tolist():
            self._open[offset].part(
                "logflume.rest", end_ns - round(seconds * 1e9), end_ns, tenant=tenant, job=job, rows=flight.rows
            )

    def committed(self, offset: int, seconds: float) -> None:
        """A commit that took ``seconds`` has stored a position at ``offset``."""
        end_ns = time.time_ns() if self._open else 0
        for at in [at for at in self._open if at < offset]:
            step = self._open.pop(at)
            step.part("logflume.commit", end_ns - round(seconds * 1e9), end_ns)
            step.end()

    def close(self) -> None:
        """The partition is somebody else's: what was not committed is read again there."""
        for step in self._open.values():
            step.end(failed="the partition was revoked before the commit")
        self._open.clear()
