"""Every metric is declared once, named by the conventions, documented and used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from logflume import metrics
from logflume.metrics import DECLARED, Kind

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
CODE = ROOT / "streams" / "logflume"
COLLECTORS = (Counter, Gauge, Histogram, metrics.Gauges, metrics.RowHistogram)
CONSTANTS = {name: value for name, value in vars(metrics).items() if isinstance(value, COLLECTORS)}
BOUNDED = {"logflume_lag_partition_records", "logflume_lag_partition_seconds"} | {
    f"logflume_tenant_{what}"
    for what in ("lag_seconds", "waiting_rows", "stored_rows", "stored_bytes", "freshness_seconds")
}
"""Of one process, the watch's: by partition, of which there are as many as an operator made; by tenant only some."""


def test_the_docs_page_is_current() -> None:
    assert PAGE.read_text() == metrics.page(), "run `make docs`"


def test_every_metric_stands_in_the_page_once() -> None:
    page = PAGE.read_text()
    assert [metric.name for metric in DECLARED if page.count(f"`{metric.name}`") < 1] == []
    assert page.count("\n| `logflume_") == len(DECLARED)


def test_whatever_names_a_metric_names_one_that_there_is() -> None:
    names = {metric.name for metric in DECLARED}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        named = set(re.findall(r"\blogflume_(?:[a-z]+_)+[a-z]+\b(?!_)", page.read_text()))
        assert named <= names, page.name


def test_names_say_stage_and_unit() -> None:
    for metric in DECLARED:
        words = metric.name.split("_")
        assert words[0] == "logflume"
        assert words[1] in metrics.STAGES, metric.name
        if metric.kind is Kind.COUNTER:
            assert words.pop() == "total", metric.name
        assert words[-1] == metric.unit, metric.name
        assert metric.unit in metrics.UNITS, metric.name


def test_meanings_and_remedies_are_sentences() -> None:
    for metric in DECLARED:
        assert metric.meaning.endswith("."), metric.name
        assert metric.remedy.endswith((".", "?")), metric.name
        assert metric.meaning != metric.remedy


def test_no_label_grows_with_the_number_of_tenants() -> None:
    """Ten thousand tenants times every metric would be more series than rows."""
    grows = {metric.name for metric in DECLARED if {"tenant", "partition", "offset"} & set(metric.labels)}
    assert grows == BOUNDED


def test_each_declared_metric_is_exported_under_its_name() -> None:
    text = generate_latest(metrics.REGISTRY).decode()
    for metric in DECLARED:
        name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
        assert f"# TYPE {metric.name} " in text or f"# TYPE {name} " in text, metric.name
    assert len(CONSTANTS) == len(DECLARED)


def test_each_metric_is_used_and_each_that_is_used_is_declared() -> None:
    used: dict[str, set[str]] = {}
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics":
                used.setdefault(node.attr, set()).add(path.name)
    assert sorted(set(CONSTANTS) - set(used)) == []
    assert {name: files for name, files in used.items() if name.isupper() and name not in CONSTANTS} == {
        "REGISTRY": {"health.py"}
    }


def test_nobody_makes_a_metric_that_is_not_declared() -> None:
    """Only ``metrics/`` knows Prometheus's classes, what answers a scrape, and a server that is handed a gauge."""
    importing = {
        path.relative_to(CODE).as_posix()
        for path in CODE.rglob("*.py")
        if re.search(r"^\s*(from|import) prometheus_client", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {path for path in importing if not path.startswith("metrics/")} == {
        "health.py",
        "web/connection.py",
    }
    families = {family.name for family in metrics.REGISTRY.collect()}
    own = {name for name in families if name.startswith("logflume_")}
    assert own == {metric.name.removesuffix("_total") for metric in DECLARED}
