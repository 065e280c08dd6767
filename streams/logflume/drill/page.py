"""A report as one HTML page that needs nothing else: no script, no font, no picture from anywhere; light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources

from logflume.drill.chart import highest
from logflume.drill.report import LIMIT, Chart, Points, Report

_WIDTH, _HEIGHT = 900, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 26
_COLOURS = 8


def _style() -> str:
    return resources.files(__package__).joinpath("page.css").read_text()


def html(report: Report) -> str:
    """Return the page."""
    title = f"Drill {report.drill}, {report.scale}"
    word = "passed" if report.ok else "failed"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}: {word}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_style()}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(report.what)}</p>",
        f'<p class="verdict {"good" if report.ok else "bad"}">{"✓" if report.ok else "✗"} {word}</p>',
        f"<p><code>{escape(report.command)}</code></p><p>{escape(report.started)} · {escape(report.machine)}</p>",
        "<h2>What was done</h2>",
        _table(("at", "what"), [(f"{event.at:.0f} s", event.what) for event in report.events], number=0),
    ]
    for chart in report.charts:
        if chart.lines:
            parts += _chart(report, chart)
    rows = [("✓" if f.ok else "✗", f.name, f.promised, f.found) for f in report.verdict.findings]
    parts += ["<h2>Promised, and found</h2>", _table(("", "what", "promised", "found"), rows, number=3)]
    parts += ["<h2>Counted</h2>", _table(("what", "how many"), [(n, f"{c:,}") for n, c in report.counts.items()], 1)]
    if report.examples:
        parts.append(f"<h2>Wrong</h2><pre>{escape(report.examples)}</pre>")
    return "\n".join([*parts, "</body></html>", ""])


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], number: int) -> str:
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    for row in rows:
        kinds = {"✓": "good", "✗": "bad"}
        cells = (
            f'<td class="{kinds.get(cell, "number" if place == number else "text")}">{escape(cell)}</td>'
            for place, cell in enumerate(row)
        )
        lines.append("".join(cells))
    return '<div class="scroll"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def _chart(report: Report, chart: Chart) -> Iterator[str]:
    yield f"<h2>{escape(chart.title)}</h2>"
    keys = (
        f'<span><i style="background:var(--c{_colour(place)})"></i>{escape(name)}</span>'
        for place, name in enumerate(chart.lines)
    )
    yield f'<div class="key">{"".join(keys)}</div><div class="scroll">'
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(chart.title, quote=True)}">'
    yield from _phases(report)
    scale = _Scale(report.seconds, highest(chart))
    yield from scale.grid(chart.unit)
    for place, (name, points) in enumerate(chart.lines.items()):
        colour = f"var(--c{_colour(place)})"
        for path in scale.paths(points):
            yield (
                f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round" '
                f'stroke-linecap="round"><title>{escape(name)}</title></path>'
            )
    yield "</svg></div>"


def _colour(place: int) -> int:
    return place % _COLOURS + 1


def _phases(report: Report) -> Iterator[str]:
    recovered = report.recovered if report.recovered is not None else report.seconds
    for name, start, end in (("harm", report.harmed, report.repaired), ("back", report.repaired, recovered)):
        x, to = _x(start, report.seconds), _x(end, report.seconds)
        height = _HEIGHT - _TOP - _BOTTOM
        yield (
            f'<rect x="{x:.1f}" y="{_TOP}" width="{max(to - x, 1):.1f}" height="{height}" fill="var(--{name})">'
            f"<title>{'harm' if name == 'harm' else 'recovery'}</title></rect>"
        )
        if to - x > 60:
            word = "harm" if name == "harm" else "recovery"
            yield f'<text x="{x + 5:.1f}" y="{_TOP + 13}">{word}</text>'


def _x(at: float, span: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(span, 1e-9)


class _Scale:
    """From seconds and values to places in the picture; the value axis ends at a round number."""

    def __init__(self, span: float, most: float) -> None:
        self._span = span
        self._step = step(most / 4)
        self._top = self._step * math.ceil(most / self._step - 1e-9)

    def grid(self, unit: str) -> Iterator[str]:
        """Draw a line and a number for each step of both axes."""
        right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for number in range(round(self._top / self._step) + 1):
            value = number * self._step
            y = self._y(value)
            colour = "var(--grid)" if number else "var(--axis)"
            yield f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
            text = f"{value:.0%}" if unit == LIMIT else f"{value:,.10g}"
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        pause = step(self._span / 6)
        for number in range(int(self._span / pause) + 1):
            at = number * pause
            yield f'<text x="{_x(at, self._span):.1f}" y="{floor + 18}" text-anchor="middle">{at:,.10g} s</text>'

    def paths(self, points: Points) -> Iterator[str]:
        """Yield the line; where nothing is known for long it is broken."""
        gap = max(5.0, self._span / 40)
        path: list[str] = []
        before: float | None = None
        for at, value in points:
            if before is not None and at - before > gap and path:
                yield "".join(path)
                path = []
            path.append(f"{'L' if path else 'M'}{_x(at, self._span):.1f} {self._y(value):.1f}")
            before = at
        if path:
            yield "".join(path)

    def _y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self._top


def step(about: float) -> float:
    """Return a round step near ``about``: 1, 2, 2.5 or 5 times a power of ten."""
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next((power * factor for factor in (1, 2, 2.5, 5) if power * factor >= about), power * 10)
