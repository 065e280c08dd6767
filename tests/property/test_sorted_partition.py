"""SortedPartition against a model: sorters crash, cut anew and go on as zombies; readers start again anywhere.

The model is the ingest log itself. A reader that has read all must have returned each row exactly once, in any history
that stop-and-wait sorters can write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logflume.block.schema import sorted_schema
from logflume.block.sorted import Coordinate, Runs, SortedMeta, Source, encode_sorted
from logflume.errors import Hole, Refused
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model import Dataset, Field, FieldType
from tests.support.schedules import examples
from tests.support.walks import Step, Walk, often, walks

DATASET = Dataset("d", (Field("t", FieldType.TIMESTAMP), Field("n", FieldType.INT)), time_field="t")
SCHEMA = sorted_schema(DATASET)
WHOLE = 2**31 - 1
TENANTS = ["ada", "bob", "cyd"]
Row = tuple[str, int, int, int]
"""Tenant, ingest partition, offset, row number."""


def rows_of(partition: int, offset: int) -> list[Row]:
    """What one ingest message holds: a pure function of its place; some hold nothing for this sorted partition."""
    return [(TENANTS[(offset * 7 + row) % 3], partition, offset, row) for row in range((offset * 5 + partition) % 4)]


def block(rows: list[Row], sources: tuple[Source, ...], session: str = "s") -> tuple[bytes, list[tuple[str, bytes]]]:
    rows = sorted(rows, key=lambda row: row[0])
    counts = Counter(row[0] for row in rows)
    columns = {
        "_received": pa.array([0] * len(rows), pa.int64()).cast(SCHEMA.field("_received").type),
        "t": pa.nulls(len(rows), SCHEMA.field("t").type),
        "n": pa.array([row[2] for row in rows], pa.int64()),
        "_extra": pa.nulls(len(rows), pa.string()),
        "_src_topic": pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int8()), pa.array(["topic"])),
        "_src_partition": pa.array([row[1] for row in rows], pa.int32()),
        "_src_offset": pa.array([row[2] for row in rows], pa.int64()),
        "_src_row": pa.array([row[3] for row in rows], pa.int32()),
    }
    batch = pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    runs = Runs(list(counts), list(counts.values()))
    return encode_sorted(batch, SortedMeta("d", session, sources, runs))


def returned(read: object) -> list[Row]:
    """Every row of a SortedBlock, its tenant taken from the runs."""
    if read is None:
        return []
    tenants = np.repeat(read.runs.tenants, read.runs.rows).tolist()  # type: ignore[attr-defined]
    columns = [read.batch.column(name).to_pylist() for name in SCHEMA.names[-3:]]  # type: ignore[attr-defined]
    return [(tenant, *place) for tenant, *place in zip(tenants, *columns, strict=True)]  # type: ignore[misc]


@dataclass
class Session:
    """A sorter: where it goes on reading each ingest partition, and where its ranges for this partition ended."""

    name: str
    position: dict[int, int]
    previous: dict[int, Coordinate] = field(default_factory=dict)


class SortedPartitionMachine(RuleBasedStateMachine):
    """Two ingest partitions, one sorted partition, any number of sessions alive at once."""

    @initialize()
    def begin(self) -> None:
        self.happened = Counter[str]()
        self.log: list[tuple[bytes, list[tuple[str, bytes]]]] = []
        self.committed = {0: 0, 1: 0}
        self.produced = {0: 0, 1: 0}
        self.begun = {0: 0, 1: 0}
        self.sessions: list[Session] = [Session("s0", {0: 0, 1: 0})]
        self.named = 0
        self.stored = Position(0)
        self.reader = SortedPartition("sorted", "sid", 0, Position(0))
        self.durable: list[Row] = []
        self.since: list[Row] = []

    def produce(
        self, session: Session, ranges: dict[int, tuple[Coordinate, Coordinate]], cut: int, crash: bool = False
    ) -> bool:
        """Return whether all of it was produced; ``crash``: between two blocks, if there are two."""
        rows = [
            row
            for partition, (first, last) in ranges.items()
            for offset in range(first[0], last[0] + 1)
            for row in rows_of(partition, offset)
            if first <= (row[2], row[3]) <= last
        ]
        if not rows:
            return True
        if 0 < cut < len(rows) and len(ranges) == 1:  # cut by coordinates, inside a message if need be
            [(partition, (first, last))] = ranges.items()
            end, begin = rows[cut - 1][2:], rows[cut][2:]
            self.produce(session, {partition: (first, end)}, 0)
            if crash:
                self.happened["crashed inside a message"] += end[0] == begin[0]
                return False
            self.happened["cut inside a message"] += end[0] == begin[0]
            return self.produce(session, {partition: (begin, last)}, 0)
        sources = tuple(
            Source("topic", partition, first, last, session.previous.get(partition))
            for partition, (first, last) in ranges.items()
        )
        self.log.append(block(rows, sources, session.name))
        for partition, (_, last) in ranges.items():
            session.previous[partition] = last
        return True

    @rule(
        which=st.integers(0, 9),
        sizes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
        cut=st.integers(0, 6),
        crash=st.booleans(),
    )
    def a_sorter_produces_its_next_range(self, which: int, sizes: tuple[int, int], cut: int, crash: bool) -> None:
        """Perhaps not all of it: then another begins at the commit."""
        session = self.sessions[which % len(self.sessions)]
        starts = {p: session.position[p] for p, size in enumerate(sizes) if size}
        ranges = {p: ((start, 0), (start + sizes[p] - 1, WHOLE)) for p, start in starts.items()}
        for partition, start in starts.items():
            self.begun[partition] = max(self.begun[partition], start + sizes[partition])
        if not self.produce(session, ranges, cut, crash):
            self.sessions.remove(session)
            self.a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies()
            return
        for partition, start in starts.items():
            again = start < self.produced[partition]
            self.happened["produced again by a new sorter"] += again and session is self.sessions[-1]
            self.happened["produced by a zombie"] += session is not self.sessions[-1]
            session.position[partition] = end = start + sizes[partition]
            self.produced[partition] = max(self.produced[partition], end)

    @rule(which=st.integers(0, 9))
    def a_sorter_commits_what_it_has_produced(self, which: int) -> None:
        session = self.sessions[which % len(self.sessions)]
        for partition, offset in session.position.items():
            self.happened["committed"] += offset > self.committed[partition]
            self.committed[partition] = max(self.committed[partition], offset)

    @rule()
    def a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies(self) -> None:
        self.happened["begun behind what was produced"] += self.committed != self.produced
        self.named += 1
        self.sessions.append(Session(f"s{self.named}", dict(self.committed)))

    @rule(which=st.integers(0, 9))
    def a_sorter_gets_its_partitions_back(self, which: int) -> None:
        session = self.sessions[which % len(self.sessions)]
        self.happened["gone back"] += session.position != self.committed
        session.position = dict(self.committed)

    @rule(count=st.integers(1, 5))
    def the_reader_reads_on(self, count: int) -> None:
        for _ in range(count):
            offset = self.reader.position.offset
            if offset < len(self.log):
                value, headers = self.log[offset]
                rows = returned(self.reader.read(offset, 0, value, headers))
                sent = int(dict(headers)["rows"])
                self.happened["read"] += len(rows) == sent
                self.happened["read in part"] += 0 < len(rows) < sent
                self.happened["all repeats"] += not rows
                self.since += rows

    @rule()
    def the_reader_stores_its_position(self) -> None:
        self.stored = self.reader.position
        self.durable += self.since
        self.since = []

    @rule()
    def the_reader_crashes_and_starts_from_what_is_stored(self) -> None:
        self.happened["crashed with rows not stored"] += bool(self.since)
        self.happened["started from the middle"] += 0 < self.stored.offset < len(self.log)
        self.reader = SortedPartition("sorted", "sid", 0, self.stored)
        self.since = []

    @invariant()
    def no_row_is_returned_twice(self) -> None:
        if hasattr(self, "since"):
            rows = self.durable + self.since
            assert len(rows) == len(set(rows))

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies()
        sizes = (self.begun[0] - self.committed[0], self.begun[1] - self.committed[1])
        self.a_sorter_produces_its_next_range(len(self.sessions) - 1, sizes, 0, False)
        self.the_reader_reads_on(len(self.log))
        assert self.produced == self.begun
        expected = {
            row
            for partition, end in self.produced.items()
            for offset in range(end)
            for row in rows_of(partition, offset)
        }
        assert set(self.durable + self.since) == expected


SortedPartitionMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
TestSortedPartition = SortedPartitionMachine.TestCase

OFTEN = {
    "read": 300,
    "read in part": 30,
    "all repeats": 200,
    "committed": 100,
    "cut inside a message": 30,
    "crashed inside a message": 10,
    "produced again by a new sorter": 100,
    "produced by a zombie": 100,
    "begun behind what was produced": 40,
    "gone back": 40,
    "crashed with rows not stored": 40,
    "started from the middle": 40,
}


def _begin(random: Random) -> Walk:
    machine = SortedPartitionMachine()
    machine.begin()

    def somebody() -> int:
        """Mostly the newest."""
        newest = len(machine.sessions) - 1
        return random.choice([newest, newest, random.randint(0, newest)])

    def produce() -> None:
        sizes = random.choice([(0, random.randint(1, 4)), (random.randint(1, 4), 0), (2, 3)])
        machine.a_sorter_produces_its_next_range(
            somebody(), sizes, random.choice([0, 0, 1, 2, 3]), random.random() < 0.2
        )

    steps = [
        Step(8, produce),
        Step(4, lambda: machine.a_sorter_commits_what_it_has_produced(somebody())),
        Step(1, machine.a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies),
        Step(1, lambda: machine.a_sorter_gets_its_partitions_back(somebody())),
        Step(
            6,
            lambda: machine.the_reader_reads_on(random.randint(1, 5)),
            lambda: machine.reader.position.offset < len(machine.log),
        ),
        Step(3, machine.the_reader_stores_its_position),
        Step(1.5, machine.the_reader_crashes_and_starts_from_what_is_stored),
    ]
    return Walk(machine, steps, [machine.no_row_is_returned_twice])


def test_each_row_comes_once_in_long_histories() -> None:
    happened = walks(_begin, range(examples(24)), 100)
    often(happened, OFTEN)


def one(first: int, last: int, previous: Coordinate | None) -> tuple[bytes, list[tuple[str, bytes]]]:
    rows = [(TENANTS[0], 0, offset, 0) for offset in range(first, last + 1)]
    return block(rows, (Source("topic", 0, (first, 0), (last, WHOLE), previous),))


def test_a_missing_range_is_a_hole_and_nothing_is_read_past_it() -> None:
    reader = SortedPartition("sorted", "sid", 0, Position(0))
    reader.read(0, 0, *one(0, 9, None))
    with pytest.raises(Hole, match=r"sorted\[0\]@1.*\(19, 2147483647\).*\(9, 2147483647\)"):
        reader.read(1, 0, *one(20, 29, (19, WHOLE)))
    assert reader.position.offset == 1


def test_a_range_that_retention_removed_is_no_hole_but_the_next_missing_one_is() -> None:
    start = Position(0).advanced(1, ((("topic", 0), (9, WHOLE)),)).lost_until(5)
    reader = SortedPartition("sorted", "sid", 0, start)
    assert reader.read(5, 0, *one(20, 29, (19, WHOLE))) is not None
    with pytest.raises(Hole):
        reader.read(6, 0, *one(40, 49, (39, WHOLE)))


def test_rows_of_a_range_cut_anew_come_once() -> None:
    reader = SortedPartition("sorted", "sid", 0, Position(0))
    assert len(returned(reader.read(0, 0, *one(0, 9, None)))) == 10
    again = reader.read(1, 0, *one(5, 14, None))
    assert [row[2] for row in returned(again)] == [10, 11, 12, 13, 14]
    assert reader.read(2, 0, *one(0, 14, None)) is None
    assert reader.position.offset == 3


def test_the_same_offsets_of_another_topic_id_are_other_rows() -> None:
    reader = SortedPartition("sorted", "sid", 0, Position(0).advanced(0, ((("older", 0), (99, WHOLE)),)))
    assert len(returned(reader.read(0, 0, *one(0, 9, None)))) == 10


def test_a_reader_never_goes_back() -> None:
    reader = SortedPartition("sorted", "sid", 0, Position(7))
    with pytest.raises(Refused, match="never goes back"):
        reader.read(6, 0, *one(0, 9, None))


def test_what_is_no_sorted_block_names_its_place() -> None:
    reader = SortedPartition("sorted", "sid", 3, Position(0))
    with pytest.raises(Refused, match=r"sorted\[3\]@0"):
        reader.read(0, 0, b"nonsense", [("logflume-block", b"1")])
