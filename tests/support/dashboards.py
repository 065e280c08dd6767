"""Grafana's dashboards as their files have them: panels, and what Prometheus is asked for each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from deploy.grafana import files

_VARIABLE = re.compile(r"\$([a-z_]+)")


@dataclass(frozen=True)
class Asked:
    """One expression of a panel."""

    dashboard: str
    panel: str
    legend: str
    text: str

    def told(self, interval: str = "1m") -> str:
        """What Grafana asks Prometheus when all values of all variables are chosen."""
        text = self.text.replace("$__rate_interval", interval)
        return _VARIABLE.sub(".*", text)

    def variables(self) -> set[str]:
        """Which variables it uses, but Grafana's own."""
        return {name for name in _VARIABLE.findall(self.text) if not name.startswith("__")}

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.legend}"


def dashboards() -> dict[str, dict[str, Any]]:
    """Each file's content, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(files.FOLDER.glob("*.json"))}


def panels() -> list[tuple[str, dict[str, Any]]]:
    """Each dashboard's name, and each of its panels but headlines."""
    return [(name, each) for name, board in dashboards().items() for each in board["panels"] if each["type"] != "row"]


def asked() -> list[Asked]:
    """All expressions."""
    return [
        Asked(name, panel["title"], target["legendFormat"], target["expr"])
        for name, panel in panels()
        for target in panel["targets"]
    ]
