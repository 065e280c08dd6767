"""The sink's commit rule against crashes, revocations, zombies and flushes that end in any order, or in doubt.

The model: a log that only grows, a table that keeps rows and ``txn`` in one commit, and what a transaction stored.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from logflume.block.schema import sorted_schema
from logflume.kafka.position import Position
from logflume.sink.budget import Budget
from logflume.sink.buffers import Flight, Pair
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from tests.support.sorted_log import EVENTS, sorted_message

TENANTS = ("acme", "bell", "cole", "nobody")
WANTED = frozenset(TENANTS) - {"nobody"}


def wants(tenant: str, dataset: str) -> bool:
    return tenant in WANTED and dataset == "events"


@dataclass
class FakeTable:
    """Keeps T1 to T5: rows at or past the ``txn`` are stored, together with the new ``txn``."""

    upto: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    def append(self, flight: Flight) -> None:
        table = flight.table()
        messages = table["message"].to_pylist()
        offsets = flight.offsets().tolist()
        assert offsets == sorted(offsets)
        assert all(offset < flight.upto for offset in offsets)
        new = [message for message, offset in zip(messages, offsets, strict=True) if offset >= self.upto]
        if new:
            self.rows.update(new)
            self.upto = max(self.upto, flight.upto)


@dataclass(eq=False)
class Flying:
    owner: Partition
    pair: Pair
    flight: Flight


class SinkMachine(RuleBasedStateMachine):
    """One sorted partition with one ingest partition behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[bytes, list[tuple[str, bytes]]]] = []
        self.blocks: list[dict[str, int]] = []
        self.ingest: list[int] = []
        self.tables = {tenant: FakeTable() for tenant in WANTED}
        self.stored = Position(0)
        self.letters: Counter[int] = Counter()
        self.flying: list[Flying] = []
        self.budget = Budget(1 << 40)

    @initialize()
    def start(self) -> None:
        self.partition = self._opened()

    def _opened(self) -> Partition:
        start = Start(self.stored, stored=self.stored.offset > 0)
        return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, self.budget)

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
    @rule(data=st.data())
    def sorter_produces_again(self, data: st.DataObject) -> None:
        again = data.draw(st.integers(0, len(self.blocks) - 1))
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
            self.partition.read(offset, 0, value, headers, wants, 0.0)

    def _ready(self) -> list[Pair]:
        return [pair for pair in self.partition.buffers if pair.segments and pair.flight is None]

    @precondition(lambda self: self._ready())
    @rule(data=st.data())
    def flush_begins(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self._ready()))
        flight = self.partition.buffers.take(pair, self.partition.position.offset)
        self.flying.append(Flying(self.partition, pair, flight))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), how=st.sampled_from(["stored", "failed", "in doubt"]))
    def flush_ends(self, data: st.DataObject, how: str) -> None:
        flying = data.draw(st.sampled_from(self.flying))
        self.flying.remove(flying)
        self._end(flying, how)

    def _end(self, flying: Flying, how: str) -> None:
        if how != "failed":
            self.tables[flying.pair.tenant].append(flying.flight)
        if flying.owner.closed:
            return  # a zombie's: stored perhaps, but not heard
        if how == "stored":
            flying.owner.buffers.landed(flying.pair)
        else:
            flying.owner.buffers.failed(flying.pair, 0.0, how)

    @rule(aborted=st.booleans())
    def sink_commits(self, aborted: bool) -> None:
        position = self.partition.committable()
        if position is None:
            return
        letters = self.partition.letters(position)
        if not aborted:
            self.letters.update(letter.offset for letter in letters)
            self.stored = position
            self.partition.commit(position)

    @precondition(lambda self: self.partition.position.offset > self.stored.offset)
    @rule(revoked=st.booleans())
    def sink_ends(self, revoked: bool) -> None:
        """Dead, what was flying may still be stored later, by nobody who hears of it. Revoked, it is waited for."""
        if revoked:
            for flying in [each for each in self.flying if each.owner is self.partition]:
                self.flying.remove(flying)
                self._end(flying, "stored")
            self.sink_commits(aborted=False)
        self.partition.close()
        self.partition = self._opened()

    @invariant()
    def nothing_behind_the_position_is_missing_and_nothing_is_stored_twice(self) -> None:
        first_time = {self.ingest[o]: o for o in range(len(self.log) - 1, -1, -1)}
        for block, rows in enumerate(self.blocks):
            row = 0
            for tenant in sorted(rows):
                for _ in range(rows[tenant]):
                    if tenant in WANTED:
                        times = self.tables[tenant].rows[f"m{block}.{row}"]
                        assert times <= 1
                        assert times == 1 or first_time[block] >= self.stored.offset
                    row += 1
        assert set(self.letters.values()) <= {1}

    def teardown(self) -> None:
        """Let everything come to rest: each row is there once, and so is each dead letter."""
        if not hasattr(self, "partition"):
            return
        for flying in self.flying:
            self._end(flying, "stored")
        self.partition.close()
        self.partition = self._opened()
        self.sink_reads(len(self.log))
        while pairs := self._ready():
            flight = self.partition.buffers.take(pairs[0], self.partition.position.offset)
            self._end(Flying(self.partition, pairs[0], flight), "stored")
        self.sink_commits(aborted=False)
        self.nothing_behind_the_position_is_missing_and_nothing_is_stored_twice()
        assert self.stored.offset == len(self.log)
        assert sum(sum(t.rows.values()) for t in self.tables.values()) == sum(
            count for rows in self.blocks for tenant, count in rows.items() if tenant in WANTED
        )
        first_time = {self.ingest[o]: o for o in range(len(self.log) - 1, -1, -1)}
        assert set(self.letters) == {first_time[b] for b, rows in enumerate(self.blocks) if "nobody" in rows}
        self.partition.close()
        assert self.budget.used == 0


TestSinkCommit = SinkMachine.TestCase
TestSinkCommit.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
