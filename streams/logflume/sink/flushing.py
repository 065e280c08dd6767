"""When rows are sent on their way to rest, and what follows when they are there, or are not."""

from __future__ import annotations

import random

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import Fatal, LogflumeError, Retryable
from logflume.kafka.identity import TopicChanged
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.flushes import Flush, FlushPool, Landing
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.destinations import Destinations, destination
from logflume.sink.pausing import again_after
from logflume.sink.schedule import Schedule, largest
from logflume.sink.tenants import Tenants

_HURRY_SECONDS = 0.1  # it looks at every pair
_PRESSING = 0.5  # above this part of the budget the largest are flushed, so that reading need not stop at 1.0

_log = structlog.get_logger(__name__)


class Flushing:
    """Hands flights to the pool and hears how they ended. Used by the worker's thread alone."""

    def __init__(
        self,
        settings: Settings,
        pool: FlushPool,
        schedule: Schedule,
        budget: Budget,
        assigned: Assigned,
        destinations: Destinations,
        caps: Caps,
        clock: Clock,
        seed: int,
    ) -> None:
        self._behind_bytes = settings.sink_behind_bytes
        self._pool = pool
        self._schedule = schedule
        self._budget = budget
        self._assigned = assigned
        self._destinations = destinations
        self._caps = caps
        self._clock = clock
        self._random = random.Random(seed)
        self._next_hurry = 0.0
        self.tenants = Tenants(clock)
        """What is known of single tenants."""

    def launch(self, now: float, *, draining: bool = False) -> None:
        """Hand out flushes while the pool has use for them."""
        if now >= self._next_hurry:
            self._next_hurry = now + _HURRY_SECONDS
            self._hurry()
            self._press(now)
            self.tenants.look(self._assigned.open.values(), now)
        if draining:
            for partition in self._assigned.open.values():
                for pair in partition.buffers:
                    self._schedule.ripen(partition, pair, "drain")
        for due in self._schedule.due(now, self._pool.room):
            partition, pair = due.partition, due.pair
            flight = pair.flight or partition.take(pair)
            if pair.waiting:  # a cut begins when Kafka has its intent
                self._schedule.ripen(partition, pair, due.cause)
                continue
            pair.flying = True
            self._pool.submit(Flush(partition, pair, flight, due.cause, now))

    def land(self) -> None:
        """Hear of the flushes that have ended. Raises ``Fatal`` when one says so."""
        for landing in self._pool.landings():
            if landing.flush.partition.closed:
                continue
            if landing.error is None:
                self._landed(landing)
            else:
                self._failed(landing.flush, landing.error)

    def _hurry(self) -> None:
        """When too much lies behind the commit, flush who hold it back, partition by partition."""
        if self._assigned.behind_bytes >= self._behind_bytes:
            for partition in self._assigned.open.values():
                for pair in partition.buffers.holders(partition.progress.middle):
                    self._schedule.ripen(partition, pair, "behind")

    def _press(self, now: float) -> None:
        """When memory presses, flush the largest."""
        if (over := self._budget.used - _PRESSING * self._budget.limit_bytes) >= 0:
            for due in largest(self._assigned.open.values(), now, max(1, over)):
                self._schedule.ripen(*due)

    def _landed(self, landing: Landing) -> None:
        flush = landing.flush
        flush.partition.traced.rested(flush.flight, landing.seconds, flush.pair.tenant, flush.pair.outlet.name)
        flush.partition.landed(flush.pair)
        now = self._clock.monotonic()
        self._schedule.landed(flush.partition, flush.pair, now)
        self._caps.seen(flush.partition.where, [flush.pair.outlet], now)
        if self._destinations:
            for refused in (False, True):
                self._destinations.landed(destination(flush.pair.outlet, refused=refused))
        landing.count()
        self.tenants.landed(landing)

    def _failed(self, flush: Flush, error: Exception) -> None:
        metrics.SINK_ERRORS.labels(type(error).__name__).inc()
        if isinstance(error, Fatal):
            raise error
        if isinstance(error, TopicChanged):
            self._assigned.drop_topic(error)
            return
        pair, partition = flush.pair, flush.partition
        pause, now = again_after(error, pair.failures, self._random), self._clock.monotonic()
        refused = not isinstance(error, Retryable)
        partition.failed(pair, now + pause, f"{type(error).__name__}: {error}", now, refused=refused)
        self._schedule.ripen(partition, pair, "age")
        _log.warning(
            "sink.flush-failed",
            tenant=pair.tenant,
            dataset=partition.dataset.name,
            job=pair.outlet.name or None,
            partition=partition.where,
            rows=flush.flight.rows,
            failures=pair.failures,
            again_seconds=round(pause, 1),
            error=pair.trouble,
            exc_info=None if isinstance(error, LogflumeError) else error,
        )
