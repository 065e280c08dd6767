"""PromQL over the declared metrics.

Q1  An expression names declared metrics with their declared labels; only counters and histograms have a rate.
Q2  A selector is narrowed by ``$job``, and by each variable of a dashboard that is a label of its metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from logflume.metrics import DECLARED, Kind, Metric

CHOSEN: Final = ("dataset", "group", "topic", "tenant")
"""Labels by which whoever looks at a dashboard may choose, in the order of their variables."""
SCRAPED: Final = ("job", "instance")
"""Labels that Prometheus gives to whatever it scrapes."""
PACE: Final = "$__rate_interval"
_DECLARED: Final = {metric.name: metric for metric in DECLARED}
TELLERS: Final = {
    "edge": "logflume_pressure_level_info",
    "lag": "logflume_lag_end_records",
    "sort": "logflume_sort_unit_seconds_count",
    "sink": "logflume_sink_parked_pairs",
    "explore": "logflume_explore_requests_total",
    "care": "logflume_care_looks_total",
    "pressure": "logflume_pressure_level_info",
}
"""A series that only processes of a stage have."""
_WATCHED: Final = ("lag", "worker", "status", "pressure", "tenant")
"""What the watch tells of all others."""
_OF_JOB: Final = 'job=~"$job"'
_OPERATORS: Final = ("=~", "!~", "!=")


@dataclass(frozen=True)
class Expression:
    """PromQL, what its value is counted in (``rows``, ``rows/s``), and the metrics that it is about."""

    text: str
    unit: str
    metrics: tuple[Metric, ...]

    @property
    def metric(self) -> Metric:
        """What it is about first."""
        return self.metrics[0]

    def __truediv__(self, other: Expression) -> Expression:
        metrics = self.metrics + other.metrics
        unit = f"{self.unit.removesuffix('/s')} by {other.unit.removesuffix('/s')}"
        return Expression(f"{self.text} / {other.text}", unit, metrics)

    def __sub__(self, other: Expression) -> Expression:
        return replace(self, text=f"{self.text} - {other.text}")


def summed(name: str, *by: str, **match: str) -> Expression:
    """The sum now, what two watches tell counted once; of a counter, since its workers began.

    So it shows also what was counted before it was first scraped.
    """
    return _over("sum", by, _selected(name, "", by, match), name)


def highest(name: str, *by: str, **match: str) -> Expression:
    """The greatest of all now."""
    return _over("max", by, _selected(name, "", by, match), name)


def lowest(name: str, *by: str, **match: str) -> Expression:
    """The least of all now."""
    return _over("min", by, _selected(name, "", by, match), name)


def each(name: str) -> Expression:
    """The gauge, or the rate of the counter, of each process of its stage, by ``instance``."""
    text = _selected(name, "", (), {})
    if counts := _metric(name, (), {}).kind is Kind.COUNTER:
        text = f"rate({text}[{PACE}])"
    found = Expression(f"max by (instance) ({text}{_of_stage(name)})", *_about(name))
    return replace(found, unit=f"{found.unit}/s") if counts else found


def or_zero(expression: Expression) -> Expression:
    """0 where it has no series though whoever would tell them is there; no series when nobody is."""
    stage = _stage(expression.metric.name)
    teller = "logflume_status_messages_total"
    if stage in _WATCHED:
        teller = "logflume_lag_end_records"
    elif stage == "sink" and expression.metric.kind is Kind.GAUGE:
        teller = TELLERS[stage]
    return _but(expression, f" or 0 * sum({teller}{{{_OF_JOB}}})")


def most(count: int, expression: Expression) -> Expression:
    """The greatest so many of its series."""
    return replace(expression, text=f"topk({count}, {expression.text})")


def rate(name: str, *by: str, **match: str) -> Expression:
    """What a counter counts in a second."""
    _must_count(name)
    found = _over("sum", by, f"rate({_selected(name, '', by, match)}[{PACE}])", name)
    return replace(found, unit=f"{found.unit}/s")


def slope(name: str, *by: str, **match: str) -> Expression:
    """How much a gauge that only grows, an offset say, grows in a second."""
    metric = _metric(name, by, match)
    if metric.kind is not Kind.GAUGE:
        raise ValueError(f"{name} is a {metric.kind}: take its rate")
    found = _over("sum", by, f"deriv({_selected(name, '', by, match)}[{PACE}])", name)
    return replace(found, unit=f"{found.unit}/s")


def quantile(part: float, name: str, *by: str, **match: str) -> Expression:
    """Below which a part of a histogram's observations of late were."""
    _must_be_histogram(name)
    inner = f"sum by ({', '.join(('le', *by))}) (rate({_selected(name, '_bucket', by, match)}[{PACE}]))"
    return Expression(f"histogram_quantile({part}, {inner})", *_about(name))


def observed(name: str, *by: str, **match: str) -> Expression:
    """How many observations a histogram gets in a second."""
    _must_be_histogram(name)
    found = _over("sum", by, f"rate({_selected(name, '_count', by, match)}[{PACE}])", name)
    return replace(found, unit="times/s")


def together(names: Sequence[str], of: str = "sum") -> Expression:
    """The sum, or ``max``, over several metrics, those that have no series yet left out."""
    for name in names:
        _metric(name, (), {})
    either = "|".join(names)
    return Expression(f'{of}({{__name__=~"{either}", {_OF_JOB}}})', *_about(*names))


def kinds(name: str, label: str) -> Expression:
    """How many values of a label there are."""
    inner = _over("count", (label,), _selected(name, "", (label,), {}), name)
    return replace(inner, text=f"count({inner.text})", unit="")


def where(expression: Expression, condition: Expression, least: float, *on: str) -> Expression:
    """The series for which another expression, matched by labels, is above a number."""
    return _but(expression, f" and on ({', '.join(on)}) {condition.text} > {least:g}")


def _but(expression: Expression, text: str) -> Expression:
    return replace(expression, text=expression.text + text)


def _of_stage(name: str) -> str:
    """What leaves out processes of other stages: they show a plain gauge of this one at 0."""
    stage = _stage(name)
    if stage not in TELLERS:
        return ""
    kept = f" and on (instance) {TELLERS[stage]}{{{_OF_JOB}}}"
    if stage != "lag" and TELLERS[stage] == TELLERS["pressure"]:
        kept += f" unless on (instance) {TELLERS['lag']}{{{_OF_JOB}}}"  # the watch publishes the level, and is no edge
    return kept


def _of_others(name: str) -> bool:
    """Whether a watch tells it of others: two of them tell the same."""
    return _stage(name) in ("lag", "worker", "tenant") or name == "logflume_status_workers"


def _stage(name: str) -> str:
    return name.split("_")[1]


def _over(aggregation: str, by: Sequence[str], text: str, name: str) -> Expression:
    labels = f" by ({', '.join(by)}) " if by else ""
    metric = _DECLARED[name]
    if metric.kind is Kind.GAUGE and not metric.labels and not by:
        text += _of_stage(name)
    if aggregation == "sum" and _of_others(name):
        text = f"max without (instance) ({text})"
    return Expression(f"{aggregation}{labels}({text})", *_about(name))


def _about(*names: str) -> tuple[str, tuple[Metric, ...]]:
    return _DECLARED[names[0]].unit, tuple(_DECLARED[name] for name in names)


def _selected(name: str, suffix: str, by: Sequence[str], match: dict[str, str]) -> str:
    metric = _metric(name, by, match)
    chosen = [f'{label}=~"${label}"' for label in CHOSEN if label in metric.labels and label not in match]
    given = [_matched(label, value) for label, value in match.items()]
    within = ", ".join([_OF_JOB, *chosen, *given])
    return f"{name}{suffix}{{{within}}}"


def _matched(label: str, value: str) -> str:
    operator = value[:2] if value.startswith(_OPERATORS) else "="
    return f'{label}{operator}"{value.removeprefix(operator)}"'


def _metric(name: str, by: Sequence[str], match: dict[str, str]) -> Metric:
    metric = _DECLARED.get(name)
    if metric is None:
        raise ValueError(f"{name} is not declared in logflume.metrics")
    if unknown := [label for label in (*by, *match) if label not in (*metric.labels, *SCRAPED)]:
        raise ValueError(f"{name} has no label {unknown[0]}; it has {', '.join(metric.labels) or 'none'}")
    return metric


def _must_count(name: str) -> None:
    metric = _metric(name, (), {})
    if metric.kind is not Kind.COUNTER:
        raise ValueError(f"{name} is a {metric.kind}: only a counter has a rate")


def _must_be_histogram(name: str) -> None:
    metric = _metric(name, (), {})
    if metric.kind is not Kind.HISTOGRAM:
        raise ValueError(f"{name} is a {metric.kind}, no histogram")
