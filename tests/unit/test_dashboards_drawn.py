"""Pictures of dashboards: what is drawn of what a Prometheus tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deploy.grafana import draw, limits, overview
from deploy.grafana.draw import Source, Span, colour_of, filled, told, with_gaps
from deploy.grafana.panel import ANY, NONE

SPAN = Span(0, 1200)


@dataclass(frozen=True)
class Told(Source):
    """A Prometheus that has one series for everything, or none."""

    value: str | None = "1"

    def _ask(self, path: str, query: Any, **asked: float) -> list[dict[str, Any]]:
        if self.value is None:
            return []
        labels = {"tenant": "acme", "dataset": "events"}
        return [{"metric": labels, "values": [(at, self.value) for at in (0, 10, 500)], "value": (0, self.value)}]


@pytest.mark.parametrize("value", ["1", "0", "NaN", "+Inf", None])
def test_a_dashboard_is_drawn_whatever_is_told(value: str | None, tmp_path: Path) -> None:
    figure = draw.picture(
        overview.BOARD, Told("", 15, value), SPAN, ["Is everything delivered?", "How much, and how fresh"]
    )
    draw.save(figure, tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as image:
        wide, high = image.size
    assert wide > high
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {panel.title for row in overview.BOARD.rows[:2] for panel in row.panels} <= texts
    assert ("no data" in texts) == (value in (None, "NaN"))


def test_a_value_is_told_with_its_unit() -> None:
    cases = {
        (0.0108, "seconds"): "10.8 ms",
        (150.0, "seconds"): "2.5 min",
        (math.inf, "seconds"): "∞",
        (0.5, "ratio"): "50 %",
        (0.00000001, "ratio"): "0 %",
        (45_300.0, "bytes/s"): "45.3 kB/s",
        (2_400.0, "rows/s"): "2.4 k /s",
        (300.0, "rows by blocks"): "300",
        (3.0, "partitions"): "3",
    }
    assert {case: told(*case) for case in cases} == cases


def test_colours_follow_the_marks() -> None:
    assert [colour_of(value, limits.PRESSURE) for value in (0.5, 0.95, 1.0)] == ["green", "orange", "red"]
    assert [colour_of(hours * 3600, limits.LEFT) for hours in (72, 30, 20)] == ["green", "orange", "red"]
    assert colour_of(5, NONE) == "green"
    assert colour_of(1, ANY) == "red"


def test_where_nobody_told_anything_there_is_a_gap() -> None:
    [first, gap, last] = with_gaps([(0, 1.0), (500, 2.0)], SPAN)
    assert (first, last) == ((0, 1.0), (500, 2.0))
    assert math.isnan(gap[1])


def test_in_a_stack_who_told_nothing_for_a_while_adds_nothing_then() -> None:
    gone = with_gaps([(0, 5.0), (600, 5.0)], SPAN)
    whole = [(when, 1.0) for when in (0, 10, 300, 600)]
    [(name, points), (_, others)] = filled([("sink", gone), ("sort", whole)])
    assert name == "sink"
    assert [when for when, _ in points] == [when for when, _ in others] == [0, 10, 300, 600]
    assert dict(points) == {0: 5.0, 10: 0.0, 300: 0.0, 600: 5.0}
    assert [value for _, value in others] == [1.0] * 4
