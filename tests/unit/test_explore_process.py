"""How a query's process sets its engine up for the query that comes."""

from __future__ import annotations

import socket

import pytest

from logflume.explore.engine import process
from logflume.explore.engine.frames import Place, Task


@pytest.mark.parametrize(("gathers", "at_once"), [(False, 3), (True, 6)])
def test_who_reads_all_rows_in_any_case_reads_more_files_at_once(gathers: bool, at_once: int) -> None:
    place = Place(port=1, memory_bytes=100_000_000, cpu_seconds=10, threads=3, confined=False)
    context = process._context(place)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process._run(context, Task("SELECT 1", (), "key", gathers), place, ours)
    [plan] = context.sql("EXPLAIN SELECT x, count(*) FROM (VALUES (1), (2)) t(x) GROUP BY x").collect()
    assert any(f"Hash([x@0], {at_once})" in text for text in plan.column(1).to_pylist())
