"""Shards change while sorters crash, cut anew, go on as zombies and lag behind in their configuration: each row once.

Everything that decides is real: the publisher's plan of routes, the wait for a generation, the regrouping, the reader.
The model is the ingest log with its markers, and what the group has committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logflume import contract
from logflume.block.schema import RECEIVED
from logflume.block.sorted import Coordinate
from logflume.config.shards import Ingest, planned
from logflume.errors import Unconfigured
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model import Configuration, Tenant, TenantDataset, load
from logflume.sort.gather import Gathered
from logflume.sort.regroup import Cover, Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.routing import Routing
from tests.support.generations import Generations
from tests.support.ingest import TOPIC_ID
from tests.support.schedules import examples
from tests.support.walks import Step, Walk, often, walks

EVENTS = load(contract.find())["events"]
SORTED = 4
TENANTS = ["whale", "minnow"]
TOPIC = "ingest.events"
Row = tuple[str, int, int, int]
"""Tenant, ingest partition, offset, row number."""


def rows_of(partition: int, offset: int) -> list[Row]:
    """What one ingest message holds: mostly the whale's rows."""
    return [(TENANTS[(offset + row) % 3 == 0], partition, offset, row) for row in range((offset + partition) % 3)]


def gathered(rows: list[Row], marked: frozenset[int]) -> Gathered:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([0] * len(rows), pa.int64()).cast(RECEIVED.type), pa.nulls(len(rows), pa.string())],
        names=["_received", "_extra"],
    )
    codes = np.array([TENANTS.index(row[0]) for row in rows], np.int32)
    places = [np.array([row[at] for row in rows], kind) for at, kind in ((1, np.int32), (2, np.int64), (3, np.int32))]
    return Gathered(batch, list(TENANTS), codes, *places, [], marked=marked)


@dataclass
class Session:
    """A sorter: where it reads each ingest partition, which generation it must have there, and which it has."""

    name: str
    position: dict[int, int]
    routing: dict[int, int]
    source: Generations
    previous: dict[tuple[int, int], Coordinate] = field(default_factory=dict)


class RoutingMachine(RuleBasedStateMachine):
    """Ingest partitions that grow in number, four sorted partitions, any number of sessions alive at once."""

    @initialize()
    def begin(self) -> None:
        self.happened = Counter[str]()
        self.markers: list[dict[int, int]] = [{}, {}]  # by ingest partition: offset of each marker, and its generation
        self.ends = [0, 0]
        self.begins = [0, 0]
        self.committed: dict[int, tuple[int, int]] = {}
        self.generations: list[Configuration] = []
        self.sorted: list[list[tuple[bytes, list[tuple[str, bytes]]]]] = [[] for _ in range(SORTED)]
        self.readers = [SortedPartition("sorted", "sid", p, Position(0)) for p in range(SORTED)]
        self.seen: list[tuple[int, Row]] = []
        self.named = 0
        self.publish(1)
        self.sessions = [self.session(0)]

    def session(self, back: int | None = None) -> Session:
        """``back``: how old the configuration is that it comes up with; None: it has none."""
        present = None if back is None else self.generations[max(0, len(self.generations) - 1 - back)]
        self.named += 1
        name = f"s{self.named}"
        places = {p: self.place(p) for p in range(len(self.ends))}
        position = {p: offset for p, (offset, _) in places.items()}
        routing = {p: noted for p, (_, noted) in places.items()}
        return Session(name, position, routing, Generations(present))

    def place(self, partition: int) -> tuple[int, int]:
        """Where a session begins to read a partition, and the generation it must have there (T8)."""
        offset, noted = self.committed.get(partition, (0, 0))
        if offset < self.begins[partition]:
            return self.begins[partition], self.newest()
        return offset, noted

    def newest(self) -> int:
        return self.generations[-1].generation if self.generations else 0

    def publish(self, shards: int) -> None:
        before = self.generations[-1] if self.generations else None
        wanted = {"events": TenantDataset("events", 30, shards)} if shards else {}
        tenants: Mapping[str, Tenant] = {
            "whale": Tenant("whale", wanted),
            "minnow": Tenant("minnow", {"events": TenantDataset("events", 30)}),
        }
        plan = planned(before, tenants, {"events": Ingest(TOPIC, TOPIC_ID, tuple(self.begins), SORTED)})
        generation = self.newest() + 1
        offsets = {}
        self.happened["shards changed"] += bool(plan.markers())
        for topic, partition in plan.markers():
            self.markers[partition][self.ends[partition]] = generation
            offsets[topic, partition] = self.ends[partition]
            self.ends[partition] += 1
        after, retired = plan.begun(generation, offsets)
        self.generations.append(Configuration(generation, "", after, 0, retired))

    def messages_come_in(self) -> None:
        """Before and behind each marker, so that no step is spent on it."""
        self.ends = [end + 3 for end in self.ends]

    @rule(shards=st.sampled_from([1, 2, 4, 0]))
    def the_whale_gets_other_shards_or_is_taken_out(self, shards: int) -> None:
        self.messages_come_in()
        self.publish(shards)
        self.messages_come_in()

    @rule()
    def the_ingest_topic_grows(self) -> None:
        if len(self.ends) < 4:
            self.happened["ingest topic grew"] += 1
            self.ends.append(0)
            self.begins.append(0)
            self.markers.append({})

    @rule(partition=st.integers(0, 9))
    def retention_takes_what_was_sorted(self, partition: int) -> None:
        partition %= len(self.ends)
        before, self.begins[partition] = self.begins[partition], self.committed.get(partition, (0, 0))[0]
        self.happened["retention took rows"] += self.begins[partition] > before
        gone = (offset for offset in self.markers[partition] if before <= offset < self.begins[partition])
        self.happened["retention took a marker"] += any(gone)

    @rule(which=st.integers(0, 2), back=st.integers(0, 2))
    def a_sorter_takes_up_a_configuration(self, which: int, back: int) -> None:
        """Perhaps not the newest; but never an older one than it has."""
        source = self.sessions[which % len(self.sessions)].source
        offered = self.generations[max(0, len(self.generations) - 1 - back)]
        if source.present is None or offered.generation > source.present.generation:
            source.present = offered
            self.happened["configuration taken up"] += 1
            self.happened["configuration taken up that is not the newest"] += offered is not self.generations[-1]

    @rule(which=st.integers(0, 2), size=st.sampled_from([3, 7, 20]), crash=st.sampled_from([99, 99, 1, 2]))
    def a_sorter_produces_its_next_unit_perhaps_not_all_of_it(self, which: int, size: int, crash: int) -> None:
        session = self.sessions[which % len(self.sessions)]
        covers = []
        for partition in range(len(self.ends)):
            if partition not in session.position or session.position[partition] < self.begins[partition]:
                session.position[partition], session.routing[partition] = self.place(partition)
            first = session.position[partition]
            if end := min(size, self.ends[partition] - first):
                covers.append(Cover(TOPIC_ID, partition, first, first + end - 1))
        places = [(c.partition, offset) for c in covers for offset in range(c.first, c.last + 1)]
        marked = frozenset(self.markers[p][offset] for p, offset in places if offset in self.markers[p])
        rows = [row for p, offset in places if offset not in self.markers[p] for row in rows_of(p, offset)]
        routes = RoutesInForce("events", session.source, self.newest, lambda: True)
        try:
            in_force = routes.at_least(max((session.routing[c.partition] for c in covers), default=0), marked)
        except Unconfigured:
            self.happened["waited for a generation"] += 1
            return
        self.happened["marker passed"] += bool(marked)
        self.happened["produced"] += bool(rows)
        self.happened["produced by a zombie"] += bool(rows) and session is not self.sessions[0]
        regrouper = Regrouper(EVENTS, TOPIC, TOPIC_ID, session.name, Routing("events", SORTED), 1 << 20)
        rounds = regrouper.regroup(gathered(rows, marked), covers, session.previous, in_force.routes)
        pieces = [piece for pieces in rounds for piece in pieces]
        for piece in pieces[: crash if crash < len(pieces) else None]:
            self.sorted[piece.partition].append((piece.value, piece.headers))
            for source in piece.sources:
                session.previous[piece.partition, source.partition] = source.last
        if crash < len(pieces):
            self.happened["crashed between two pieces"] += 1
            self.sessions.remove(session)
            self.sessions.append(self.session(0))
            return
        for cover in covers:
            session.position[cover.partition] = cover.last + 1
            session.routing[cover.partition] = max(session.routing[cover.partition], in_force.passed)

    @rule(which=st.integers(0, 2))
    def a_sorter_commits_what_it_has_produced(self, which: int) -> None:
        session = self.sessions[which % len(self.sessions)]
        for partition, offset in session.position.items():
            if offset > self.committed.get(partition, (0, 0))[0]:
                self.committed[partition] = (offset, session.routing[partition])
                self.happened["committed"] += 1

    @rule(back=st.none() | st.integers(0, 2))
    def a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies(self, back: int | None) -> None:
        self.happened["begun behind a marker"] += any(noted for _, noted in self.committed.values())
        self.sessions = [self.session(back), *self.sessions][:3]

    @rule()
    def the_readers_read_on(self) -> None:
        for number, reader in enumerate(self.readers):
            for offset in range(reader.position.offset, len(self.sorted[number])):
                value, headers = self.sorted[number][offset]
                rows = returned(reader.read(offset, 0, value, headers))
                self.happened["read"] += bool(rows)
                self.happened["repeats dropped"] += len(rows) < int(dict(headers)["rows"])
                self.seen += [(number, row) for row in rows]

    @invariant()
    def no_row_is_returned_twice_by_whatever_partition(self) -> None:
        if hasattr(self, "seen"):
            assert len({row for _, row in self.seen}) == len(self.seen)

    def teardown(self) -> None:
        if not hasattr(self, "seen"):
            return
        self.sessions = [self.session()]
        self.sessions[0].source.present = self.generations[-1]
        self.a_sorter_produces_its_next_unit_perhaps_not_all_of_it(0, 999, 99)
        self.the_readers_read_on()
        self.no_row_is_returned_twice_by_whatever_partition()
        expected = {
            row
            for partition, end in enumerate(self.ends)
            for offset in range(end)
            if offset not in self.markers[partition]
            for row in rows_of(partition, offset)
        }
        assert {row for _, row in self.seen} == expected
        latest: dict[tuple[int, str, int], Coordinate] = {}
        for number, (tenant, partition, *coordinate) in self.seen:
            place, at = (number, tenant, partition), (coordinate[0], coordinate[1])
            assert at > latest.get(place, (-1, -1)), "a tenant's rows of one way stand in the order of their arrival"
            latest[place] = at


def returned(read: Any) -> list[Row]:
    """Every row of a SortedBlock, its tenant taken from the runs."""
    if read is None:
        return []
    tenants = np.repeat(read.runs.tenants, read.runs.rows).tolist()
    columns = [read.batch.column(name).to_pylist() for name in ("_src_partition", "_src_offset", "_src_row")]
    return [(tenant, *place) for tenant, *place in zip(tenants, *columns, strict=True)]


RoutingMachine.TestCase.settings = settings(max_examples=examples(80), stateful_step_count=40, deadline=None)
TestRoutingChanges = RoutingMachine.TestCase

OFTEN = {
    "shards changed": 300,
    "configuration taken up": 250,
    "configuration taken up that is not the newest": 80,
    "waited for a generation": 300,
    "marker passed": 250,
    "produced": 500,
    "produced by a zombie": 100,
    "crashed between two pieces": 60,
    "committed": 250,
    "begun behind a marker": 100,
    "read": 500,
    "repeats dropped": 500,
    "retention took rows": 80,
    "retention took a marker": 60,
    "ingest topic grew": 30,
}


def _begin(random: Random) -> Walk:
    machine = RoutingMachine()
    machine.begin()

    def somebody() -> int:
        """Mostly the newest."""
        return random.choice([0, 0, random.randrange(len(machine.sessions))])

    def produce() -> None:
        crash = random.choice([99, 99, 99, 99, 1, 2])
        machine.a_sorter_produces_its_next_unit_perhaps_not_all_of_it(somebody(), random.choice([3, 7, 20]), crash)

    def begin() -> None:
        machine.a_new_sorter_begins_at_the_commit_and_the_old_ones_go_on_as_zombies(random.choice([None, 0, 1, 2]))

    steps = [
        Step(2, lambda: machine.the_whale_gets_other_shards_or_is_taken_out(random.choice([1, 2, 4, 0]))),
        Step(0.5, machine.messages_come_in),
        Step(0.3, machine.the_ingest_topic_grows),
        Step(1.5, lambda: machine.retention_takes_what_was_sorted(random.randrange(9))),
        Step(5, lambda: machine.a_sorter_takes_up_a_configuration(somebody(), random.choice([0, 0, 1, 2]))),
        Step(8, produce),
        Step(2, lambda: machine.a_sorter_commits_what_it_has_produced(somebody())),
        Step(1.5, begin),
        Step(2, machine.the_readers_read_on),
    ]
    return Walk(machine, steps, [machine.no_row_is_returned_twice_by_whatever_partition])


def test_each_row_comes_once_however_often_its_way_changes() -> None:
    happened = walks(_begin, range(examples(40)), 150)
    often(happened, OFTEN)
