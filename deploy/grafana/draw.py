"""``python -m deploy.grafana.draw PROMETHEUS FOLDER``: pictures of the dashboards, as a Prometheus has their data.

For documentation and mails: Grafana itself draws finer. ``make pictures`` makes those in docs/pictures with it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from deploy.grafana.board import COLUMNS, Board
from deploy.grafana.files import BOARDS
from deploy.grafana.panel import NONE, Kind, Marks, Panel, Query

Points = list[tuple[float, float]]
"""When, in seconds since 1970, and how much."""

_POINTS: Final = 120
_DOTS: Final = 96
_PALETTE: Final = 96
_INCHES: Final = 13.0 / COLUMNS
"""A column of Grafana's grid."""
_LINE_INCHES: Final = 0.37
_COLOURS: Final = {"green": "#3d8b40", "orange": "#d97706", "red": "#c4282d", "purple": "#7b5ea7"}
_GREY: Final = "#5b6470"
_LINES: Final = (
    "#3366a8",
    "#d97706",
    "#3d8b40",
    "#a33b6f",
    "#7b5ea7",
    "#0f8a8a",
    "#8a6d1d",
    "#c4282d",
    "#5b6470",
    "#6aa3d8",
)
_MOST_LINES: Final = 10
_LEGENDS: Final = 4
_CHARACTERS: Final = 7
"""In a column of the grid, at a table's size."""
_MOST_CHARACTERS: Final = 32
_VARIABLE: Final = re.compile(r"\$[a-z_]+")
_GAP: Final = 0.05
_STYLE: Any = {"font.size": 8, "font.family": "DejaVu Sans", "axes.edgecolor": "#d5d9de", "svg.hashsalt": "logflume"}


@dataclass(frozen=True)
class Span:
    """Which time is drawn: seconds since 1970."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points, whole ones."""
        return max(1.0, round((self.end - self.start) / _POINTS))


@dataclass(frozen=True)
class Box:
    """A part of a picture, from its upper left corner; all of it is 1."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Source:
    """A Prometheus, and how often it scrapes."""

    address: str
    scrape_seconds: float

    def over(self, query: Query, span: Span) -> list[tuple[str, Points]]:
        """The series of a query: what each is called, and its points."""
        found = self._ask("query_range", query, start=span.start, end=span.end, step=span.step)
        return [
            (
                _called(query.legend, each["metric"]),
                with_gaps([(float(at), float(v)) for at, v in each["values"]], span),
            )
            for each in found
        ]

    def at(self, query: Query, when: float) -> list[tuple[dict[str, str], float]]:
        """The values of a query at a moment, by labels."""
        return [(each["metric"], float(each["value"][1])) for each in self._ask("query", query, time=when)]

    def _ask(self, path: str, query: Query, **asked: float) -> list[dict[str, Any]]:
        text = query.expression.text.replace("$__rate_interval", f"{4 * self.scrape_seconds:g}s")
        values = urllib.parse.urlencode({"query": _VARIABLE.sub(".*", text), **asked})
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{values}", timeout=60) as told:
            found: list[dict[str, Any]] = json.load(told)["data"]["result"]
        return found


def picture(board: Board, source: Source, span: Span, rows: Sequence[str] = ()) -> Figure:
    """A dashboard, or some rows of it by their titles."""
    chosen = [row for row in board.rows if not rows or row.title in rows]
    placed = []
    top = 0
    for row in chosen:
        found = list(row.places(top + 1))
        placed.append((row.title, top, found))
        top = max(place.top + panel.height for panel, place in found)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(COLUMNS * _INCHES, top * _LINE_INCHES), facecolor="#f4f5f7")
        for title, line, found in placed:
            figure.text(0.008, 1 - (line + 0.75) / top, title, fontsize=10, weight="bold", color="#222")
            for panel, place in found:
                box = Box(place.left / COLUMNS, place.top / top, panel.width / COLUMNS, panel.height / top)
                _draw(figure, panel, box, source, span)
        figure.canvas.draw()
    return figure


def _draw(figure: Figure, panel: Panel, box: Box, source: Source, span: Span) -> None:
    wide, high = figure.get_size_inches()
    inches = (box.width * wide - 2 * _GAP, box.height * high - 2 * _GAP)
    low = 1 - box.top - box.height + _GAP / high
    card = figure.add_axes((box.left + _GAP / wide, low, inches[0] / wide, inches[1] / high))
    card.set_xticks([])
    card.set_yticks([])
    card.set_facecolor("white")
    filled = panel.kind is Kind.STAT and panel.marks != NONE
    if panel.kind is Kind.STAT:
        _stat(card, panel, source, span)
    elif panel.kind is Kind.TABLE:
        _table(card, panel, source, span)
    else:
        _series(card, panel, source, span, inches)
    at = (0.1 / inches[0], 1 - 0.08 / inches[1])
    _write(card, at, panel.title, va="top", weight="bold", color="white" if filled else "#333")


def _write(card: Axes, at: tuple[float, float], text: str, **style: Any) -> None:
    """Text at a place of a card, whose corners are 0 and 1."""
    chosen: dict[str, Any] = {"va": "center", "fontsize": 8} | style
    card.text(*at, text, transform=card.transAxes, **chosen)


def _stat(card: Axes, panel: Panel, source: Source, span: Span) -> None:
    values = [value for _, value in source.at(panel.queries[0], span.end) if not math.isnan(value)]
    text = told(values[0], panel.counted_in) if values else panel.none
    colour = _COLOURS[colour_of(values[0], panel.marks) if values else "purple"]
    marked = panel.marks != NONE
    if marked:
        card.set_facecolor(colour)
    _write(card, (0.5, 0.4), text, ha="center", fontsize=17, weight="bold", color="white" if marked else colour)


def _table(card: Axes, panel: Panel, source: Source, span: Span) -> None:
    rows: dict[tuple[str, ...], dict[int, float]] = {}
    labels: list[str] = []
    for number, query in enumerate(panel.queries):
        for metric, value in source.at(query, span.end):
            labels = labels or list(metric)
            rows.setdefault(tuple(metric.get(label, "") for label in labels), {})[number] = value
    first = sorted(rows.items(), key=lambda pair: -pair[1].get(0, -1))[: panel.height - 2]
    heads = [*labels, *(query.legend for query in panel.queries)]
    body = [
        [*key, *(told(found[n], q.expression.unit) if n in found else "" for n, q in enumerate(panel.queries))]
        for key, found in first
    ]
    cells = [[_short(cell) for cell in row] for row in (heads, *body)]
    widths = [max(len(row[column]) for row in cells) + 4 for column in range(len(heads))]
    for line, row in enumerate(cells):
        for column, cell in enumerate(row):
            left = 0.015 + 0.97 * sum(widths[:column]) / max(sum(widths), _CHARACTERS * panel.width)
            up = 0.8 - 0.8 * line / (panel.height - 1)
            _write(card, (left, up), cell, fontsize=7.5, color=_GREY if line == 0 else "#222")
    if not body:
        _write(card, (0.5, 0.5), panel.none, ha="center", color=_GREY)


def _short(cell: str) -> str:
    return cell if len(cell) <= _MOST_CHARACTERS else f"{cell[:12]}…"


def _series(card: Axes, panel: Panel, source: Source, span: Span, inches: tuple[float, float]) -> None:
    lines = [line for query in panel.queries for line in source.over(query, span)]
    lines = [(name, points) for name, points in lines if any(math.isfinite(value) for _, value in points)]
    lines.sort(key=lambda line: -max(value for _, value in line[1] if math.isfinite(value)))
    lines = lines[:_MOST_LINES]
    below = 0.2 + 0.15 * min(len(lines), _LEGENDS)
    width, height = 1 - 0.78 / inches[0], 1 - (below + 0.45) / inches[1]
    plot = card.inset_axes((0.64 / inches[0], (below + 0.12) / inches[1], width, height))
    for spine in ("top", "right", "left"):
        plot.spines[spine].set_visible(False)
    plot.grid(axis="y", color="#e8eaed", linewidth=0.6)
    plot.set_axisbelow(True)
    plot.tick_params(length=0, labelsize=7, colors=_GREY)
    if not lines:
        plot.remove()
        _write(card, (0.5, 0.5), "none", ha="center", color=_GREY, fontsize=9)
        return
    if panel.stacked:
        lines = filled(lines)
    base = [0.0] * len(lines[0][1])
    for (name, points), colour in zip(lines, _LINES, strict=False):
        at = [moment(when) for when, _ in points]
        values = [value if math.isfinite(value) else math.nan for _, value in points]
        if panel.stacked:
            values = [low + value for low, value in zip(base, values, strict=True)]
            plot.fill_between(at, base, values, color=colour, alpha=0.35, linewidth=0)
            base = values
        plot.plot(at, values, color=colour, linewidth=1.1, label=name)
    highest = plot.get_ylim()[1]
    if all(value == 0 or math.isnan(value) for _, points in lines for _, value in points):
        highest = 1.0
    plot.set_ylim(None if panel.signed else 0, highest)
    for colour, value in (("orange", panel.marks.orange), ("red", panel.marks.red)):
        if value is not None and value <= highest:
            plot.axhline(value, color=_COLOURS[colour], linewidth=0.9, linestyle="--")
    plot.set_xlim(moment(span.start), moment(span.end))
    locator = dates.AutoDateLocator(minticks=3, maxticks=6)
    plot.xaxis.set_major_locator(locator)
    plot.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))
    plot.tick_params(axis="x", pad=4)
    plot.yaxis.set_major_locator(MaxNLocator(4))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: told(value, panel.counted_in)))
    _legend(card, lines, inches)


def _legend(card: Axes, lines: Sequence[tuple[str, object]], inches: tuple[float, float]) -> None:
    """Two columns when they fit; what has no room is counted."""
    longest = max(len(name) for name, _ in lines)
    columns = 2 if longest * 0.065 + 0.25 < inches[0] / 2 else 1
    room = _LEGENDS * columns
    shown = lines if len(lines) <= room else lines[: room - 1]
    for number, ((name, _), colour) in enumerate(zip(shown, _LINES, strict=False)):
        row, column = divmod(number, columns)
        y = (0.13 + 0.15 * (min(-(-len(lines) // columns), _LEGENDS) - 1 - row)) / inches[1]
        x = 0.12 / inches[0] + column * 0.5
        card.plot([x, x + 0.12 / inches[0]], [y, y], color=colour, linewidth=2, transform=card.transAxes)
        _write(card, (x + 0.18 / inches[0], y), name, fontsize=7, color=_GREY)
    if len(lines) > len(shown):
        _write(card, (0.7, 0.13 / inches[1]), f"and {len(lines) - len(shown)} more", fontsize=7, color=_GREY)


def with_gaps(points: Sequence[tuple[float, float]], span: Span) -> Points:
    """The points, with one of no value where some are missing: nobody told what it was between."""
    found: Points = []
    for when, value in points:
        if found and when - found[-1][0] > 1.5 * span.step:
            found.append((found[-1][0] + span.step, math.nan))
        found.append((when, value))
    return found


def filled(lines: Sequence[tuple[str, Points]]) -> list[tuple[str, Points]]:
    """The lines of one stack, all at the same times: who told nothing then adds nothing."""
    times = sorted({when for _, points in lines for when, _ in points})
    known = [(name, {when: value for when, value in points if math.isfinite(value)}) for name, points in lines]
    return [(name, [(when, values.get(when, 0.0)) for when in times]) for name, values in known]


def moment(seconds: float) -> float:
    """Matplotlib's number of a time, in UTC."""
    return seconds / 86_400


def colour_of(value: float, marks: Marks) -> str:
    """The colour of a value by the panel's marks."""
    for colour, mark in (("red", marks.red), ("orange", marks.orange)):
        if mark is not None and (value < mark if marks.falling else value >= mark):
            return colour
    return "green"


def told(value: float, unit: str) -> str:
    """A value with its unit, short."""
    if math.isinf(value):
        return "∞"
    if unit == "seconds":
        return _seconds(value)
    if unit == "ratio":
        return f"{100 * value:.3g} %" if value >= 0.0001 else "0 %"
    after = "" if " by " in unit or "/" not in unit else " /s"
    scaled, letter = _scaled(value)
    if unit.startswith("bytes"):
        return f"{scaled:.3g} {letter}B{after.strip()}"
    return f"{scaled:.3g}{f' {letter}' if letter else ''}{after}"


def _scaled(value: float) -> tuple[float, str]:
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return value / size, letter
    return value, ""


def _seconds(value: float) -> str:
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(value) >= 2 * size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{value * 1000:.3g} ms"


def _points(series: dict[str, Any]) -> Points:
    return [(float(at), float(value)) for at, value in series["values"]]


def _called(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def save(figure: Figure, file: Path) -> None:
    """Write it, as SVG or as PNG by its name; of few colours, as there are few."""
    if file.suffix == ".svg":
        figure.savefig(file)
        return
    whole = io.BytesIO()
    figure.savefig(whole, dpi=_DOTS, format="png")
    Image.open(whole).convert("RGB").quantize(_PALETTE, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    """Draw each dashboard into a folder."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.draw", description=__doc__)
    parser.add_argument("prometheus", help="its address, http://127.0.0.1:9090 say")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60, help="how far back")
    parser.add_argument("--scrape-seconds", type=float, default=15, help="scrape_interval of that Prometheus")
    parser.add_argument("--form", choices=("png", "svg"), default="png")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    source, end = Source(given.prometheus, given.scrape_seconds), time.time()
    for board in BOARDS:
        drawn = picture(board, source, Span(end - given.minutes * 60, end))
        save(drawn, given.folder / f"grafana-{board.name}.{given.form}")


if __name__ == "__main__":
    main()
