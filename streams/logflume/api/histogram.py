"""Counts over time: the buckets that a stretch of time is cut into, the SQL that counts, and the rows made to columns.

Buckets have one width, and begin at multiples of it from a Monday's midnight on (UTC). Inside, times are whole
microseconds since 1970, as tables hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from logflume.api.problem import Problem
from logflume.errors import Refused
from logflume.explore import span

MOST_BUCKETS: Final = 120
"""When the width is chosen here."""
MOST_ASKED: Final = 1_000
"""When it was asked for."""
VALUES: Final = 8
"""Of a field that are told apart; the rest are one."""

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY: Final = 4 * 86_400_000_000
_ROUND: Final = {
    "ms": (1, 2, 5, 10, 20, 50, 100, 200, 500),
    "s": (1, 2, 5, 10, 15, 30),
    "m": (1, 2, 5, 10, 15, 30),
    "h": (1, 2, 3, 6, 12),
    "d": (1, 2),
    "w": (1, 2, 4, 8, 13, 26, 52, 104, 260, 520),
}
_WIDTHS: Final = [f"{number}{unit}" for unit, numbers in _ROUND.items() for number in numbers]
_LONGEST: Final = _WIDTHS[-1]
_FIRST, _LAST = datetime(1600, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)
"""Tables' times are of the years 1677 to 2262."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """``count`` stretches of ``width``, the first of which begins at ``start``; it and the last may stand out."""

    width: str
    micros: int
    start: int
    count: int

    @property
    def starts(self) -> list[datetime]:
        """When each begins."""
        return [_EPOCH + (self.start + n * self.micros) * _MICROSECOND for n in range(self.count)]


def micros(at: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """Return the time that so many microseconds since 1970 are."""
    return _EPOCH + at * _MICROSECOND


def when(time: str) -> str:
    """Return the SQL of when a row was, as ``Span`` has it: by its time, or, when it has none, by its arrival."""
    return f'CAST(coalesce("{time}", "_received") AS BIGINT)'


def cut(since: datetime, until: datetime, width: str) -> Buckets:
    """Cut the time from ``since`` to ``until``, which is later, by ``width``; empty: the least round one that will do.

    Raises ``Problem`` 400 for what is no width, ``Refused`` when there would be too many buckets.
    """
    if since < _FIRST or until > _LAST:
        raise Refused(f"a histogram is of times between the years {_FIRST.year} and {_LAST.year}")
    if not width:
        return next(made for each in _WIDTHS if (made := _cut(since, until, each)).count <= MOST_BUCKETS)
    length = span.length(width)
    if length is None or not timedelta(0) < length <= _length(_LONGEST):
        raise Problem(400, "not-read", f"width: {width!r:.80} is no length from 1ms to {_LONGEST}, such as 5m")
    made = _cut(since, until, width)
    if made.count > MOST_ASKED:
        raise Refused(f"width: the time range has {made.count:,} times {width}; {MOST_ASKED:,} buckets may be")
    return made


def counts(table: str, time: str, condition: str, buckets: Buckets) -> str:
    """Return the SQL that counts rows by bucket."""
    return f"SELECT {_bucket(time, buckets)} AS bucket, count(*) AS n FROM {_from(table, condition)} GROUP BY 1"


def stacked(table: str, time: str, condition: str, buckets: Buckets, by: str) -> str:
    """Return the SQL that counts rows by bucket and value of ``by``, of which the most frequent have a place below 9.

    One scan: the values are ranked behind it.
    """
    apart = (
        f'SELECT {_bucket(time, buckets)} AS bucket, "{by}" AS value, count(*) AS n '
        f"FROM {_from(table, condition)} GROUP BY 1, 2"
    )
    totals = f"SELECT *, sum(n) OVER (PARTITION BY value) AS total FROM ({apart}) AS apart"
    ranked = f"SELECT *, dense_rank() OVER (ORDER BY total DESC, value) AS rank FROM ({totals}) AS totals"
    return (
        f"SELECT bucket, least(rank, {VALUES + 1}) AS place, CASE WHEN rank <= {VALUES} THEN value END AS value, "
        f"sum(n) AS n FROM ({ranked}) AS ranked GROUP BY 1, 2, 3"
    )


def columns(buckets: Buckets, rows: Sequence[dict[str, Any]], by: str) -> dict[str, Any]:
    """Return the counts as lists that go with ``starts``, in all and, with ``by``, of each value and of the rest."""
    told: dict[str, Any] = {"starts": buckets.starts, "counts": _summed(buckets, rows)}
    if not by:
        return told
    values = {row["place"]: row["value"] for row in rows if row["place"] <= VALUES}
    return told | {
        "by": by,
        "values": [
            {"value": values[place], "counts": _summed(buckets, [row for row in rows if row["place"] == place])}
            for place in sorted(values)
        ],
        "other": _summed(buckets, [row for row in rows if row["place"] > VALUES]),
    }


def _summed(buckets: Buckets, rows: Sequence[dict[str, Any]]) -> list[int]:
    found = [0] * buckets.count
    for row in rows:
        found[row["bucket"]] += row["n"]
    return found


def _length(width: str) -> timedelta:
    length = span.length(width)
    assert length is not None
    return length


def _cut(since: datetime, until: datetime, width: str) -> Buckets:
    step = _length(width) // _MICROSECOND
    first, end = micros(since), micros(until)
    start = first - (first - _MONDAY) % step
    return Buckets(width, step, start, -((start - end) // step))


def _bucket(time: str, buckets: Buckets) -> str:
    return f"({when(time)} - ({buckets.start})) / {buckets.micros}"


def _from(table: str, condition: str) -> str:
    return f'"{table}"' + (f" WHERE {condition}" if condition else "")
