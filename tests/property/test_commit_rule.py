"""The sorter's commit rule against a model: random fetches, completions in any order, seeks and revocations."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logflume.sort.commit import CommitRule, Range
from tests.support.schedules import examples
from tests.support.walks import Step, Walk, often, walks

PARTITIONS = ["a", "b"]


class CommitRuleMachine(RuleBasedStateMachine):
    """Model: the log's offsets that are durable, and where the group's committed offset stands."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = Counter[str]()
        self.rule = CommitRule()
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.durable: dict[str, set[int]] = {partition: set() for partition in PARTITIONS}
        self.gone: dict[str, set[int]] = {partition: set() for partition in PARTITIONS}
        self.fetched: list[tuple[str, Range, int]] = []
        self.seeks = dict.fromkeys(PARTITIONS, 0)
        self.done: dict[str, set[int]] = {partition: set() for partition in PARTITIONS}  # since the last seek, or gone
        self.clock = 0.0

    @rule(partition=st.sampled_from(PARTITIONS), gap=st.integers(0, 2), size=st.integers(1, 4))
    def fetch(self, partition: str, gap: int, size: int) -> None:
        self.clock += 1
        first = self.position[partition] + gap  # offsets of control records are never fetched
        self.gone[partition] |= set(range(self.position[partition], first))
        self.done[partition] |= set(range(self.position[partition], first))
        last = first + size - 1
        self.position[partition] = last + 1
        noted = self.rule.fetched(partition, first, last, self.clock)
        self.fetched.append((partition, noted, self.seeks[partition]))

    @precondition(lambda self: self.fetched)
    @rule(random=st.randoms())
    def finish(self, random: Random) -> None:
        work = random.choice(self.fetched)
        partition, done, seeks = work
        waiting = [r for p, r, s in self.fetched if (p, s) == (partition, self.seeks[partition])]
        self.happened["done before a range that was fetched before it"] += any(r.since < done.since for r in waiting)
        self.happened["done after a seek"] += seeks != self.seeks[partition]
        self.fetched.remove(work)
        done.done = True
        self.durable[partition] |= set(range(done.first, done.last + 1))
        if seeks == self.seeks[partition]:
            self.done[partition] |= set(range(done.first, done.last + 1))

    @precondition(lambda self: self.fetched)
    @rule(random=st.randoms())
    def drop_on_the_way(self, random: Random) -> None:
        """A chunk that never reaches its agent."""
        self.fetched.remove(random.choice(self.fetched))

    @rule(partition=st.sampled_from(PARTITIONS))
    def commit(self, partition: str) -> None:
        offset = self.rule.committable(partition)
        if offset is not None:
            assert set(range(self.committed[partition], offset)) <= self.done[partition]  # C1, C3
            self.happened["committed"] += offset > self.committed[partition]
            self.committed[partition] = max(offset, self.committed[partition])
            self.rule.committed(partition, offset)
        self.happened["nothing committed of what is there"] += offset is None and partition in self._waiting()

    def _waiting(self) -> set[str]:
        return {partition for partition, _, seeks in self.fetched if seeks == self.seeks[partition]}

    @rule(partition=st.sampled_from(PARTITIONS))
    def a_commit_is_refused(self, partition: str) -> None:
        offset = self.rule.committable(partition)
        self.happened["refused"] += offset is not None
        assert self.rule.committable(partition) == offset

    @rule(partition=st.sampled_from(PARTITIONS))
    def go_back_to_what_is_committed(self, partition: str) -> None:
        self.rule.forget([partition])
        self._go_back(partition)

    def _go_back(self, partition: str) -> None:
        self.happened["gone back"] += self.position[partition] > self.committed[partition]
        self.position[partition] = self.committed[partition]
        self.seeks[partition] += 1
        self.done[partition] = set()

    @rule()
    def go_back_everywhere(self) -> None:
        self.rule.forget()
        for partition in PARTITIONS:
            self._go_back(partition)

    @invariant()
    def nothing_is_committed_that_is_not_durable(self) -> None:
        for partition, offset in self.committed.items():
            assert set(range(offset)) <= self.durable[partition] | self.gone[partition]

    def teardown(self) -> None:
        """After a seek nothing from before it is in the way."""
        for partition in PARTITIONS:
            self.go_back_to_what_is_committed(partition)
            self.fetch(partition, 0, 4)
            self.fetched.pop()[1].done = True
            assert self.rule.committable(partition) == self.position[partition]


TestCommitRule = CommitRuleMachine.TestCase

OFTEN = {
    "committed": 200,
    "nothing committed of what is there": 200,
    "refused": 40,
    "gone back": 100,
    "done before a range that was fetched before it": 200,
    "done after a seek": 100,
}


def _begin(random: Random) -> Walk:
    machine = CommitRuleMachine()

    def somewhere() -> str:
        return random.choice(PARTITIONS)

    def there() -> bool:
        return bool(machine.fetched)

    steps = [
        Step(8, lambda: machine.fetch(somewhere(), random.choice([0, 0, 1, 2]), random.randint(1, 4))),
        Step(9, lambda: machine.finish(random), there),
        Step(0.3, lambda: machine.drop_on_the_way(random), there),
        Step(5, lambda: machine.commit(somewhere())),
        Step(1, lambda: machine.a_commit_is_refused(somewhere())),
        Step(0.8, lambda: machine.go_back_to_what_is_committed(somewhere())),
        Step(0.3, machine.go_back_everywhere),
    ]
    return Walk(machine, steps, [machine.nothing_is_committed_that_is_not_durable])


def test_nothing_is_committed_that_is_not_durable_in_long_histories() -> None:
    happened = walks(_begin, range(examples(40)), 150)
    often(happened, OFTEN)


def test_a_range_in_flight_holds_back_what_was_done_after_it() -> None:
    rule = CommitRule()
    first = rule.fetched("p", 0, 4, 1.0)
    second = rule.fetched("p", 5, 9, 2.0)
    second.done = True
    assert rule.committable("p") is None
    assert rule.ready() == []
    assert rule.oldest() == ("p", first)
    first.done = True
    assert rule.ready() == ["p"]
    assert rule.committable("p") == 10


def test_a_range_is_known_until_kafka_has_taken_its_commit() -> None:
    rule = CommitRule()
    first = rule.fetched("p", 0, 4, 1.0)
    first.done = True
    assert rule.committable("p") == 5
    assert rule.oldest() == ("p", first), "a commit that was refused is tried again, and its age is seen"
    assert rule.committable("p") == 5
    second = rule.fetched("p", 5, 9, 2.0)
    second.done = True
    rule.committed("p", 5)
    assert rule.oldest() == ("p", second)
    assert rule.committable("p") == 10


def test_what_was_fetched_before_a_seek_never_counts_after_it() -> None:
    rule = CommitRule()
    before = rule.fetched("p", 0, 9, 1.0)
    rule.forget(["p"])
    again = rule.fetched("p", 0, 19, 2.0)
    before.done = True
    assert rule.committable("p") is None
    again.done = True
    assert rule.committable("p") == 20
