"""By which configuration the worker judges rows, and for how long a block of a newer one waits.

G1  A block is judged by one whole generation: a newer one is taken up between two blocks.
G2  A block that has rows which an edge took by a newer generation is not judged before this worker has that one; but
    when it has not come within ``wait_seconds``, reading goes on as it is: rows that nobody here knows become dead
    letters, so nothing is lost.
"""

from __future__ import annotations

import structlog

from logflume import metrics
from logflume.config import Source
from logflume.errors import Unconfigured
from logflume.model.tenant import Configuration

_TELL_SECONDS = 5.0  # publishing reaches everyone within so long; what lasts longer is trouble

_log = structlog.get_logger(__name__)


class Generations:
    """The configuration in force here. Used by the worker's thread alone."""

    def __init__(self, source: Source, wait_seconds: float) -> None:
        self._source = source
        self._wait_seconds = wait_seconds
        self._current: Configuration | None = None
        self._met: dict[int, float] = {}  # newer generations, and when a block of each was met first
        self._overdue = 0

    @property
    def current(self) -> Configuration:
        """The generation that was taken up last. Raises ``Unconfigured`` when there is none at all yet."""
        if self._current is None:
            self._current = self._source.current()
        return self._current

    @property
    def there(self) -> bool:
        """Whether there is a configuration."""
        try:
            return self.current is not None
        except Unconfigured:
            return False

    def take_up(self) -> bool:
        """Take up what the source has now; returns whether it is another than before (G1)."""
        before, self._current = self.current, self._source.current()
        if self._current is before:
            return False
        self._met = {generation: at for generation, at in self._met.items() if generation > self._current.generation}
        _log.info("sink.configuration", generation=self._current.generation, before=before.generation)
        return True

    def waits(self, generation: int, now: float) -> bool:
        """Whether a block of ``generation`` has to wait (G2)."""
        if generation <= max(self.current.generation, self._overdue):
            return False
        if now - self._met.setdefault(generation, now) < self._wait_seconds:
            return True
        self._overdue = generation
        metrics.SINK_OVERTAKEN.inc()
        _log.error(
            "sink.configuration-overdue",
            generation=generation,
            mine=self.current.generation,
            seconds=round(now - self._met[generation]),
            detail="blocks are judged by the older one; rows that it does not know become dead letters",
        )
        return False

    def troubles(self, now: float) -> list[str]:
        """Say what an operator should look at."""
        late = [generation for generation, at in self._met.items() if now - at >= _TELL_SECONDS]
        mine = self.current.generation
        return [f"edges use configuration {max(late)}, this worker has {mine} still"] if late else []
