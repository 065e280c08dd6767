"""From which values on something is bad: as alerts, settings and the contract have it."""

from __future__ import annotations

import re
from typing import Final

from deploy.grafana.panel import Marks
from logflume.care.timekeeper import MOST_SECONDS
from logflume.settings import Settings
from logflume.watch.alerts.catalogue import ALERTS


def _default(setting: str) -> float:
    return float(Settings.model_fields[setting].default)


def _alerted(name: str) -> float:
    """The threshold of an alert."""
    [alert] = [each for each in ALERTS if each.name == name]
    found = re.search(r"\{([0-9]+)\}", alert.expression)
    assert found, name
    return float(found[1])


LATE: Final = Marks(_alerted("LagGrows"), _default("pressure_slow_on") * _default("pressure_lag_seconds"))
"""Lag in seconds; at the second edges slow down."""

FRESH: Final = Marks(orange=60, red=_alerted("LagGrows"))
"""From arrival until it can be found. The alert SearchableLate counts rows beyond a minute."""

PRESSURE: Final = Marks(_default("pressure_slow_on"), _default("pressure_stop_on"))

SPOOL: Final = Marks(orange=0.5, red=_default("edge_spool_full"))
"""At the second HTTP answers 503."""

STUCK: Final = Marks(_default("stall_seconds") / 2, _default("stall_seconds"))
"""Seconds without a commit; at the second ``/ready`` fails."""

CONFIGURATION: Final = Marks(red=60)
"""Seconds since a worker knew its configuration to be the newest: it follows within five."""

SILENT: Final = Marks(orange=3 * _default("status_seconds"), red=60)
"""Seconds since a worker said anything; from the first it is stale."""

LEFT: Final = Marks(orange=2 * _alerted("ParkedRunsOut"), red=_alerted("ParkedRunsOut"), falling=True)
"""Seconds until retention deletes what is parked."""

CARE: Final = Marks(_alerted("CareLate"))

CLOCK: Final = Marks(orange=MOST_SECONDS / 2, red=MOST_SECONDS)
"""Seconds between a carer's clock and the store's: beyond them it changes nothing."""

LOOK: Final = Marks(_default("watch_seconds"))
