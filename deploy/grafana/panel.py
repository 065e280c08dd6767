"""What a panel shows: its expressions, its unit, from when on its value is bad, and what to read then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deploy.grafana.promql import Expression, or_zero
from logflume.metrics import Kind as Declared
from logflume.metrics import Metric


class Kind(StrEnum):
    """How a panel is drawn."""

    STAT = "stat"
    SERIES = "timeseries"
    TABLE = "table"


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called; of a table, what its column is."""

    expression: Expression
    legend: str


@dataclass(frozen=True)
class Marks:
    """From which values on a panel is orange, then red; ``falling``: it is, below them. None: never."""

    orange: float | None = None
    red: float | None = None
    falling: bool = False


NONE: Final = Marks()
NOTHING: Final = "no data"
ANY: Final = Marks(red=1)
"""One is one too many."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    ``read``: a page in docs/ about it. ``about``: said before what its metrics' declarations say. ``none``: shown when
    there are no series. ``signed``: its values may be below 0.
    """

    title: str
    kind: Kind
    queries: tuple[Query, ...]
    read: str
    marks: Marks = NONE
    unit: str = ""
    about: str = ""
    width: int = 8
    height: int = 8
    stacked: bool = False
    none: str = NOTHING
    signed: bool = False

    @property
    def metrics(self) -> list[Metric]:
        """What it is about first, and next."""
        return list(dict.fromkeys(metric for query in self.queries for metric in query.expression.metrics))

    @property
    def description(self) -> str:
        """What it shows and what to do when it is off, from the declarations of its metrics."""
        said = [self.about] if self.about else []
        said += [f"`{metric.name}`: {metric.meaning}\n\n*When it is off:* {metric.remedy}" for metric in self.metrics]
        return "\n\n".join(said)

    @property
    def counted_in(self) -> str:
        """Its unit, if nothing else is said that of its first expression."""
        return self.unit or self.queries[0].expression.unit


def stat(
    title: str,
    expression: Expression,
    read: str,
    marks: Marks = NONE,
    *,
    unit: str = "",
    about: str = "",
    width: int = 4,
    none: str = NOTHING,
) -> Panel:
    """One number, coloured by its marks."""
    if expression.metric.labels and expression.metric.kind is not Declared.HISTOGRAM:
        expression = or_zero(expression)
    return Panel(title, Kind.STAT, (Query(expression, title),), read, marks, unit, about, width, 4, none=none)


def series(
    title: str,
    *queries: tuple[Expression, str],
    read: str,
    marks: Marks = NONE,
    unit: str = "",
    about: str = "",
    width: int = 8,
    stacked: bool = False,
    signed: bool = False,
) -> Panel:
    """Lines over time. A legend takes values of labels in ``{{label}}``."""
    asked = tuple(Query(*pair) for pair in queries)
    return Panel(title, Kind.SERIES, asked, read, marks, unit, about, width, stacked=stacked, signed=signed)


def table(title: str, *queries: tuple[Expression, str], read: str, about: str = "", width: int = 24) -> Panel:
    """A row for each set of labels, a column for each expression; sorted by the first."""
    return Panel(title, Kind.TABLE, tuple(Query(*pair) for pair in queries), read, about=about, width=width)
