"""Which files are merged and which expire, by the log alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from logflume.care.plan import LATE, Aims, arrived, doubted, expired, merges
from logflume.table.snapshot import File

NOON = datetime(2025, 11, 25, 12, tzinfo=UTC)
AIMS = Aims(file_bytes=128_000, fan_in=4)
_names = count()


def file(size: int = 100, arrived: datetime = NOON, date: str = "2025-11-25", rows: int = 1) -> File:
    return File(f"_date={date}/{next(_names)}.parquet", size, rows, date, arrived, arrived)


def test_a_few_small_files_wait_for_more_of_their_day() -> None:
    files = [file() for _ in range(3)]
    assert merges(files, AIMS, NOON) == []
    files.append(file())
    assert [set(merge) for merge in merges(files, AIMS, NOON)] == [set(files)]


def test_two_are_enough_when_their_day_of_arrival_is_over() -> None:
    files = [file(), file()]
    assert merges(files, AIMS, NOON + timedelta(hours=12, minutes=30)) == []
    assert [set(merge) for merge in merges(files, AIMS, NOON + timedelta(hours=14))] == [set(files)]


def test_files_of_other_dates_and_other_days_of_arrival_are_left_apart() -> None:
    yesterday, late = NOON - timedelta(days=1), NOON
    one = [file(arrived=yesterday, date="2025-11-24") for _ in range(4)]
    other = [file(arrived=late, date="2025-11-24") for _ in range(4)]
    third = [file(arrived=late) for _ in range(4)]
    assert {frozenset(merge) for merge in merges(one + other + third, AIMS, NOON)} == {
        frozenset(one),
        frozenset(other),
        frozenset(third),
    }


def test_large_files_are_left_alone() -> None:
    files = [file(size=64_000) for _ in range(9)] + [file(size=500_000)]
    assert merges(files, AIMS, NOON + timedelta(days=9)) == []


def test_a_large_one_is_not_written_again_for_a_few_small_ones() -> None:
    large, small = file(size=50_000), [file() for _ in range(4)]
    [merge] = merges([large, *small], AIMS, NOON)
    assert large not in merge


def test_what_is_merged_is_in_the_order_of_arrival() -> None:
    files = [file(arrived=NOON + timedelta(minutes=minute)) for minute in (3, 1, 2, 0)]
    [merge] = merges(files, AIMS, NOON)
    assert [f.oldest.minute for f in merge if f.oldest] == [0, 1, 2, 3]


@given(st.lists(st.integers(1, 70_000), max_size=60), st.booleans())
def test_merging_ends_with_few_files_none_too_large_and_each_row_written_seldom(sizes: list[int], over: bool) -> None:
    """As many looks as it takes: a merged file is as large as what it was made of."""
    now = NOON + timedelta(days=2 if over else 0)
    files = [file(size=size) for size in sizes]
    written = 0
    for _ in range(30):
        found = merges(files, AIMS, now)
        if not found:
            break
        for merge in found:
            assert len(merge) > 1
            size = sum(f.size for f in merge)
            assert size <= AIMS.file_bytes
            written += size
            files = [f for f in files if f not in merge] + [file(size=size)]
    else:
        raise AssertionError("it never ends")
    assert sum(f.size for f in files) == sum(sizes)
    small = [f for f in files if f.size < AIMS.file_bytes / 2]
    assert len(small) <= 4 * ((2 if over else AIMS.fan_in) - 1) + 1
    assert written <= 8 * sum(sizes)


def test_a_file_expires_with_its_youngest_row_and_one_that_says_nothing_stays() -> None:
    old, young = file(arrived=NOON - timedelta(days=31)), file(arrived=NOON - timedelta(days=29))
    mixed = File("mixed", 1, 2, "2025-10-25", NOON - timedelta(days=40), NOON - timedelta(days=29))
    silent = File("silent", 1, 1, "2020-01-01", None, None)
    assert expired([old, young, mixed, silent], 30, NOON) == (old,)


def stamped(newest: datetime, stored: datetime) -> File:
    return File("stamped", 1, 1, "2025-11-25", newest, newest, stored)


def test_of_two_clocks_the_later_that_is_not_in_the_future_is_believed() -> None:
    now, never = NOON + timedelta(days=1), NOON + timedelta(days=9000)
    past = NOON - timedelta(days=9000)
    for newest, stored, expected in (
        (NOON - LATE, NOON, NOON - LATE),  # late, by an outage
        (NOON + timedelta(seconds=5), NOON, NOON + timedelta(seconds=5)),  # clocks that hardly differ
        (NOON - LATE - timedelta(seconds=1), NOON, NOON),
        (past, NOON, NOON),
        (never, NOON, NOON),
        (NOON, past, NOON),
        (NOON, never, NOON),
        (never, never + timedelta(days=30), never + timedelta(days=30)),
    ):
        file = stamped(newest, stored)
        assert arrived(file, now) == expected
        assert doubted([file], now) == ((file,) if expected != newest else ())


def test_a_row_is_kept_for_half_its_retention_at_least_whatever_its_edge_says() -> None:
    file = stamped(NOON - timedelta(days=3), NOON)
    assert expired([file], 1, NOON + timedelta(hours=1)) == ()
    assert expired([file], 1, NOON + timedelta(hours=25)) == (file,)
