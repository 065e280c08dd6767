"""How a metric is declared: once, with what it counts and what to do when it is off."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

STAGES = ("edge", "sort", "sink", "job", "table", "config", "status", "pressure", "explore", "care")
UNITS = (
    "rows",
    "bytes",
    "seconds",
    "blocks",
    "messages",
    "requests",
    "connections",
    "followers",
    "commits",
    "files",
    "objects",
    "errors",
    "partitions",
    "pairs",
    "generation",
    "generations",
    "workers",
    "queries",
    "tables",
    "looks",
    "markers",
    "ratio",
    "info",
)


class Kind(StrEnum):
    """What a metric does over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's declaration. ``remedy`` says what to look at, or do, when it is not as it should be."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    remedy: str


REGISTRY = CollectorRegistry()
"""Holds Logflume's metrics and the process's own; the application that embeds ``edge.Client`` keeps its default one."""

DECLARED: list[Metric] = []

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def counter(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Counter:
    """Declare a counter."""
    DECLARED.append(Metric(name, Kind.COUNTER, unit, labels, meaning, remedy))
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Gauge:
    """Declare a gauge."""
    DECLARED.append(Metric(name, Kind.GAUGE, unit, labels, meaning, remedy))
    return Gauge(name, meaning, labels, registry=REGISTRY)


def histogram(name: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Histogram:
    """Declare a histogram; it counts seconds."""
    DECLARED.append(Metric(name, Kind.HISTOGRAM, "seconds", labels, meaning, remedy))
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=_SECONDS)


def total(metric: Counter | Gauge) -> float:
    """Return the sum of a metric's values over its labels, for who tells it elsewhere."""
    samples = (sample for family in metric.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))
