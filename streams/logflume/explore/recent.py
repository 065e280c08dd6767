"""What a question is about that names no time range: the last minutes, or, when the data ended earlier, its own last.

RE1  A question that names a time itself, in a condition on rows' time, arrival, date or coordinates, is taken at its
     word: it is about all that it says.
RE2  Every answer says which range it is about, and why (``Range``).
RE3  The data's end is what the tables' logs say, no file is opened; where a log does not say, it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from logflume.explore.check import Checked
from logflume.explore.snapshots import NEVER, Snapshot
from logflume.explore.span import ALWAYS, Recent, Span
from logflume.model.dataset import Dataset
from logflume.table.schema import DATE

_ROUNDED: Final = timedelta(milliseconds=1)
"""Logs may hold times cut to milliseconds: the last row may be this later."""


class Why(StrEnum):
    """Why a question is about its range."""

    ASKED = "asked"
    ALL = "all"
    CONDITION = "condition"
    RECENT = "recent"
    ENDED = "ended"


_SAID: Final = {
    Why.ASKED: "as asked",
    Why.ALL: "everything",
    Why.CONDITION: "whatever its conditions on the time say",
    Why.RECENT: "the last {minutes}, as no time was named; since=beginning asks of everything",
    Why.ENDED: "the last {minutes} that there are, as the data ended before; since=beginning asks of everything",
}


@dataclass(frozen=True, slots=True)
class Range:
    """What a question is about, and why (RE2). ``length``: of a range that was chosen here."""

    span: Span
    why: Why
    length: timedelta | None = None

    @property
    def chosen(self) -> bool:
        """Whether nobody asked for it."""
        return self.length is not None

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {"since": self.span.since, "until": self.span.until, "why": str(self.why)}

    def __str__(self) -> str:
        """For people."""
        return _SAID[self.why].format(minutes=_minutes(self.length or timedelta()))


def of(
    asked: Span | Recent,
    checked: Checked,
    snapshots: Mapping[str, Snapshot],
    datasets: Mapping[str, Dataset],
    *,
    fresh: bool = False,
) -> Range:
    """Return the range of a query, which reads these tables; ``fresh``: rows have come that are not in them yet."""
    if isinstance(asked, Span):
        return Range(asked, Why.ALL if asked == ALWAYS else Why.ASKED)
    if not snapshots:
        return Range(ALWAYS, Why.ALL)
    if any(_names_a_time(checked, datasets[name]) for name in snapshots):
        return Range(ALWAYS, Why.CONDITION)
    begin = asked.now - asked.length
    ends = [snapshot.last(datasets[name].time_field) for name, snapshot in snapshots.items()]
    known = [end for end in ends if end is not None]
    if not fresh and len(known) == len(ends) and NEVER < max(known) < begin:
        last = max(known)
        return Range(Span(last - asked.length, last + _ROUNDED), Why.ENDED, asked.length)
    return Range(Span(begin, None), Why.RECENT, asked.length)


def _names_a_time(checked: Checked, dataset: Dataset) -> bool:
    """RE1."""
    return any(
        name in (dataset.time_field, "_received", DATE) or name.startswith("_src_") for name in checked.conditioned
    )


def _minutes(length: timedelta) -> str:
    minutes, seconds = divmod(length.total_seconds(), 60)
    return f"{length.total_seconds():g} s" if seconds else f"{minutes:g} minutes"
