"""Alerts: each has its runbook and its severity, and is made of metrics that there are."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from logflume.cli.main import build
from logflume.drill.catalogue import DRILLS
from logflume.metrics.metric import DECLARED, Kind
from logflume.watch.alerts import alert
from logflume.watch.alerts.alert import Alert, Record, Severity
from logflume.watch.alerts.catalogue import ALERTS, SERIES
from tests.support import fired
from tests.support.watched import Watched, watching

ROOT = Path(__file__).parents[2]
BOOKS = ROOT / alert.RUNBOOKS
PARTS = ["**Meaning.**", "**Impact.**", "**First steps**", "**It is over when:**"]
METRICS = {each.name: each for each in DECLARED}
_NAME = re.compile(r"(?<![:\w])logflume_\w+")
_LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def runbook(each: Alert) -> Path:
    return BOOKS / f"{each.slug}.md"


@pytest.mark.parametrize("each", ALERTS, ids=lambda each: each.name)
def test_an_alert_has_a_runbook_that_tells_what_to_do(each: Alert) -> None:
    text = runbook(each).read_text()
    assert text.startswith(f"# Logflume{each.name}\n")
    places = [text.index(part) for part in PARTS]
    assert places == sorted(places)
    assert re.search(r"^1\. .*^2\. ", text, re.MULTILINE | re.DOTALL)
    assert each.summary
    assert each.cause


def test_there_is_no_runbook_without_an_alert() -> None:
    assert sorted(BOOKS.glob("*.md")) == sorted(map(runbook, ALERTS))
    assert len({each.name for each in ALERTS}) == len(ALERTS)


def test_every_alert_is_fired_on_a_running_stack_by_the_cause_that_the_catalogue_names() -> None:
    for path in sorted((ROOT / "tests" / "alerts").glob("test_fired*.py")):
        importlib.import_module(f"tests.alerts.{path.stem}")
    causes = {each.name: each.cause for each in ALERTS}
    assert {each.alert for each in fired.FIRED} == set(causes)
    for each in fired.FIRED:
        assert each.cause == causes[each.alert], each.test
        assert each.test.startswith("test_"), "pytest does not run it"
    assert set(re.findall(r"\bdrill ([\w-]+)", " ".join(causes.values()))) <= set(DRILLS)


def test_who_says_to_fire_an_alert_must_have_seen_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And not what fired before, by something else."""
    monkeypatch.setattr(fired, "FIRED", set())
    before = [{"Parked"}, {"Parked"}, {"LagGrows"}]
    monkeypatch.setattr(Watched, "firing", lambda _: before.pop(0) if before else set())
    watched = Watched(tmp_path)

    @fired.fires("a fault", "Parked")
    def sees_it(watched: Watched, what: set[str]) -> None:
        assert not before
        watched.fired |= what

    sees_it(watched, {"Parked", "LagGrows"})
    with pytest.raises(AssertionError, match=r"not seen to fire.*Parked"):
        sees_it(watched, {"LagGrows"})
    assert {fired.Fired("Parked", "a fault", "sees_it")} == fired.FIRED


def test_a_stack_does_not_end_before_what_was_fired_has_resolved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fires: list[set[str]] = [{"Parked", "LagGrows"}, {"Parked"}, {"LagGrows"}]
    monkeypatch.setattr(Watched, "firing", lambda _: fires.pop(0))
    for name in ("up", "down"):
        monkeypatch.setattr(Watched, name, lambda watched: None)
    with watching(tmp_path / "stack") as watched:
        watched.fires("Parked")
        assert len(fires) == 2
    assert not fires


@pytest.mark.parametrize("page", sorted(BOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_the_links_and_metrics_of_a_runbook_are_there(page: Path) -> None:
    text = page.read_text()
    for link in _LINK.findall(text):
        assert (page.parent / link).exists(), link
    series = {record.name for record in SERIES}
    names = set(_NAME.findall(re.sub(r"\w+:logflume_\w+:\w+", "", text)))
    assert names <= set(METRICS), names - set(METRICS)
    assert set(re.findall(r"\w+:logflume_\w+:\w+", text)) <= series
    for other in re.findall(r"\bdocs/[\w./-]+\.md", text):
        assert (ROOT / other).exists(), other


@pytest.mark.parametrize("expression", [each.expression for each in (*SERIES, *ALERTS)])
def test_an_expression_is_made_of_metrics_that_there_are(expression: str) -> None:
    """By their names, with rates of what counts alone, and by labels that they have."""
    bare = re.sub(r"\w+:logflume_\w+:\w+", "", expression)
    found = _NAME.findall(bare)
    assert found or bare != expression
    for name in found:
        plain = re.sub(r"_(bucket|count|sum)$", "", name)
        metric = METRICS.get(name) or METRICS[plain]
        assert (metric.kind is Kind.HISTOGRAM) == (name != plain and name not in METRICS)
        rated = re.search(rf"(rate|increase)\({name}\b", bare) is not None
        counts = metric.kind is not Kind.GAUGE
        assert rated == counts, f"{name} is a {metric.kind}"
        for matchers in re.findall(rf"{name}\{{([^}}]*)\}}", bare):
            labels = {matcher.split("=")[0].strip("!~") for matcher in matchers.split(",")}
            assert labels <= {*metric.labels, "le"}
    recorded = set(re.findall(r"\w+:logflume_\w+:\w+", expression))
    assert recorded <= {record.name for record in SERIES}


def test_durations_are_made_shorter_by_a_setting() -> None:
    one = Alert("OneThing", Severity.PAGE, "rate(a[10m]) > {600} and b offset 1h > 5", 300, "it is", "a fault")
    record = Record("a:b:c", "rate(a[5m])")
    for windows, expression, seconds, recorded, interval in (
        (1.0, "rate(a[10m]) > 600 and b offset 1h > 5", "300s", "rate(a[5m])", None),
        (0.01, "rate(a[6s]) > 6 and b offset 36s > 5", "3s", "rate(a[3s])", "1s"),
    ):
        series, alerts = yaml.safe_load(alert.rules([record], [one], windows=windows, runbooks="https://there"))[
            "groups"
        ]
        assert series["rules"] == [{"record": "a:b:c", "expr": recorded}]
        assert series.get("interval") == interval
        assert alerts["rules"] == [
            {
                "alert": "LogflumeOneThing",
                "expr": expression,
                "for": seconds,
                "labels": {"severity": "page"},
                "annotations": {"summary": "it is", "runbook_url": "https://there/one-thing.md"},
            }
        ]


def test_a_bound_becomes_the_next_one_that_the_histogram_has_and_the_summary_says_which() -> None:
    """And none below ten seconds: rows take seconds on a good day, however short the windows are."""
    for windows, label, words in (
        (1.0, 'a{le="60.0"}', "later than 60 s"),
        (0.5, 'a{le="30.0"}', "later than 30 s"),
        (0.3, 'a{le="20.0"}', "later than 20 s"),
        (0.02, 'a{le="10.0"}', "later than 10 s"),
    ):
        assert alert.told('a{le="{le 60}"}', windows) == label
        assert alert.told("later than {le 60} s", windows) == words
    assert alert.told('{le="{le 7}"}', 0.5) == '{le="7.5"}'


def test_the_command_lists_them_and_writes_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    listed = runner.invoke(build("alerts"), ["alerts", "list", "--json"])
    assert listed.exit_code == 0
    assert all(f"Logflume{each.name}" in listed.stdout for each in ALERTS)
    assert [each["expression"] for each in json.loads(listed.stdout)] == [
        alert.told(each.expression) for each in ALERTS
    ]
    assert "runbook_url: https://" in runner.invoke(build("alerts"), ["alerts", "rules"]).stdout, "a link, not a path"
    monkeypatch.setenv("LOGFLUME_ALERT_WINDOWS", "0.5")
    monkeypatch.setenv("LOGFLUME_ALERT_RUNBOOKS", "https://wiki.example/runbooks")
    written = runner.invoke(build("alerts"), ["alerts", "rules"])
    assert written.stdout == alert.rules(SERIES, ALERTS, windows=0.5, runbooks="https://wiki.example/runbooks")
