"""Grafana's dashboards: current, complete, and asked of metrics that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from deploy.grafana import files, runbooks
from deploy.grafana import promql as writing
from deploy.grafana.sdk import grafana_unit
from logflume.local.prometheus import Prometheus
from logflume.metrics import DECLARED, Kind, Metric
from logflume.settings.alerting import DOCS
from logflume.watch.alerts.catalogue import ALERTS
from tests.support.dashboards import Asked, asked, dashboards, panels

ROOT = Path(__file__).parents[2]
METRICS = {metric.name: metric for metric in DECLARED}
SERIES = {
    f"{metric.name}{suffix}": metric
    for metric in DECLARED
    for suffix in (("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",))
}
BOARDS = ["edges", "explorer", "incident", "lag", "overview", "sinks"]
COUNTED = ("rate", "increase", "irate")
_HEADLINE = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_the_files_are_what_the_code_makes() -> None:
    assert {path: path.read_text() for path in files.FOLDER.glob("*")} == files.generated(), "run `make dashboards`"
    assert [path.stem for path in sorted(files.generated())] == BOARDS


# --- what is asked ----------------------------------------------------------------------------------------------------


def nodes(node: Any, within: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each part of an expression, with the functions and aggregations around it."""
    yield node, within
    if isinstance(node, promql.Call):
        within = (*within, node.func.name)
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (part := getattr(node, name, None)) is not None:
            yield from nodes(part, within)
    for part in getattr(node, "args", None) or ():
        yield from nodes(part, within)


def selected(expression: str) -> Iterator[tuple[str, Metric, set[str], tuple[str, ...]]]:
    """Each series that an expression selects, its metric, the labels by which, and the functions around it."""
    for node, within in nodes(promql.parse(expression)):
        if isinstance(node, promql.VectorSelector):
            matchers = node.matchers.matchers
            names = [node.name] if node.name else next(m.value for m in matchers if m.name == "__name__").split("|")
            labels = {matcher.name for matcher in matchers} - {"__name__"}
            yield from ((name, SERIES[name], labels, within) for name in names)


def of(name: str) -> list[Asked]:
    return [each for each in asked() if each.dashboard == name]


@pytest.mark.parametrize("name", BOARDS)
def test_an_expression_asks_for_declared_metrics_by_labels_that_they_have(name: str) -> None:
    for each in of(name):
        found = list(selected(each.told()))
        assert found, each
        for series, metric, labels, within in found:
            assert "job" in labels, each
            assert labels - {"job", "instance"} <= set(metric.labels), each
            if set(within) & set(COUNTED):
                assert metric.kind is not Kind.GAUGE, f"{each}: {series} has no rate"
            if "deriv" in within:
                assert metric.kind is Kind.GAUGE, f"{each}: {series} has a rate"
            assert ("histogram_quantile" in within) == series.endswith("_bucket"), each


@pytest.mark.parametrize("name", BOARDS)
def test_an_expression_groups_by_labels_that_there_are_and_names_its_lines_by_them(name: str) -> None:
    for each in of(name):
        known = {"job", "instance", "le"}.union(*(metric.labels for _, metric, _, _ in selected(each.told())))
        grouped: set[str] = set()
        for node, _ in nodes(promql.parse(each.told())):
            if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
                grouped |= set(node.modifier.labels)
        assert grouped <= known, each
        assert set(re.findall(r"\{\{(\w+)\}\}", each.legend)) <= grouped, each


def test_every_declared_metric_is_on_a_dashboard() -> None:
    shown = {metric.name for each in asked() for _, metric, _, _ in selected(each.told())}
    assert sorted(set(METRICS) - shown) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: writing.summed("logflume_sink_things"), "not declared"),
        (lambda: writing.rate("logflume_sink_behind_bytes"), "only a counter"),
        (lambda: writing.slope("logflume_sink_rows_total"), "take its rate"),
        (lambda: writing.quantile(0.5, "logflume_sink_rows_total"), "no histogram"),
        (lambda: writing.summed("logflume_sink_rows_total", "tenant"), "no label tenant"),
        (lambda: writing.summed("logflume_sink_rows_total", tenant="acme"), "no label tenant"),
    ],
)
def test_an_expression_that_can_not_be_is_refused_when_it_is_written(wrong: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()


def test_what_two_watches_tell_is_counted_once_and_what_nobody_tells_is_no_zero() -> None:
    waits = writing.summed("logflume_lag_partition_records")
    inner = 'logflume_lag_partition_records{job=~"$job", group=~"$group", topic=~"$topic"}'
    assert waits.text == f"sum(max without (instance) ({inner}))"
    assert writing.or_zero(waits).text == f'{waits.text} or 0 * sum(logflume_lag_end_records{{job=~"$job"}})'


def test_a_number_of_a_stage_is_told_by_its_own_processes_alone() -> None:
    """All others export its plain gauges at 0: a sink that is gone would look like one that does well."""
    paused = writing.highest("logflume_sink_paused_ratio").text
    assert paused == (
        'max(logflume_sink_paused_ratio{job=~"$job"} and on (instance) logflume_sink_parked_pairs{job=~"$job"})'
    )
    spooled = writing.each("logflume_edge_spool_messages_total")
    assert spooled.unit == "messages/s"
    assert 'unless on (instance) logflume_lag_end_records{job=~"$job"}' in spooled.text


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_says_what_it_shows_in_which_unit_and_what_to_read(name: str) -> None:
    for panel in (panel for board, panel in panels() if board == name):
        title = panel["title"]
        assert "When it is off" in panel["description"], title
        shown = panel["fieldConfig"]["defaults"]
        assert shown["unit"], title
        first, *steps = shown["thresholds"]["steps"]
        assert first["value"] is None, title
        values = [step["value"] for step in steps]
        assert values == sorted(values), title
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title
        refs = [target["refId"] for target in panel["targets"]]
        assert all(refs), title
        assert len(set(refs)) == len(refs), title
        assert all(target["legendFormat"] for target in panel["targets"]), title
        assert len(panel["links"]) >= 2, title


def anchors(page: Path) -> set[str]:
    """Of a page's headlines, as GitHub makes them."""
    heads = (re.sub(r"[^\w\- ]", "", head.lower().replace("`", "")) for head in _HEADLINE.findall(page.read_text()))
    return {head.replace(" ", "-") for head in heads}


def test_links_lead_to_pages_and_headlines_that_there_are() -> None:
    links = {link["url"] for _, panel in panels() for link in panel["links"]}
    for link in links:
        page, _, anchor = link.removeprefix("${docs}/").partition("#")
        assert link.startswith("${docs}/")
        assert (ROOT / "docs" / page).is_file(), link
        assert not anchor or anchor in anchors(ROOT / "docs" / page), link


def test_every_runbook_is_linked_from_a_panel() -> None:
    linked = {link["url"] for _, panel in panels() for link in panel["links"]}
    assert [each.slug for each in ALERTS if f"${{docs}}/runbooks/{each.slug}.md" not in linked] == []


def test_an_alert_is_not_about_what_it_takes_a_share_of() -> None:
    [flood] = [each for each in ALERTS if each.name == "DeadLetterFlood"]
    assert runbooks.looked_at(flood) == {"logflume_edge_bad_rows_total", "logflume_sort_deadletter_rows_total"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_has_the_variables_that_it_uses_and_a_way_to_the_others(name: str) -> None:
    board = dashboards()[name]
    variables = {each["name"]: each for each in board["templating"]["list"]}
    used: set[str] = set().union(*(each.variables() for each in of(name)))
    assert set(variables) - {"datasource", "docs", "group"} == used - {"group"}
    assert variables["docs"]["query"] == DOCS
    for each in variables.values():
        if each["type"] == "query":
            [series] = re.findall(r"label_values\((.*), \w+\)", each["query"]["query"])
            told = re.sub(r"\$[a-z]+", ".*", series)
            [node] = [n for n, _ in nodes(promql.parse(told)) if isinstance(n, promql.VectorSelector)]
            assert node.name is None or node.name in SERIES
    assert board["uid"] == f"logflume-{name}"
    assert [link["tags"] for link in board["links"]] == [board["tags"]]


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_upon_another_and_lines_are_full(name: str) -> None:
    places = [each["gridPos"] for each in dashboards()[name]["panels"]]
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above
    for top in {place["y"] for place in places}:
        assert sum(place["w"] for place in places if place["y"] == top) == 24, f"line {top}"
    ids = [each["id"] for each in dashboards()[name]["panels"]]
    assert len(set(ids)) == len(ids)


def test_a_unit_whose_first_letter_is_a_scale_is_not_scaled_by_it() -> None:
    assert [grafana_unit(each) for each in ("rows/s", "files/s", "bytes", "rows by requests", "/s")] == [
        "si:rows/s",
        "cps",
        "bytes",
        "short",
        "cps",
    ]
    rows = writing.rate("logflume_edge_rows_total") / writing.rate("logflume_edge_blocks_total")
    assert rows.unit == "rows by blocks"


def test_provisioning_finds_the_dashboards_and_a_datasource() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    [provider] = yaml.safe_load((folder / "dashboards" / "logflume.yaml").read_text())["providers"]
    assert provider["folder"] == "Logflume"
    assert provider["options"]["path"].endswith("/dashboards")
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert "$" in source["url"]


def test_no_label_of_what_is_scraped_takes_the_place_of_a_metrics_own() -> None:
    """Prometheus would call the metric's ``exported_kind``: every worker would be one of the watch's kind."""
    own = {label for metric in DECLARED for label in metric.labels}
    example = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    local = Prometheus(Path(), 0).configuration({"sink-1": 1}, 5)
    for configuration in (example, local):
        for job in configuration["scrape_configs"]:
            for targets in job["static_configs"]:
                assert not set(targets["labels"]) & own
