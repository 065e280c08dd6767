"""What a drill leaves: what was done and when, the lines of its charts, the verdict. Pages are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from logflume.drill.verdict import Finding, Verdict

Points = Sequence[tuple[float, float]]
"""Seconds after the start, and a value."""

LIMIT = "of limit"
"""Unit of what is a part of some limit: 1.0 is all of it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done."""

    at: float
    """Seconds after the start."""
    what: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over one axis of time. ``unit`` is what the values are in."""

    title: str
    unit: str
    lines: Mapping[str, Points]


@dataclass(frozen=True, slots=True)
class Report:
    """One drill that was run to its end."""

    drill: str
    what: str
    """The harm, in a sentence."""
    scale: str
    command: str
    started: str
    """UTC, ISO 8601."""
    machine: str
    seconds: float
    harmed: float
    """Seconds after the start, as all times here."""
    repaired: float
    recovered: float | None
    events: tuple[Event, ...]
    charts: tuple[Chart, ...]
    verdict: Verdict
    counts: Mapping[str, int] = field(default_factory=dict)
    """Sums worth telling: records sent, stored, dead letters, refusals."""
    examples: str = ""
    """Of wrong rows, when there are any."""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict.ok

    def plain(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return asdict(self) | {"ok": self.ok}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Report:
        """Return the report that ``plain`` made; whether it is good is judged by its findings again."""
        values = {name: value for name, value in plain.items() if name != "ok"}
        values["events"] = tuple(Event(**event) for event in values["events"])
        values["charts"] = tuple(Chart(**chart) for chart in values["charts"])
        values["verdict"] = Verdict(tuple(Finding(**finding) for finding in values["verdict"]["findings"]))
        return cls(**values)
