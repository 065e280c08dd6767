"""Settings of the rules that Prometheus is given."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from logflume.settings.stage import Stage

DOCS: Final = "https://github.com/logflume/logflume/blob/main/docs"
"""Where alerts and dashboards lead who has no copy of the documentation."""


class Alerting(Stage, title="Alerts"):
    """How `logflume alerts rules` writes the rules for Prometheus."""

    alert_windows: float = Field(
        1.0,
        gt=0,
        le=1,
        description="By what durations in alerts are multiplied. Below 1 for trials: what takes ten minutes fires "
        "after twelve seconds at 0.02, and the rules are looked at each second. A row is late after ten seconds at the "
        "least, as it takes some on a good day.",
    )
    alert_runbooks: str = Field(
        f"{DOCS}/runbooks",
        description="Address below which the runbooks are that alerts link to: where you keep that folder for people.",
    )
