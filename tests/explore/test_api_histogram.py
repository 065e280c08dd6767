"""How a stretch of time is cut into the buckets of a histogram."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from logflume.api import histogram
from logflume.api.problem import Problem
from logflume.errors import Refused


@pytest.mark.parametrize(
    ("since", "until", "width"),
    [
        ("2025-11-25T12:00:00Z", "2025-11-25T12:00:00.000001Z", "1ms"),
        ("2025-11-25T12:00:00Z", "2025-11-25T12:00:01Z", "10ms"),
        ("2025-11-25T12:00:00Z", "2025-11-25T12:15:00Z", "10s"),
        ("2025-11-25T12:00:01Z", "2025-11-25T14:00:01Z", "2m"),
        ("2025-11-25T12:00:00Z", "2025-11-26T12:00:00Z", "15m"),
        ("2025-11-25T12:00:00Z", "2025-12-25T12:00:00Z", "6h"),
        ("2025-11-25T12:00:01Z", "2025-12-25T12:00:01Z", "12h"),
        ("1600-01-01", "2500-01-01", "520w"),
    ],
)
def test_the_width_is_the_least_round_one_of_at_most_120_buckets(since: str, until: str, width: str) -> None:
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (since, until))
    made = histogram.cut(begin, end, "")
    assert made.count <= 120
    assert made.width == width
    starts = made.starts
    assert starts[0] <= begin < starts[0] + timedelta(microseconds=made.micros)
    assert starts[-1] < end <= starts[-1] + timedelta(microseconds=made.micros)


def test_weeks_begin_on_mondays() -> None:
    [start, *_] = histogram.cut(datetime(2025, 11, 25, tzinfo=UTC), datetime(2025, 12, 25, tzinfo=UTC), "1w").starts
    assert (start.weekday(), start.hour) == (0, 0)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        ("0ms", Problem),
        ("0m", Problem),
        ("-5m", Problem),
        ("5", Problem),
        ("٥m", Problem),
        ("1y", Problem),
        ("521w", Problem),
        ("999999999w", Problem),
        ("1ms", Refused),
        ("1h", Refused),
    ],
)
def test_a_width_that_is_none_or_makes_too_many_buckets_is_told(width: str, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="width"):
        histogram.cut(datetime(2020, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), width)
