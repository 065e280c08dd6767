"""The routes of a dataset that are in force, waited for when the log says that there are newer ones.

R1  No row is routed by a configuration older than one whose marker lies before the row in its ingest partition, whoever
    passed that marker: this process, or the one that committed before it.
R2  A marker that nobody published holds nobody up: the configuration's own log, read to its end *after* the marker was
    read, has the marker's generation or a newer one, as both were committed together; or the marker is a forgery.
R3  Where no marker was met, no configuration is needed: rows before the first one go by no route.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog

from logflume import metrics
from logflume.config import Source
from logflume.errors import Retryable, Unconfigured
from logflume.model import Configuration
from logflume.sort.routing import NO_ROUTES, Routes

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.05
_TELL_SECONDS = 5.0

Newest = Callable[[], int | None]
"""Reads the configuration's log to its end and returns the generation of its manifest; None: there is none.

Raises ``Retryable`` when Kafka does not answer."""


class InForce(NamedTuple):
    """Routes, and the generation that the log asked for: what a commit behind these rows notes."""

    routes: Routes
    passed: int


class RoutesInForce:
    """One dataset's. Used by the thread that sorts; ``waiting`` may be asked from any."""

    def __init__(self, dataset: str, source: Source, newest: Newest, stopping: Callable[[], bool]) -> None:
        """``stopping`` says that the process is to end: nothing is waited for any more."""
        self._dataset = dataset
        self._source = source
        self._newest = newest
        self._stopping = stopping
        self._ended = threading.Event()
        self.waiting = ""
        """What it waits for; empty: nothing, or not for long."""

    def end(self) -> None:
        """Wait no longer; a call of ``at_least`` that waits raises."""
        self._ended.set()

    def at_least(self, passed: int, marked: Collection[int]) -> InForce:
        """Return routes of a configuration at least as new as all of these generations, however long it takes.

        ``passed``: what was noted at the last commit; ``marked``: what the markers among the rows say, forged or not.
        Raises ``Unconfigured`` when the process is to end.
        """
        needed, since, sure = max(passed, *marked, 0), time.monotonic(), False
        while True:
            present = self._present()
            if present is not None and present.generation >= needed:
                self._tell("")
                metrics.SORT_CONFIGURATION_WAIT.labels(self._dataset).set(0)
                return InForce(present.routes(self._dataset), needed)
            if not needed:
                return InForce(NO_ROUTES, 0)
            if not sure and needed > passed and (newest := self._asked()) is not None:
                sure = True
                if newest < needed:
                    metrics.SORT_FORGED_MARKERS.labels(self._dataset).inc()
                    log.error("a marker of routing that nobody published", generation=needed, newest=newest)
                    needed = max(passed, *(mark for mark in marked if mark <= newest), 0)
                    continue
            have = "none" if present is None else f"generation {present.generation}"
            waited = time.monotonic() - since
            metrics.SORT_CONFIGURATION_WAIT.labels(self._dataset).set(waited)
            if waited > _TELL_SECONDS:
                self._tell(f"the log goes on by generation {needed} of the configuration; this worker has {have}")
            if self._stopping() or self._ended.wait(_LOOK_SECONDS):
                raise Unconfigured(f"{self._dataset}: generation {needed} of the configuration did not come in time")

    def _present(self) -> Configuration | None:
        try:
            return self._source.current()
        except Unconfigured:
            return None

    def _asked(self) -> int | None:
        try:
            return self._newest()
        except Retryable as error:
            log.warning("the configuration's log can't be read", error=str(error))
            return None

    def _tell(self, waiting: str) -> None:
        if waiting and not self.waiting:
            log.error("waiting for the configuration", dataset=self._dataset, why=waiting)
        self.waiting = waiting
