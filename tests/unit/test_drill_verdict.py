"""The verdict of a drill: right facts pass, and each promise that is broken by the facts fails it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logflume.demo.judge import Check
from logflume.drill import chart, page, told
from logflume.drill.report import Chart, Event, Report
from logflume.drill.verdict import KEPT_SHARE, SPARE_BYTES, Facts, Finding, Promise, Rates, Verdict, judge

PROMISE = Promise(recover_seconds=60, within_seconds=15)
FACTS = Facts(
    sums=(Check("rows in the tables", 1000, 1000), Check("ids stored more than once", 0, 0)),
    rates=Rates(before=600, during=590, after=601),
    memory={"sink-1": (180_000_000, 512_000_000), "edge-1": (140_000_000, 320_000_000)},
    recovered_seconds=12.0,
    waiting=(1.5, 2.9),
)


def broken(promise: Promise, facts: Facts) -> list[str]:
    """Names of the findings that are not good."""
    return [finding.name for finding in judge(promise, facts).findings if not finding.ok]


def test_facts_that_keep_every_promise_pass() -> None:
    for promise in (PROMISE, replace(PROMISE, rate_during=True, waiting_factor=2.0)):
        assert judge(promise, FACTS).ok
        assert broken(promise, FACTS) == []


@pytest.mark.parametrize(("expected", "counted"), [(1000, 999), (1000, 1001), (0, 1)])
def test_p1_one_row_lost_or_stored_twice_fails(expected: int, counted: int) -> None:
    facts = replace(FACTS, sums=(*FACTS.sums, Check("doctored", expected, counted)))
    assert broken(PROMISE, facts) == ["doctored"]


def test_p1_rows_in_doubt_may_be_stored_or_not_but_no_more_than_those() -> None:
    for counted, good in ((1000, True), (1050, True), (1051, False), (999, False)):
        assert judge(PROMISE, replace(FACTS, sums=(Check("rows", 1000, counted, 50),))).ok is good


def test_p1_a_drill_that_counted_nothing_fails() -> None:
    assert broken(PROMISE, replace(FACTS, sums=())) == ["sums"]


def test_p2_a_tenth_less_than_the_rate_before_is_the_limit_and_the_promise_says_when() -> None:
    low = KEPT_SHARE * 600 - 1
    during = replace(PROMISE, rate_during=True)
    assert broken(PROMISE, replace(FACTS, rates=Rates(600, 0, KEPT_SHARE * 600))) == []
    assert broken(PROMISE, replace(FACTS, rates=Rates(600, 600, low))) != []
    assert broken(during, replace(FACTS, rates=Rates(600, KEPT_SHARE * 600, 0))) == []
    assert broken(during, replace(FACTS, rates=Rates(600, low, 600))) != []


def test_p2_a_drill_without_load_proves_nothing_and_fails() -> None:
    assert broken(PROMISE, replace(FACTS, rates=Rates(0, 0, 0))) != []


def test_p3_a_byte_above_budget_and_spare_fails_and_names_the_process() -> None:
    limit = 512_000_000 + SPARE_BYTES
    assert broken(PROMISE, replace(FACTS, memory={"sink-1": (limit, 512_000_000)})) == []
    assert broken(PROMISE, replace(FACTS, memory={"sink-1": (limit + 1, 512_000_000)})) == ["most memory of sink-1"]
    assert broken(PROMISE, replace(FACTS, memory={"sink-1": (0, 512_000_000)})) == ["most memory of sink-1"]


@pytest.mark.parametrize("seconds", [None, 60.1])
def test_p4_not_recovered_in_time_fails(seconds: float | None) -> None:
    assert broken(PROMISE, replace(FACTS, recovered_seconds=seconds)) == ["recovered, with nobody's hand"]


def test_p5_others_may_wait_twice_as_long_and_not_longer() -> None:
    promise = replace(PROMISE, waiting_factor=2.0)
    assert broken(promise, replace(FACTS, waiting=(1.5, 3.0))) == []
    assert broken(promise, replace(FACTS, waiting=(1.5, 3.1))) != []
    assert broken(promise, replace(FACTS, waiting=(1.5, None))) != []
    assert broken(PROMISE, replace(FACTS, waiting=(1.5, 30.0))) == []


def test_what_a_drill_found_by_itself_counts_too() -> None:
    own = (Finding("apply of an empty folder", "exit code 3", "0", ok=False),)
    assert broken(PROMISE, replace(FACTS, own=own)) == ["apply of an empty folder"]


def test_no_findings_are_no_verdict() -> None:
    assert not Verdict().ok


def report(verdict: Verdict) -> Report:
    line = [(float(t), float(t % 7)) for t in range(40)]
    return Report(
        drill="sink-stop",
        what="The sinks <hang> & wait.",
        scale="small",
        command="logflume drill run sink-stop",
        started="2026-11-22T12:00:00+00:00",
        machine="2 cores",
        seconds=40,
        harmed=10,
        repaired=20,
        recovered=30,
        events=(Event(10, "stopped | <b>"),),
        charts=(
            Chart("Lag", "messages", {"to sort": line, "nothing": []}),
            Chart("Empty", "s", {}),
            Chart("Flat", "of limit", {"x": [(0, 0), (39, 0)]}),
        ),
        verdict=verdict,
        counts={"stored": 1234},
    )


@pytest.mark.parametrize("verdict", [judge(PROMISE, FACTS), judge(PROMISE, replace(FACTS, sums=()))])
def test_a_report_says_its_verdict_on_every_page_and_comes_back_from_json(verdict: Verdict) -> None:
    made = report(verdict)
    again = Report.of(made.plain())
    assert again.plain() == made.plain()
    html, text = page.html(again), told.page([again])
    assert ("✗ failed" in html) is not verdict.ok
    assert ("**failed**" in text) is not verdict.ok
    assert "<hang>" not in html
    assert "&lt;hang&gt;" in html
    for outside in ("http://", "https://", "<script", "src=", "@import"):
        assert outside not in html.replace("http://www.w3.org", "")


def test_a_chart_in_text_shows_the_harm_where_it_was_and_the_top_of_each_line() -> None:
    lines = list(chart.draw(report(judge(PROMISE, FACTS)), width=40))
    phases = next(line for line in lines if line.startswith("▓"))
    cells = phases.partition("│")[2]
    assert cells[:40] == " " * 10 + "▓" * 10 + "░" * 10 + " " * 10
    assert any("most 6 messages" in line for line in lines)
    assert all(len(line) <= 24 + 2 + 48 for line in lines)
