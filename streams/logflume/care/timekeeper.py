"""Whether this machine's time may decide what is removed: it must agree with the store's.

Retention and vacuum go by time. A clock that is years ahead would have every row expire, and take files that queries
read and sinks are about to commit; one that is behind would tell others that what it removes was removed long ago.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import Refused

MOST_SECONDS: Final = 300.0
"""By which both may differ: far more than well-kept clocks do, far less than anything is kept for."""
_AGAIN_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Timekeeper:
    """Compares ``clock`` with what ``told`` says (seconds since 1970), once a minute, and when ``clock`` jumps.

    One thread's.
    """

    def __init__(self, clock: Clock, told: Callable[[], float]) -> None:
        self._clock = clock
        self._told = told
        self._other: tuple[float, float] | None = None
        """What the other said, and our monotonic time then."""

    def agree(self) -> None:
        """Raise ``Refused`` unless both clocks tell the same time; ``Retryable`` when the other can't be asked."""
        if self._other is None or self._clock.monotonic() - self._other[1] > _AGAIN_SECONDS or not self._near():
            self._other = self._told(), self._clock.monotonic()
            metrics.CARE_CLOCK.set(self._ahead())
        if self._near():
            return
        ahead = self._ahead()
        by = timedelta(seconds=round(abs(ahead)))
        error = (
            f"this machine's clock is {by} {'ahead of' if ahead > 0 else 'behind'} the store's: nothing is merged or "
            f"removed until they agree within {MOST_SECONDS:.0f} s; set the one that is wrong"
        )
        _log.error("care.clock-differs", seconds=round(ahead), error=error)
        raise Refused(error)

    def _near(self) -> bool:
        return abs(self._ahead()) <= MOST_SECONDS

    def _ahead(self) -> float:
        said, then = self._other or (0.0, 0.0)
        return self._clock.now_ns() / 1e9 - (said + self._clock.monotonic() - then)
