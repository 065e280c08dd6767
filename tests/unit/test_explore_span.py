"""Stretches of time: how they are read, and which rows and files are within."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import datafusion
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.errors import Refused
from logflume.explore.snapshots import Snapshot
from logflume.explore.span import ALWAYS, Span, read

NOW = datetime(2025, 11, 29, 12, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("", None),
        ("now", NOW),
        ("15m", NOW - timedelta(minutes=15)),
        ("-15m", NOW - timedelta(minutes=15)),
        ("250ms", NOW - timedelta(milliseconds=250)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2025-11-28", datetime(2025, 11, 28, tzinfo=UTC)),
        ("2025-11-28T10:00", datetime(2025, 11, 28, 10, tzinfo=UTC)),
        ("2025-11-28 10:00:00.5Z", datetime(2025, 11, 28, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2025-11-28T10:00:00+05:30", datetime(2025, 11, 28, 4, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_what_it_says_in_utc_where_it_names_no_zone(text: str, means: datetime | None) -> None:
    assert read(text, "", NOW).since == means


@pytest.mark.parametrize(
    "text", ["yesterday", "15", "m", "1.5h", "15M", "2025-13-01", "999999999w", "' OR 1", "0001-01-01T00:00+05:00"]
)
def test_what_is_no_time_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(Refused, match=r"until: .* is no time, such as 2026-11-29T10:00:00Z, 15m"):
        read("", text, NOW)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(Refused, match="ends \\(2h\\) before it begins \\(1h\\)"):
        read("1h", "2h", NOW)


@pytest.mark.parametrize("year", ["0001", "1600", "9999"])
def test_any_year_may_be_named_though_the_engine_counts_nanoseconds(year: str) -> None:
    span = read("", f"{year}-01-01", NOW)
    assert rows_within([{"at": NOW, "_received": NOW}], span) == ([0] if year == "9999" else [])
    assert span.last is not None


def rows_within(rows: list[dict[str, Any]], span: Span) -> list[int]:
    """Which rows a query sees, by the engine."""
    table = pa.table(
        {
            "row": pa.array(range(len(rows)), pa.int64()),
            "at": pa.array([row["at"] for row in rows], STAMP),
            "_received": pa.array([row["_received"] for row in rows], STAMP),
        }
    )
    context = datafusion.SessionContext()
    context.register_record_batches("t", [table.to_batches()])
    found = context.sql(f"SELECT row FROM t WHERE {span.where('at') or 'true'}").to_arrow_table()
    return sorted(found.column("row").to_pylist())


MOMENTS = st.integers(0, 12).map(lambda hours: NOW + timedelta(hours=hours))
ROWS = st.fixed_dictionaries({"at": st.none() | MOMENTS, "_received": MOMENTS})
LIMIT = st.none() | MOMENTS


@settings(max_examples=25)
@given(st.lists(st.tuples(st.lists(ROWS, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=5), LIMIT, LIMIT)
def test_a_row_is_within_by_its_time_or_its_arrival_and_its_file_is_kept(
    files: list[tuple[list[dict[str, Any]], bool]], since: datetime | None, until: datetime | None
) -> None:
    """``stated``: whether the log holds the file's bounds, as not every writer puts them."""
    span = Span(since, until)
    kept = set(snapshot(files).within({}, span, "at").column("path").to_pylist())
    for number, (rows, _) in enumerate(files):
        times = [row["at"] or row["_received"] for row in rows]
        within = [n for n, at in enumerate(times) if (not since or at >= since) and (not until or at < until)]
        assert rows_within(rows, span) == within
        assert f"{number}" in kept or not within


def test_files_outside_are_left_out_unless_they_may_have_rows_without_a_time() -> None:
    at = [NOW + timedelta(hours=n) for n in range(4)]
    timed = [[{"at": each, "_received": at[0]}] for each in at]
    untimed = [[*timed[0], {"at": None, "_received": at[n]}] for n in (0, 2)]
    files = [(rows, True) for rows in [*timed, *untimed]]
    held = snapshot(files)
    assert held.within({}, Span(at[1], at[3]), "at").column("path").to_pylist() == ["1", "2", "5"]
    assert held.within({}, ALWAYS, "at").num_rows == 6


def snapshot(files: list[tuple[list[dict[str, Any]], bool]]) -> Snapshot:
    """A table of which only the log is looked at."""
    columns: dict[str, list[Any]] = {"path": [str(n) for n in range(len(files))]}
    for name in ("at", "_received"):
        values = [[row[name] for row in rows if row[name] is not None] if stated else [] for rows, stated in files]
        columns[f"min.{name}"] = [min(each, default=None) for each in values]
        columns[f"max.{name}"] = [max(each, default=None) for each in values]
        columns[f"null_count.{name}"] = [
            sum(row[name] is None for row in rows) if stated else None for rows, stated in files
        ]
    types = {"path": pa.string()} | {n: pa.int64() if n.startswith("null") else STAMP for n in columns if n != "path"}
    columns["partition._date"] = [date(2025, 11, 29)] * len(files)
    types["partition._date"] = pa.date32()
    return Snapshot("t", 0, pa.schema([]), pa.table({name: pa.array(columns[name], types[name]) for name in columns}))
