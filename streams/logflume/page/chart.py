"""A histogram's geometry: counts over time as stacked bars, in units of a drawing that is stretched to its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from logflume.page import zone

HEIGHT: Final = 100
STEP: Final = 10
_TICKS: Final = 5
_SECOND: Final = timedelta(seconds=1)
_NICE: Final = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""Tenths of a power of ten: the highest bar is three quarters of the height at least."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar; ``color`` is the number of its value, 8 for the rest."""

    y: float
    height: float
    color: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bucket: where it is drawn, when it begins and ends, what it says."""

    x: int
    since: str
    until: str
    says: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it. ``legend``: each value with its number and its sum; ``other``: the sum of all other values."""

    bars: tuple[Bar, ...]
    width: int
    top: int
    total: int
    bucket: str
    ticks: tuple[str, ...]
    legend: tuple[tuple[Any, int, int], ...]
    other: int


def draw(told: Mapping[str, Any], where: tzinfo) -> Chart:
    """Return the chart of what ``…/histogram`` answers."""
    starts = [datetime.fromisoformat(each) for each in told["starts"]]
    counts: list[int] = told["counts"]
    series = [(each["value"], each["counts"]) for each in told.get("values", [])]
    other: list[int] = told.get("other") or []
    top = _nice(max(counts, default=0))
    layers = [(number, values) for number, (_, values) in enumerate(series)]
    if "by" not in told:
        layers = [(0, counts)]
    elif any(other):
        layers.append((8, other))
    step = timedelta(seconds=told.get("width_seconds", 1))
    first, end = (datetime.fromisoformat(told[name]) if told[name] else None for name in ("since", "until"))
    bars = []
    for at, start in enumerate(starts):
        since = max(start, first) if first else start
        until = min(start + step, end) if end else start + step
        ends = [zone.shown(each, where, fraction=step < _SECOND) for each in (since, until)]
        label = f"{ends[0]} to {ends[1][11:]}: {counts[at]:,}"
        bars.append(Bar(at * STEP, zone.spelt(since), zone.spelt(until), label, _pieces(layers, at, top)))
    legend = [(value, number, sum(values)) for number, (value, values) in enumerate(series)]
    return Chart(
        tuple(bars),
        max(len(starts), 1) * STEP,
        top,
        sum(counts),
        told["width"] or "",
        _ticks(first, end, where),
        tuple(legend),
        sum(other),
    )


def _pieces(layers: list[tuple[int, list[int]]], at: int, top: int) -> tuple[Piece, ...]:
    found, y = [], float(HEIGHT)
    for color, values in layers:
        if values[at]:
            height = values[at] * HEIGHT / top
            y -= height
            found.append(Piece(round(y, 2), round(height, 2), color))
    return tuple(found)


def _nice(most: int) -> int:
    """The least round number that is not below."""
    power = 10 ** max(len(str(most)) - 1, 0)
    return next((n * power // 10 for n in _NICE if n * power // 10 >= most), most) or 1


def _ticks(first: datetime | None, end: datetime | None, where: tzinfo) -> tuple[str, ...]:
    if first is None or end is None:
        return ()
    length = end - first
    form = "%Y-%m-%d" if length > timedelta(days=20) else "%m-%d %H:%M" if length > timedelta(hours=20) else "%H:%M:%S"
    return tuple((first + length * n / (_TICKS - 1)).astimezone(where).strftime(form) for n in range(_TICKS))
