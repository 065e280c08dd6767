"""Which runbooks belong to a panel: those of the alerts that look at its metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from deploy.grafana.panel import Panel
from logflume.watch.alerts.alert import Alert
from logflume.watch.alerts.catalogue import ALERTS, SERIES

_RECORDED: Final = re.compile(r"\w+:logflume_\w+:\w+")
_NAME: Final = re.compile(r"(?<![:\w])logflume_\w+")
_SHARE_OF: Final = re.compile(r" / .*?(?= and | or |$)")
_PART: Final = re.compile(r"_(bucket|count|sum)$")
_SERIES: Final = {record.name: record.expression for record in SERIES}


def of(panel: Panel) -> list[Alert]:
    """The alerts on its metrics, the most important metric's first."""
    found = [alert for metric in panel.metrics for alert in ALERTS if metric.name in looked_at(alert)]
    return list(dict.fromkeys(found))


def looked_at(alert: Alert) -> set[str]:
    """The metrics that an alert is about; not those of which it takes a share."""
    return {_PART.sub("", name) for text in _texts(alert) for name in _NAME.findall(_SHARE_OF.sub("", text))}


def _texts(alert: Alert) -> Iterator[str]:
    yield _RECORDED.sub("", alert.expression)
    yield from (_SERIES[name] for name in _RECORDED.findall(alert.expression))
