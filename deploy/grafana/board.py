"""What a dashboard is: rows of panels, laid out from left to right, and the variables that their expressions use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.grafana.panel import Panel
from deploy.grafana.promql import CHOSEN

COLUMNS: Final = 24
_VARIABLE: Final = re.compile(r"\$([a-z]+)")

WHENCE: Final = {
    "job": "label_values(logflume_status_messages_total, job)",
    "dataset": 'label_values({__name__=~"logflume_(edge|sort|sink)_rows_total", job=~"$job"}, dataset)',
    "group": 'label_values(logflume_lag_end_records{job=~"$job"}, group)',
    "topic": 'label_values(logflume_lag_end_records{job=~"$job", group=~"$group"}, topic)',
    "tenant": 'label_values(logflume_tenant_lag_seconds{job=~"$job"}, tenant)',
}
"""Where the values of each variable come from."""


@dataclass(frozen=True)
class Place:
    """Where a panel stands: left column and line, in Grafana's grid."""

    left: int
    top: int


@dataclass(frozen=True)
class Row:
    """A headline and the panels below it."""

    title: str
    panels: tuple[Panel, ...]

    def places(self, top: int) -> Iterator[tuple[Panel, Place]]:
        """Each panel's place, when the first line below the headline is ``top``."""
        left = lowest = 0
        for panel in self.panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + lowest
                lowest = 0
            yield panel, Place(left, top)
            left, lowest = left + panel.width, max(lowest, panel.height)


@dataclass(frozen=True)
class Board:
    """One dashboard; its file and its ``uid`` are named by its ``name``."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> list[Panel]:
        """All panels, from the top."""
        return [panel for row in self.rows for panel in row.panels]

    @property
    def variables(self) -> list[str]:
        """The variables that its expressions use, ``job`` first."""
        used = {name for p in self.panels for q in p.queries for name in _VARIABLE.findall(q.expression.text)}
        if "topic" in used:
            used.add("group")  # topics are offered by group
        return [name for name in ("job", *CHOSEN) if name in used]
