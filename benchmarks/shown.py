"""How figures are shown: the terminal's tables, and the rows of those that docs/performance.md shows too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

FILE_COLUMNS = ("format", "MB/s", "compressor or writer alone", "ratio", "times smaller than NDJSON")

PARKING_COLUMNS = (
    ("while they wait", ""),
    ("caught up", "members", "seconds", "CPU s", "records/s read", "records/s for members", "times cheaper than alone"),
    ("admission of new ones", "seconds, at ease", "seconds, pressed"),
)


def parking_rows(found: dict[str, Any]) -> tuple[Sequence[tuple[str, ...]], ...]:
    """The rows of the tables of parking, as ``PARKING_COLUMNS``."""
    many, rows = found["tenants"], found["rows"]
    waiting: list[tuple[str, ...]] = [
        ("memory, B a pair", f"{found['memory_bytes_a_pair']:,.0f}"),
        ("record in the commit that parks, B a pair", f"{found['record_bytes_a_pair']:,.0f}"),
        ("CPU in the commit that parks, µs a pair", f"{found['first_commit_us_a_pair']:.1f}"),
        ("CPU of a later commit, ms", f"{found['later_commit_ms']:.3f}"),
        ("the same with nobody parked, ms", f"{found['later_commit_nobody_ms']:.3f}"),
        ("CPU of the loop's look at all, ms", f"{found['tick_ms']:.1f}"),
    ]
    scans: list[tuple[str, ...]] = []
    for members in (1, 100, many):
        wall, used = found[f"shared {members} seconds"], found[f"shared {members} cpu"]
        cheaper = found["alone cpu"] * members / used
        rate, own = rows / wall, rows / many * members / wall
        scans.append(
            ("one scan", f"{members:,}", f"{wall:.2f}", f"{used:.2f}", f"{rate:,.0f}", f"{own:,.0f}", f"{cheaper:,.1f}")
        )
    wall, used = found["alone seconds"], found["alone cpu"]
    rate, own = rows / wall, rows / many / wall
    scans.append(("a scan each", "1", f"{wall:.2f}", f"{used:.2f}", f"{rate:,.0f}", f"{own:,.0f}", "1"))
    admitted = [
        (f"{int(count):,}", f"{each['at ease']:.0f}", f"{each['pressed']:.0f}")
        for count, each in found["admission"].items()
    ]
    return waiting, scans, admitted


def file_rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of the formats' table, as ``FILE_COLUMNS``."""
    return [
        (
            each["format"],
            f"{each['mb_per_second']:.0f}",
            f"{each['alone_mb_per_second']:.0f}" if "ratio" in each else "",
            f"{each['ratio']:.2f}" if "ratio" in each else "",
            f"{each['times_smaller']:.1f}",
        )
        for each in found
    ]


def show(console: Console, tables: Iterable[tuple[str, Sequence[str], Iterable[tuple[str, ...]]]]) -> None:
    """Print tables, each with its title, its columns and its rows."""
    for title, columns, rows in tables:
        table = empty(title, *columns)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def empty(title: str, *columns: str) -> Table:
    """A table without rows; the first column is of words, the others of figures."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table
