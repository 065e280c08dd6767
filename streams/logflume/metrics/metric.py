"""How a metric is declared: once, with what it counts and what to do when it is off."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

STAGES = (
    "edge",
    "sort",
    "sink",
    "job",
    "table",
    "store",
    "tenant",
    "lag",
    "worker",
    "config",
    "status",
    "pressure",
    "explore",
    "care",
)
UNITS = (
    "rows",
    "records",
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
    "groups",
    "topics",
    "offsets",
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


class Gauges(Collector):
    """Gauges of many series, or of series that come and go: all of them are replaced at once. Safe for threads."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...]) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._samples: tuple[tuple[Sequence[str], float], ...] = ()
        REGISTRY.register(self)

    def show(self, samples: Iterable[tuple[Sequence[str], float]]) -> None:
        """Have exactly these series from now on: the values of the labels, and the gauge's."""
        self._samples = tuple(samples)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What a scrape shows."""
        [family] = self.describe()
        for labels, value in self._samples:
            family.add_metric(labels, value)
        yield family

    def describe(self) -> list[GaugeMetricFamily]:
        """The name, for the registry."""
        return [GaugeMetricFamily(self._name, self._meaning, labels=self._labels)]


class RowHistogram(Collector):
    """A histogram to which the rows of a commit are added at once. Safe for threads."""

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: tuple[str, ...],
        bounds: tuple[float, ...],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self.bounds = bounds
        """The upper bounds of all buckets but the last, which has none."""
        self._lock = threading.Lock()
        self._found: dict[tuple[str, ...], tuple[list[int], float]] = {}
        registry.register(self)

    def add(self, labels: tuple[str, ...], counts: Sequence[int], total: float) -> None:
        """Add so many observations to each bucket, ``total`` in sum."""
        with self._lock:
            before, sum_before = self._found.get(labels, ([0] * len(counts), 0.0))
            self._found[labels] = [a + b for a, b in zip(before, counts, strict=True)], sum_before + total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What a scrape shows."""
        [family] = self.describe()
        with self._lock:
            found = dict(self._found)
        for labels, (counts, total) in found.items():
            names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
        yield family

    def describe(self) -> list[HistogramMetricFamily]:
        """The name, for the registry."""
        return [HistogramMetricFamily(self._name, self._meaning, labels=self._labels)]


def counter(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Counter:
    """Declare a counter."""
    DECLARED.append(Metric(name, Kind.COUNTER, unit, labels, meaning, remedy))
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Gauge:
    """Declare a gauge."""
    DECLARED.append(Metric(name, Kind.GAUGE, unit, labels, meaning, remedy))
    return Gauge(name, meaning, labels, registry=REGISTRY)


def gauges(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Gauges:
    """Declare gauges that are replaced as a whole."""
    DECLARED.append(Metric(name, Kind.GAUGE, unit, labels, meaning, remedy))
    return Gauges(name, meaning, labels)


def histogram(name: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Histogram:
    """Declare a histogram; it counts seconds."""
    DECLARED.append(Metric(name, Kind.HISTOGRAM, "seconds", labels, meaning, remedy))
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=_SECONDS)


def row_histogram(
    name: str, labels: tuple[str, ...], bounds: tuple[float, ...], meaning: str, remedy: str
) -> RowHistogram:
    """Declare a histogram of rows; it counts seconds."""
    DECLARED.append(Metric(name, Kind.HISTOGRAM, "seconds", labels, meaning, remedy))
    return RowHistogram(name, meaning, labels, bounds)


def total(metric: Counter | Gauge) -> float:
    """Return the sum of a metric's values over its labels, for who tells it elsewhere."""
    return sum(values(metric))


def values(metric: Counter | Gauge) -> list[float]:
    """Return a metric's values over its labels."""
    return [value for _, value in _samples(metric)]


def sums(metric: Counter | Gauge, label: str) -> dict[str, float]:
    """Return the sum of a metric's values for each value of one of its labels."""
    found: dict[str, float] = {}
    for labels, value in _samples(metric):
        found[labels[label]] = found.get(labels[label], 0.0) + value
    return found


def _samples(metric: Counter | Gauge) -> Iterator[tuple[dict[str, str], float]]:
    for family in metric.collect():
        yield from ((each.labels, each.value) for each in family.samples if not each.name.endswith("_created"))
