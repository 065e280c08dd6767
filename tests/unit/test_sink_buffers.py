"""Rows in memory: counted, in order, and in one place each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.model import Outlet
from logflume.sink.budget import Budget
from logflume.sink.buffers import Buffers, Flight
from logflume.sink.held import Run, Segment, hold

SCHEMA = pa.schema([("tenant", pa.string()), ("offset", pa.int64()), ("row", pa.int64())])


def block(offset: int, runs: dict[str, int]) -> tuple[pa.RecordBatch, list[Run]]:
    tenants = [tenant for tenant, rows in runs.items() for _ in range(rows)]
    columns = [tenants, [offset] * len(tenants), list(range(len(tenants)))]
    batch = pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    starts = np.cumsum([0, *runs.values()])
    return batch, [Run(t, int(s), n, (Outlet(t),)) for (t, n), s in zip(runs.items(), starts, strict=False)]


def held(offset: int, runs: dict[str, int], budget: Budget) -> list[tuple[Outlet, Segment]]:
    batch, cut = block(offset, runs)
    return hold(batch, offset, cut, budget)


def rows(flight: Flight) -> list[tuple[str, int, int]]:
    table = flight.table()
    assert table["offset"].to_pylist() == flight.offsets().tolist()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture
def budget() -> Budget:
    return Budget(1 << 30)


def test_rows_of_a_failed_flight_come_before_those_that_came_since(budget: Budget) -> None:
    buffers = Buffers(budget)
    [pair] = buffers.add(held(1, {"a": 2}, budget), 0.0)
    buffers.take(pair, 2)
    buffers.add(held(2, {"a": 1}, budget), 5.0)
    buffers.failed(pair, 9.0, "store away")
    assert (pair.since, pair.rows, pair.retry_at, buffers.held) == (0.0, 3, 9.0, 1)
    assert rows(buffers.take(pair, 3)) == [("a", 1, 0), ("a", 1, 1), ("a", 2, 0)]


def test_the_lowest_offset_that_is_not_durable_is_held_also_while_it_flies(budget: Budget) -> None:
    buffers = Buffers(budget)
    a, b = buffers.add(held(1, {"a": 1, "b": 1}, budget), 0.0)
    buffers.add(held(2, {"a": 1}, budget), 0.0)
    buffers.take(a, 3)
    buffers.take(b, 3)
    buffers.landed(b)
    assert buffers.held == 1
    assert (buffers.holders(1), buffers.holders(2)) == ([], [a])
    buffers.landed(a)
    assert buffers.held is None
    assert budget.used == 0


def test_a_pair_has_one_flight_at_a_time(budget: Budget) -> None:
    buffers = Buffers(budget)
    [pair] = buffers.add(held(1, {"a": 1}, budget), 0.0)
    buffers.take(pair, 2)
    buffers.add(held(2, {"a": 1}, budget), 0.0)
    with pytest.raises(ValueError, match="flight already"):
        buffers.take(pair, 3)


def test_a_failing_pair_is_told_until_it_lands(budget: Budget) -> None:
    buffers = Buffers(budget)
    [pair] = buffers.add(held(1, {"a": 1}, budget), 0.0)
    buffers.take(pair, 2)
    buffers.failed(pair, 0.0, "away")
    assert list(buffers.failing()) == [pair]
    assert buffers.failing_bytes == pair.bytes > 0
    buffers.take(pair, 2)
    assert buffers.failing_bytes > 0
    buffers.landed(pair)
    assert not buffers.failing()


def test_small_runs_of_a_block_with_large_ones_do_not_pin_it(budget: Budget) -> None:
    (_, large), (_, small), (_, other) = held(7, {"big": 9000, "s": 1, "t": 1}, budget)
    assert small.held is other.held
    assert small.held is not large.held
    whole = budget.used
    large.held.release()
    assert budget.used < whole / 5


def test_a_block_of_small_runs_is_not_copied(budget: Budget) -> None:
    segments = held(7, {f"t{n}": 10 for n in range(10)}, budget)
    assert len({id(segment.held) for _, segment in segments}) == 1
    assert segments[0][1].held.batch.num_rows == 100


def test_a_held_batch_is_given_back_when_its_last_segment_is_released(budget: Budget) -> None:
    segments = held(7, {"a": 10, "b": 10}, budget)
    used = budget.used
    segments[0][1].held.release()
    assert budget.used == used
    segments[1][1].held.release()
    assert budget.used == 0


def test_many_small_segments_are_merged_into_one_a_tenant(budget: Budget) -> None:
    buffers = Buffers(budget)
    tenants = {f"t{n}": 1 + n % 3 for n in range(50)}
    for offset in range(20):
        pairs = buffers.add(held(offset, tenants, budget), float(offset))
    flight = buffers.take(pairs[0], 20)
    assert len(flight.segments) == 1
    assert all(len(pair.segments) == 1 for pair in pairs[1:])
    assert all(pair.first == 0 for pair in pairs)


blocks = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(blocks=blocks, flushes=st.lists(st.integers(0, 60), max_size=8))
def test_however_blocks_are_cut_and_merged_each_row_flies_once_and_in_order(
    blocks: list[dict[str, int]], flushes: list[int]
) -> None:
    budget = Budget(1 << 30)
    buffers = Buffers(budget)
    flown: list[tuple[str, int, int]] = []

    def fly(upto: int) -> None:
        for pair in list(buffers):
            found = rows(buffers.take(pair, upto))
            assert {tenant for tenant, *_ in found} == {pair.tenant}
            assert found == sorted(found)
            flown.extend(found)
            buffers.landed(pair)

    for offset, runs in enumerate(blocks):
        buffers.add(held(offset, runs, budget), 0.0)
        if offset in flushes:
            fly(offset + 1)
    fly(len(blocks))
    numbered = [
        (tenant, offset, row)
        for offset, runs in enumerate(blocks)
        for row, tenant in enumerate(tenant for tenant, count in runs.items() for _ in range(count))
    ]
    assert sorted(flown) == sorted(numbered)
    assert budget.used == 0
