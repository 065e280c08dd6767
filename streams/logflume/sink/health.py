"""What a sink worker says of itself on ``/live`` and ``/ready``; written by its thread, read by the HTTP server's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from logflume.clock import Clock

LIVE_SECONDS = 240.0
"""The poll loop may block for two minutes to open partitions, and for a transaction; Kafka expels it at 300 s."""

NOT_JOINED = "it has not joined its group yet"
UNCONFIGURED = (
    "there is no configuration yet: it waits for one before it joins its group. Is Kafka up, and was "
    "`logflume config apply` run? The log line config.none-yet says what lacks"
)


class Health:
    """The last word of the worker's loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.monotonic()
        self._troubles: Sequence[str] = (NOT_JOINED,)
        self.stopped: Sequence[str] = ()
        """The partitions that it reads no more, ``topic[number]``."""

    def tick(self, troubles: Sequence[str], stopped: Iterable[tuple[str, int]] = ()) -> None:
        """Say that the loop runs, what is wrong with the work (nothing: ready), and which partitions are stopped."""
        self._seen = self._clock.monotonic()
        self._troubles = tuple(troubles)
        self.stopped = tuple(f"{topic}[{number}]" for topic, number in stopped)

    def live(self) -> str | None:
        """Return why the process should be restarted, or None."""
        silent = self._clock.monotonic() - self._seen
        return f"the poll loop has not turned for {silent:.0f} s" if silent > LIVE_SECONDS else None

    def ready(self) -> str | None:
        """Return everything that an operator should look at, a line each, or None."""
        return self.live() or "\n".join(self._troubles) or None
