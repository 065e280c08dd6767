"""Which chunks a sorter takes together (invariant B4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from logflume.sort.commit import Range
from logflume.sort.regroup import Cover
from logflume.sort.sorter import next_unit
from logflume.sort.transport import Chunk


@dataclass
class FakeEvent:
    value: Chunk

    def ack(self) -> bool:
        return True


def event(partition: int, first: int, last: int, size: int = 10) -> FakeEvent:
    return FakeEvent(Chunk("ingest", "id", partition, [], size, Range(first, last, 0.0)))


def test_neighbouring_chunks_of_all_partitions_are_sorted_together() -> None:
    waiting = deque([event(0, 0, 9), event(1, 5, 6), event(0, 10, 19)])
    unit = next_unit(waiting, unit_bytes=1000)
    assert unit.covers == [Cover("id", 0, 0, 19), Cover("id", 1, 5, 6)]
    assert not waiting


def test_a_chunk_that_was_fetched_again_goes_into_a_unit_of_its_own() -> None:
    """Twice in one block, its rows would pass every reader: watermarks only drop what an earlier block held."""
    waiting = deque([event(0, 0, 9), event(0, 0, 14)])
    assert next_unit(waiting, unit_bytes=1000).covers == [Cover("id", 0, 0, 9)]
    assert next_unit(waiting, unit_bytes=1000).covers == [Cover("id", 0, 0, 14)]


def test_chunks_with_a_gap_between_them_are_never_said_to_cover_it() -> None:
    """Another sorter may own what lies between: a block that claims it would make readers drop those rows."""
    waiting = deque([event(0, 0, 9), event(0, 20, 29)])
    assert next_unit(waiting, unit_bytes=1000).covers == [Cover("id", 0, 0, 9)]
    assert next_unit(waiting, unit_bytes=1000).covers == [Cover("id", 0, 20, 29)]


def test_a_unit_ends_at_its_size_but_takes_at_least_one_chunk() -> None:
    waiting = deque([event(0, 0, 9, size=500), event(0, 10, 19, size=10)])
    assert len(next_unit(waiting, unit_bytes=100).events) == 1
    assert len(next_unit(waiting, unit_bytes=100).events) == 1
