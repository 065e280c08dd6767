"""The sink's commit rule, and what it must not lose: a state machine of crashes, revocations, zombies and flushes.

The model: a log that only grows, a table that keeps rows and ``txn`` in one commit, a destination that keeps objects by
their names, each as it was written last, and what transactions stored: the position, and of each job a record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from logflume.block.schema import sorted_schema
from logflume.kafka.intents import JobCursor
from logflume.kafka.parked import ParkedCursor
from logflume.kafka.position import Position
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.sink.budget import Budget
from logflume.sink.buffers import Flight, Pair
from logflume.sink.cuts import Key
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from tests.support.sorted_log import EVENTS, sorted_message
from tests.support.walks import Step

TENANTS = ("acme", "bell", "cole", "nobody")
WANTED = frozenset(TENANTS) - {"nobody"}
JOBS = frozenset({("acme", "one"), ("acme", "two"), ("bell", "one")})


def outlets(jobs: frozenset[Key], tenant: str, dataset: str) -> tuple[Outlet, ...]:
    if tenant not in WANTED or dataset != "events":
        return ()
    names = sorted(name for whose, name in jobs if whose == tenant)
    target = Target("file:///nowhere")
    return (Outlet(tenant), *(Outlet(tenant, j, Job(j, "events", target, FileFormat.CSV)) for j in names))


@dataclass
class FakeTable:
    """Keeps T1 to T5: rows at or past the ``txn`` are stored, together with the new ``txn``."""

    upto: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    def append(self, flight: Flight) -> bool:
        """Return whether there was anything to store."""
        messages, offsets = _rows(flight)
        new = [message for message, offset in zip(messages, offsets, strict=True) if offset >= self.upto]
        if new:
            self.rows.update(new)
            self.upto = max(self.upto, flight.upto)
        return bool(new)


@dataclass
class FakeDestination:
    """One job's objects: a later one of the same name takes the place of the earlier, as in a bucket."""

    objects: dict[str, list[str]] = field(default_factory=dict)

    @property
    def rows(self) -> Counter[str]:
        return Counter(row for rows in self.objects.values() for row in rows)

    def write(self, flight: Flight) -> bool:
        """Return whether the object is a new one."""
        assert flight.intent is not None
        new = flight.intent.name not in self.objects
        messages, offsets = _rows(flight)
        assert flight.intent.start == offsets[0]
        assert flight.intent.end == flight.upto
        # The same name is the same rows, whoever writes: a late zombie must not take any away (J1, J2).
        assert self.objects.setdefault(flight.intent.name, messages) == messages
        return new


def _rows(flight: Flight) -> tuple[list[str], list[int]]:
    offsets = flight.offsets().tolist()
    assert offsets == sorted(offsets)
    assert all(offset < flight.upto for offset in offsets)
    return flight.table()["message"].to_pylist(), offsets


@dataclass(eq=False)
class Flying:
    owner: Partition
    pair: Pair
    flight: Flight


class SinkMachine(RuleBasedStateMachine):
    """One sorted partition with one ingest partition behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = Counter[str]()
        self.log: list[tuple[bytes, list[tuple[str, bytes]]]] = []
        self.blocks: list[dict[str, int]] = []
        self.ingest: list[int] = []
        self.tables = {tenant: FakeTable() for tenant in WANTED}
        self.destinations = {job: FakeDestination() for job in JOBS}
        self.stored = Position(0)
        self.stored_jobs: dict[Key, JobCursor] = {}
        self.stored_parked: dict[Outlet, ParkedCursor] = {}
        self.letters: Counter[int] = Counter()
        self.flying: list[Flying] = []
        self.budget = Budget(1 << 40)
        self.jobs = JOBS
        self.once_gone: set[Key] = set()

    @initialize()
    def start(self) -> None:
        self.partition = self._opened()

    def _opened(self) -> Partition:
        jobs, parked = tuple(self.stored_jobs.values()), tuple(self.stored_parked.values())
        start = Start(self.stored, stored=self.stored.offset > 0, jobs=jobs, parked=parked)
        made = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, self.budget, self.jobs)
        made.configure(partial(outlets, self.jobs))
        return made

    @rule(
        rows=st.dictionaries(st.sampled_from(TENANTS), st.integers(1, 6), min_size=1),
        times=st.sampled_from([1, 1, 2, 20]),
    )
    def sorter_produces(self, rows: dict[str, int], times: int) -> None:
        """Twenty at once make so many small runs that the buffers merge them."""
        for _ in range(times):
            self.ingest.append(len(self.blocks))
            self.log.append(sorted_message(rows, len(self.blocks)))
            self.blocks.append(rows)

    @precondition(lambda self: self.blocks)
    @rule(random=st.randoms())
    def sorter_produces_again(self, random: Random) -> None:
        again = random.randrange(len(self.blocks))
        self.ingest.append(again)
        self.log.append(sorted_message(self.blocks[again], again, session="zombie"))

    @precondition(lambda self: self.partition.position.offset < len(self.log))
    @rule(count=st.integers(1, 40))
    def sink_reads(self, count: int) -> None:
        for _ in range(count):
            offset = self.partition.position.offset
            if offset == len(self.log):
                return
            value, headers = self.log[offset]
            block, _ = self.partition.read(offset, 0, value, headers, partial(outlets, self.jobs), 0.0)
            self.happened["repeat dropped"] += block is None

    def _ready(self) -> list[Pair]:
        return [pair for pair in self.partition.buffers if pair.ripe]

    @precondition(lambda self: self._ready())
    @rule(random=st.randoms())
    def flush_begins(self, random: Random) -> None:
        """As the worker does it: a cut is frozen, and begins when a commit has told Kafka."""
        self._begin(random.choice(self._ready()))

    def _begin(self, pair: Pair) -> None:
        flight = pair.flight or self.partition.take(pair)
        if not pair.waiting:
            pair.flying = True
            self.flying.append(Flying(self.partition, pair, flight))

    @precondition(lambda self: self.flying)
    @rule(random=st.randoms(), how=st.sampled_from(["stored", "failed", "in doubt"]))
    def flush_ends(self, random: Random, how: str) -> None:
        flying = random.choice(self.flying)
        self.flying.remove(flying)
        self._end(flying, how)

    def _end(self, flying: Flying, how: str) -> None:
        zombie, kind = flying.owner.closed, "cut" if flying.flight.intent else "flush"
        if how != "failed":
            outlet = flying.pair.outlet
            if outlet.name:
                new = self.destinations[outlet.tenant, outlet.name].write(flying.flight)
            else:
                new = self.tables[outlet.tenant].append(flying.flight)
            self.happened[f"{'zombie' if zombie else kind} {'stored' if new else 'came too late'}"] += 1
        if zombie:
            return  # stored perhaps, but not heard
        if how == "stored":
            flying.owner.landed(flying.pair)
            return
        self.happened[f"{kind} {how}"] += 1
        flying.owner.failed(flying.pair, 0.0, how)

    @precondition(lambda self: any(pair.outlet.name for pair in self._ready()))
    @rule()
    def all_jobs_come_to_rest(self) -> None:
        """Often ahead of the tables, which then hold the position back."""
        for _ in range(2):
            for pair in [pair for pair in self._ready() if pair.outlet.name]:
                self._begin(pair)
            self.sink_commits(aborted=False)
        for flying in [f for f in self.flying if f.owner is self.partition and f.flight.intent]:
            self.flying.remove(flying)
            self._end(flying, "stored")

    @rule(aborted=st.booleans())
    def sink_commits(self, aborted: bool) -> None:
        position = self.partition.committable()
        if position is None:
            return
        letters, changes = self.partition.letters(position), self.partition.changes(position)
        parkings = self.partition.parkings()
        self.happened[
            "aborted" if aborted else "position moved" if position.offset > self.stored.offset else "told"
        ] += 1
        if not aborted:
            self.letters.update(letter.offset for letter in letters)
            self.stored = position
            for change in changes:
                key = (change.about.tenant, change.about.job)
                assert self.stored_jobs.get(key) == change.before
                if change.cursor is None:
                    del self.stored_jobs[key]
                else:
                    self.stored_jobs[key] = change.cursor
            for parking in parkings:
                assert self.stored_parked.get(parking.outlet) == parking.before
                if parking.cursor is None:
                    del self.stored_parked[parking.outlet]
                else:
                    self.stored_parked[parking.outlet] = parking.cursor
            self.partition.commit(position, changes, parkings)

    @precondition(lambda self: self.partition.position.offset > self.stored.offset)
    @rule(revoked=st.booleans())
    def sink_ends(self, revoked: bool) -> None:
        """Dead, what was flying may still be stored later, by nobody who hears of it. Revoked, it is waited for."""
        own = [each for each in self.flying if each.owner is self.partition]
        self._note_the_end("revoked" if revoked else "crashed", own)
        if revoked:
            for flying in own:
                self.flying.remove(flying)
                self._end(flying, "stored")
            self.sink_commits(aborted=False)
        self.partition.close()
        self.partition = self._opened()

    def _note_the_end(self, how: str, own: list[Flying]) -> None:
        self.happened[f"{how} before a Delta commit"] += any(not each.flight.intent for each in own)
        ahead = any(table.upto > self.stored.offset for table in self.tables.values())
        self.happened[f"{how} between a Delta commit and Kafka's"] += ahead
        self.happened[f"{how} with a frozen cut in Kafka"] += any(each.intent for each in self.stored_jobs.values())

    @rule(gone=st.sets(st.sampled_from(sorted(JOBS)), max_size=2))
    def configuration_changes(self, gone: set[Key]) -> None:
        """A job that is taken out may lack rows for ever; put back, it still has none twice (A5)."""
        before, self.jobs = self.jobs, JOBS - gone
        self.once_gone |= gone
        flying = {(f.pair.outlet.tenant, f.pair.outlet.name) for f in self.flying if f.owner is self.partition}
        self.happened["job taken out while it flies"] += bool(gone & before & flying)
        self.happened["job put back"] += bool(self.jobs - before)
        self.partition.configure(partial(outlets, self.jobs))

    @rule(gone=st.sets(st.sampled_from(sorted(JOBS)), max_size=2))
    def sink_begins_with_other_jobs(self, gone: set[Key]) -> None:
        self.once_gone |= gone
        self.jobs = JOBS - gone
        self.partition.close()
        self.partition = self._opened()

    @invariant()
    def nothing_behind_the_position_is_missing_and_nothing_is_stored_twice(self) -> None:
        first_time = {self.ingest[o]: o for o in range(len(self.log) - 1, -1, -1)}
        rests: dict[str, list[tuple[Counter[str], int]]] = {
            tenant: [(self.tables[tenant].rows, self._upto(Outlet(tenant)))] for tenant in WANTED
        }
        for job, destination in self.destinations.items():
            assert not destination.rows or max(destination.rows.values()) == 1
            if job not in self.once_gone:
                rests[job[0]].append((destination.rows, self._upto(Outlet(*job))))
        for block, rows in enumerate(self.blocks):
            row = 0
            for tenant in sorted(rows):
                for _ in range(rows[tenant]):
                    for found, upto in rests.get(tenant, ()):
                        times = found[f"m{block}.{row}"]
                        assert times <= 1
                        assert times == 1 or first_time[block] >= upto
                    row += 1
        assert set(self.letters.values()) <= {1}

    def _upto(self, outlet: Outlet) -> int:
        """To where Kafka says that all rows of ``outlet`` are durable."""
        parked = self.stored_parked.get(outlet)
        return self.stored.offset if parked is None else parked.position.offset

    def _catch_up(self) -> None:
        """Have everybody live."""

    def teardown(self) -> None:
        """Let everything come to rest: each row is there once in each place, and so is each dead letter."""
        if not hasattr(self, "partition"):
            return
        for flying in self.flying:
            self._end(flying, "stored")
        self.flying.clear()
        self.partition.close()
        self.partition = self._opened()
        self.sink_reads(len(self.log))
        self._catch_up()
        while self.partition.buffers.busy:
            for pair in self._ready():
                self._begin(pair)
            for flying in self.flying:
                self._end(flying, "stored")
            self.flying.clear()
            self.sink_commits(aborted=False)
        self.sink_commits(aborted=False)
        self.nothing_behind_the_position_is_missing_and_nothing_is_stored_twice()
        assert self.stored.offset == len(self.log)
        assert self.stored_jobs == {}
        assert self.stored_parked == {}
        wanted = Counter({t: sum(rows.get(t, 0) for rows in self.blocks) for t in WANTED})
        assert Counter({tenant: table.rows.total() for tenant, table in self.tables.items()}) == wanted
        for job, destination in self.destinations.items():
            assert destination.rows.total() == wanted[job[0]] or job in self.once_gone
        first_time = {self.ingest[o]: o for o in range(len(self.log) - 1, -1, -1)}
        assert set(self.letters) == {first_time[b] for b, rows in enumerate(self.blocks) if "nobody" in rows}
        self.partition.close()
        assert self.budget.used == 0


def steps(machine: SinkMachine, random: Random) -> list[Step]:
    """What makes a history, as often as makes it a deep one."""

    def produce() -> None:
        who = random.sample(TENANTS, random.randint(1, len(TENANTS)))
        machine.sorter_produces({tenant: random.randint(1, 4) for tenant in who}, random.choice([1, 1, 2, 20]))

    def some_jobs() -> set[Key]:
        under_way = [f.pair.outlet for f in machine.flying if f.flight.intent and f.owner is machine.partition]
        keys = sorted((outlet.tenant, outlet.name) for outlet in under_way) or sorted(JOBS)
        return set(random.sample(keys, random.randint(0, 1)))

    def unstored() -> bool:
        return machine.partition.position.offset > machine.stored.offset

    return [
        Step(3, produce),
        Step(1, lambda: machine.sorter_produces_again(random), lambda: machine.blocks),
        Step(
            6,
            lambda: machine.sink_reads(random.randint(1, 8)),
            lambda: machine.partition.position.offset < len(machine.log),
        ),
        Step(8, lambda: machine.flush_begins(random), machine._ready),
        Step(
            8,
            lambda: machine.flush_ends(random, random.choice(["stored", "stored", "stored", "failed", "in doubt"])),
            lambda: machine.flying,
        ),
        Step(8, lambda: machine.sink_commits(random.random() < 0.1)),
        Step(0.7, lambda: machine.sink_ends(random.random() < 0.4), unstored),
        Step(random.choice([0, 0, 1]), lambda: machine.configuration_changes(some_jobs())),
        Step(0.1, lambda: machine.sink_begins_with_other_jobs(some_jobs())),
    ]
