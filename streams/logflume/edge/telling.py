"""What an edge tells of itself: the topic ``status``, and traces; and the pressure that it hears of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from logflume import metrics, traces
from logflume.clock import Clock
from logflume.edge.restraint import Restraint
from logflume.edge.spool import Spool
from logflume.kafka.status import Condition, Follower, InForce, Pressure, Reporter
from logflume.settings import Settings


class Telling(Protocol):
    """What is used of ``edge.Client``."""

    @property
    def fill(self) -> float:
        """Memory in use, as a share."""
        ...

    @property
    def spool(self) -> Spool | None:
        """Where blocks wait while Kafka is away."""
        ...

    @property
    def trouble(self) -> str:
        """What Kafka last complained of."""
        ...

    @property
    def restraint(self) -> Restraint:
        """What pressure asks of it."""
        ...


class Signals:
    """A client's: it follows the pressure, and tells its status if nobody else in its process does."""

    def __init__(
        self, settings: Settings, client: Telling, clock: Clock, press: Callable[[Pressure], None], *, tells: bool
    ) -> None:
        """Start; ``press`` hears every change of the pressure, from a thread."""
        traces.setup(settings, "edge")
        self._make_follower = partial(Follower, settings, clock, press)
        self._make_reporter = partial(reporter, settings, client, clock) if tells and settings.worker_id else None
        self._begin()

    def renew(self) -> None:
        """Begin anew, with clients that read certificates and passwords again."""
        self.close()
        self._begin()

    def _begin(self) -> None:
        self._follower = self._make_follower().start()
        self._reporter = self._make_reporter().start() if self._make_reporter else None

    def close(self) -> None:
        """End both."""
        self._follower.close()
        if self._reporter is not None:
            self._reporter.close()


def reporter(
    settings: Settings,
    client: Telling,
    clock: Clock,
    configured: Callable[[], InForce] = InForce,
    ready: Callable[[], str | None] = lambda: None,
) -> Reporter:
    """Return what tells the status of this edge; ``configured`` says which configuration is in force."""
    return Reporter(settings, "edge", lambda: condition(settings, client, configured(), ready()), clock=clock)


def condition(settings: Settings, client: Telling, configured: InForce, not_ready: str | None) -> Condition:
    """Return how this edge is."""
    spool = client.spool
    troubles = (not_ready, client.trouble, client.restraint.pressure.because)
    return Condition(
        in_force=configured,
        lag_seconds=None if spool is None else spool.oldest_seconds,
        held_bytes=round(client.fill * settings.edge_memory_bytes),
        budget_bytes=settings.edge_memory_bytes,
        spool_share=None if spool is None else spool.share,
        spool_seconds=None if spool is None else spool.oldest_seconds,
        queue_share=client.fill,
        rows=round(metrics.total(metrics.EDGE_ROWS)),
        dead_letters=tuple(
            (reason, round(rows)) for reason, rows in metrics.sums(metrics.EDGE_BAD_ROWS, "reason").items()
        ),
        troubles=tuple(text for text in dict.fromkeys(troubles) if text),
    )
