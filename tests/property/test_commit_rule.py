"""The sorter's commit rule against a model: random fetches, completions in any order, seeks and revocations."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from logflume.sort.commit import CommitRule, Range

PARTITIONS = ["a", "b"]


class CommitRuleMachine(RuleBasedStateMachine):
    """Model: the log's offsets that are durable, and where the group's committed offset stands."""

    fetched = Bundle("fetched")

    def __init__(self) -> None:
        super().__init__()
        self.rule = CommitRule()
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.durable: dict[str, set[int]] = {partition: set() for partition in PARTITIONS}
        self.gone: dict[str, set[int]] = {partition: set() for partition in PARTITIONS}
        self.clock = 0.0

    @rule(target=fetched, partition=st.sampled_from(PARTITIONS), gap=st.integers(0, 2), size=st.integers(1, 4))
    def fetch(self, partition: str, gap: int, size: int) -> tuple[str, Range]:
        self.clock += 1
        first = self.position[partition] + gap  # offsets of control records are never fetched
        self.gone[partition] |= set(range(self.position[partition], first))
        last = first + size - 1
        self.position[partition] = last + 1
        return partition, self.rule.fetched(partition, first, last, self.clock)

    @rule(work=consumes(fetched))
    def finish(self, work: tuple[str, Range]) -> None:
        partition, done = work
        done.done = True
        self.durable[partition] |= set(range(done.first, done.last + 1))

    @rule(work=consumes(fetched))
    def drop_on_the_way(self, work: tuple[str, Range]) -> None:
        """A chunk that never reaches its agent."""

    @rule(partition=st.sampled_from(PARTITIONS))
    def commit(self, partition: str) -> None:
        offset = self.rule.committable(partition)
        if offset is not None:
            self.committed[partition] = max(offset, self.committed[partition])
            self.rule.committed(partition, offset)

    @rule(partition=st.sampled_from(PARTITIONS))
    def a_commit_is_refused(self, partition: str) -> None:
        assert self.rule.committable(partition) == self.rule.committable(partition)

    @rule(partition=st.sampled_from(PARTITIONS))
    def go_back_to_what_is_committed(self, partition: str) -> None:
        self.rule.forget([partition])
        self.position[partition] = self.committed[partition]

    @rule()
    def go_back_everywhere(self) -> None:
        self.rule.forget()
        self.position = dict(self.committed)

    @invariant()
    def nothing_is_committed_that_is_not_durable(self) -> None:
        for partition, offset in self.committed.items():
            assert set(range(offset)) <= self.durable[partition] | self.gone[partition]


TestCommitRule = CommitRuleMachine.TestCase


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
