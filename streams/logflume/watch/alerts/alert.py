"""How an alert is declared: once, so that rules, runbooks and tests can't tell different things."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from logflume import metrics
from logflume.settings.alerting import DOCS

_WINDOW: Final = re.compile(r"(\[|offset )([0-9]+)(s|m|h)(\]|\b)")
_THRESHOLD: Final = re.compile(r"\{([0-9]+)\}")
_BOUND: Final = re.compile(r'(le=")?\{le ([0-9]+)\}')
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LEAST_SECONDS: Final = 3
"""Of a window: two scrapes, a second apart, must lie in it."""
_LEAST_BOUND_SECONDS: Final = 10
"""Of a row's way: it takes seconds on a good day, which no setting makes shorter."""
RUNBOOKS: Final = "docs/runbooks"
"""Where they lie in the repository."""


class Severity(StrEnum):
    """Whom an alert wakes."""

    PAGE = "page"
    """Somebody, now: rows wait that are not safe, people can't send or search, or soon can't."""
    TICKET = "ticket"
    """Nobody; somebody looks at it on the next day."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. ``expression``: PromQL, in which ``{600}`` is a threshold of 600 seconds, and ``{le 60}`` a bucket's
    bound in ``logflume_sink_searchable_seconds``. Both, windows, such as ``[5m]``, and ``seconds`` are made shorter for
    tests; a bound is then the next one that the histogram has.

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


def rules(
    records: Sequence[Record], alerts: Sequence[Alert], *, windows: float = 1.0, runbooks: str = f"{DOCS}/runbooks"
) -> str:
    """Return a file of rules for Prometheus (YAML).

    ``windows``: by what durations are multiplied. ``runbooks``: the address below which the runbooks are.
    """
    interval: Mapping[str, Any] = {"interval": "1s"} if windows < 1 else {}
    groups = [
        {
            "name": "logflume-series",
            **interval,
            "rules": [{"record": each.name, "expr": told(each.expression, windows)} for each in records],
        },
        {
            "name": "logflume-alerts",
            **interval,
            "rules": [
                {
                    "alert": f"Logflume{each.name}",
                    "expr": told(each.expression, windows),
                    "for": f"{max(round(each.seconds * windows), 0)}s",
                    "labels": {"severity": str(each.severity)},
                    "annotations": {
                        "summary": told(each.summary, windows),
                        "runbook_url": f"{runbooks}/{each.slug}.md",
                    },
                }
                for each in alerts
            ],
        },
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000, allow_unicode=True)


def told(text: str, windows: float = 1.0) -> str:
    """Return an expression, or a summary, as Prometheus is told it; ``windows`` is what durations are multiplied by."""
    text = _BOUND.sub(lambda match: _bound(match, windows), text)
    text = _THRESHOLD.sub(lambda match: f"{int(match[1]) * windows:g}", text)
    if windows == 1:
        return text

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * _SECONDS[match[3]] * windows
        return f"{match[1]}{max(round(seconds), _LEAST_SECONDS)}s{match[4]}"

    return _WINDOW.sub(shorter, text)


def _bound(match: re.Match[str], windows: float) -> str:
    """A bound that the histogram has; as a label it is written as Prometheus's clients write it, ``60.0``."""
    seconds = int(match[2])
    least = max(seconds * windows, min(seconds, _LEAST_BOUND_SECONDS))
    bound = min(each for each in metrics.SINK_SEARCHABLE.bounds if each >= least)
    return f"{match[1]}{float(bound)}" if match[1] else f"{bound:g}"
