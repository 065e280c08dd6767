"""From which values on something is bad, told by the settings and the contract that decide it."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panel import Marks
from logflume.care.timekeeper import MOST_SECONDS
from logflume.settings import Settings


def _default(setting: str) -> float:
    return float(Settings.model_fields[setting].default)


LATE: Final = Marks(
    orange=_default("pressure_slow_on") * _default("pressure_lag_seconds"), red=_default("pressure_lag_seconds")
)
"""Lag in seconds: edges slow down, then stop."""

PRESSURE: Final = Marks(orange=_default("pressure_slow_on"), red=_default("pressure_stop_on"))

FRESH: Final = Marks(orange=10 * _default("sink_flush_age_seconds"), red=60 * _default("sink_flush_age_seconds"))
"""From arrival until it can be found: rows wait for some ``sink_flush_age_seconds`` by design."""

SPOOL: Final = Marks(orange=0.5, red=_default("edge_spool_full"))
"""At the second HTTP answers 503."""

CONFIGURATION: Final = Marks(red=60)
"""Seconds since a worker knew its configuration to be the newest: it follows within five."""

CLOCK: Final = Marks(orange=MOST_SECONDS / 10, red=MOST_SECONDS)
"""Seconds between a carer's clock and the store's: beyond them it changes nothing."""

STUCK: Final = Marks(orange=_default("stall_seconds") / 2, red=_default("stall_seconds"))

LOOK: Final = Marks(orange=_default("watch_seconds"))

LEFT: Final = Marks(orange=18 * 3600, red=6 * 3600, falling=True)
"""Time that is left of the sorted topic's 72 hours: a quarter of them, and a night's sleep."""
