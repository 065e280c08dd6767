"""Every metric that Logflume's workers export, declared once: what it counts, and what to do when it is off.

Names are ``logflume_<stage>_<what>_<unit>``, counters end in ``_total``. docs/metrics.md is generated from here.
"""

# ruff: noqa: F403
from logflume.metrics.care import *
from logflume.metrics.config import *
from logflume.metrics.edge import *
from logflume.metrics.explore import *
from logflume.metrics.lag import *
from logflume.metrics.metric import (
    DECLARED,
    REGISTRY,
    STAGES,
    UNITS,
    Gauges,
    Kind,
    Metric,
    RowHistogram,
    sums,
    total,
    values,
)
from logflume.metrics.page import page
from logflume.metrics.sink import *
from logflume.metrics.sort import *
from logflume.metrics.table import *
from logflume.metrics.tenant import *
from logflume.metrics.watch import *

__all__ = [
    "DECLARED",
    "REGISTRY",
    "STAGES",
    "UNITS",
    "Gauges",
    "Kind",
    "Metric",
    "RowHistogram",
    "page",
    "sums",
    "total",
    "values",
]
