"""A chart for a terminal: each line as a band of blocks over one axis of time, with the harm marked below.

Plain text: it is the same on a terminal, in a log, and in docs/drills.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from logflume.drill.report import LIMIT, Chart, Points, Report

WIDTH = 84
_ROWS = 3
_NAME = 24
_BLOCKS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = len(_BLOCKS) - 1


def draw(report: Report, width: int = WIDTH) -> Iterator[str]:
    """Yield the lines of all charts, without colours."""
    span = max(report.seconds, 1.0)
    for chart in report.charts:
        if not chart.lines:
            continue
        yield f"{chart.title} ({chart.unit})"
        top = highest(chart)
        for name, points in chart.lines.items():
            yield from _band(name, points, top, chart, span, width)
        yield _phases(report, span, width)
        yield _axis(span, width)
        yield ""


def highest(chart: Chart) -> float:
    """Return where the chart's scale ends; parts of a limit are shown against the whole limit."""
    least = 1.0 if chart.unit == LIMIT else 0.0
    return max([value for points in chart.lines.values() for _, value in points] + [least]) or 1.0


def _band(name: str, points: Points, top: float, chart: Chart, span: float, width: int) -> Iterator[str]:
    """One line of a chart, ``_ROWS`` high, on the chart's scale; with its name and its greatest value."""
    levels = _levels(columns(points, span, width), top)
    said = f"most {_short(max((value for _, value in points), default=0.0), chart.unit)}"
    labels = [name[:_NAME], said, ""]
    for row in range(_ROWS):
        floor = (_ROWS - 1 - row) * _EIGHTHS
        cells = "".join("·" if level is None and row == _ROWS - 1 else _cell(level, floor) for level in levels)
        yield f"{labels[row]:<{_NAME}} │{cells}│".rstrip()


def _cell(level: int | None, floor: int) -> str:
    return _BLOCKS[min(max((level or 0) - floor, 0), _EIGHTHS)]


def columns(points: Points, span: float, width: int) -> list[float | None]:
    """Spread points over ``width`` columns: the greatest value of each; None where none is."""
    found: list[float | None] = [None] * width
    for at, value in points:
        column = int(at / span * width)
        if 0 <= column < width:
            known = found[column]
            found[column] = value if known is None else max(known, value)
    return _bridged(found)


def _bridged(found: Sequence[float | None]) -> list[float | None]:
    """Where a chart has more columns than seconds, the columns between two points hold the one before."""
    points = [place for place, value in enumerate(found) if value is not None]
    if len(points) < 2:
        return list(found)
    usual = sorted(b - a for a, b in pairwise(points))[len(points) // 2 - 1]
    bridged = list(found)
    for place in range(1, len(bridged)):
        if bridged[place] is None and any(found[max(0, place - usual) : place]):
            bridged[place] = bridged[place - 1]
    return bridged


def _levels(values: Sequence[float | None], top: float) -> list[int | None]:
    most = _ROWS * _EIGHTHS
    return [
        None if value is None else 0 if top <= 0 else max(round(value / top * most), 1 if value > 0 else 0)
        for value in values
    ]


def _phases(report: Report, span: float, width: int) -> str:
    """Mark the harm, and the time from the repair to the recovery."""
    cells = [" "] * width
    for start, end, mark in (
        (report.harmed, report.repaired, "▓"),
        (report.repaired, report.recovered if report.recovered is not None else report.seconds, "░"),
    ):
        first = int(start / span * width)
        for column in range(first, max(first + 1, int(end / span * width))):
            if column < width:
                cells[column] = mark
    return f"{'▓ harm  ░ recovery':<{_NAME}} │{''.join(cells)}│"


def _axis(span: float, width: int) -> str:
    """Seconds, at five places."""
    line = [" "] * (width + 8)
    for part in range(5):
        text = f"{span * part / 4:.0f} s"
        at = min(int(width * part / 4), width - len(text) + 1)
        line[at : at + len(text)] = text
    return " " * (_NAME + 2) + "".join(line).rstrip()


def _short(value: float, unit: str) -> str:
    text = f"{value:.2f}" if value < 10 and value != int(value) else f"{value:,.0f}"
    return f"{text} {unit}" if unit != LIMIT else f"{value:.0%}"
