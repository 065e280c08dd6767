"""How an alert is declared: once, so that rules, runbooks and tests can't tell different things."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

_WINDOW: Final = re.compile(r"(\[|offset )([0-9]+)(s|m|h)(\]|\b)")
_THRESHOLD: Final = re.compile(r"\{([0-9]+)\}")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LEAST_SECONDS: Final = 3
"""Of a window: two scrapes, a second apart, must lie in it."""
RUNBOOKS: Final = "docs/runbooks"


class Severity(StrEnum):
    """Whom an alert wakes."""

    PAGE = "page"
    """Somebody, now: rows wait that are not safe, people can't send or search, or soon can't."""
    TICKET = "ticket"
    """Nobody; somebody looks at it on the next day."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. ``expression``: PromQL, in which ``{600}`` is a threshold of 600 seconds. Thresholds, windows, such as
    ``[5m]``, and ``seconds`` are made shorter for tests.

    ``seconds``: for how long it must be true. ``summary``: one line, with Prometheus's templates. ``cause``: a
    drill, or a fault, that makes it fire; the test that does so on a running stack (``tests/alerts``) names it, too.
    """

    name: str
    severity: Severity
    expression: str
    seconds: int
    summary: str
    cause: str

    @property
    def slug(self) -> str:
        """The name of its runbook: ``LagGrows`` has ``lag-grows.md``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.name).lower()


@dataclass(frozen=True, slots=True)
class Record:
    """A series that is computed once, for alerts and dashboards. ``name``: ``level:metric:operation``."""

    name: str
    expression: str


def rules(records: Sequence[Record], alerts: Sequence[Alert], *, windows: float = 1.0, runbooks: str = RUNBOOKS) -> str:
    """Return a file of rules for Prometheus (YAML).

    ``windows``: by what durations are multiplied. ``runbooks``: the address below which the runbooks are.
    """
    interval: Mapping[str, Any] = {"interval": "1s"} if windows < 1 else {}
    groups = [
        {
            "name": "logflume-series",
            **interval,
            "rules": [{"record": each.name, "expr": _shorter(each.expression, windows)} for each in records],
        },
        {
            "name": "logflume-alerts",
            **interval,
            "rules": [
                {
                    "alert": f"Logflume{each.name}",
                    "expr": _shorter(each.expression, windows),
                    "for": f"{max(round(each.seconds * windows), 0)}s",
                    "labels": {"severity": str(each.severity)},
                    "annotations": {"summary": each.summary, "runbook_url": f"{runbooks}/{each.slug}.md"},
                }
                for each in alerts
            ],
        },
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000, allow_unicode=True)


def _shorter(expression: str, windows: float) -> str:
    expression = _THRESHOLD.sub(lambda match: f"{int(match[1]) * windows:g}", expression)
    if windows == 1:
        return expression

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * _SECONDS[match[3]] * windows
        return f"{match[1]}{max(round(seconds), _LEAST_SECONDS)}s{match[4]}"

    return _WINDOW.sub(shorter, expression)
