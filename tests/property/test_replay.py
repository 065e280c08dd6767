"""Replays by several people who may die at any moment: each letter goes back at most once, and in the end exactly once.

The model is Kafka's transaction as ``replay`` uses it: under one name, a new owner ends what the old one has open.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from logflume.errors import Fatal, Refused
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.deadletters import replay as replays
from logflume.kafka.deadletters.filed import Filed
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.original import Correction, Original
from logflume.kafka.deadletters.replay import Outcome, rehearse, replay
from tests.support.schedules import examples


class Dead(Exception):
    """The process was killed."""


class World:
    """One partition of the dead-letter topic, and what was committed on the ingest topics."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.marked: set[bytes] = set()
        self.ingest: list[Original] = []
        self.owner: object = None
        self.open: tuple[list[Original], list[bytes]] | None = None

    def commit(self, records: list[Original], digests: list[bytes]) -> None:
        self.ingest += records
        self.marked.update(digests)


class FakeDrawer:
    """A replay of one person. ``die``: at the how many-th transaction, and whether it was committed by then."""

    def __init__(self, world: World, die: tuple[int, str] | None = None) -> None:
        self.world = world
        self.die = die
        self.puts = 0

    def fence(self) -> None:
        self.world.owner = self
        self.world.open = None  # aborted

    def marked(self) -> Ids:
        ids = Ids(2)
        ids.add(list(self.world.marked))
        return ids

    def letters(self) -> Iterator[Filed]:
        for offset, letter in enumerate(list(self.world.letters)):
            yield Filed(letter, letter.digest, len(letter.raw), 0, offset, None, 0, replayed=False)

    def put(self, records: list[Original], digests: list[bytes]) -> None:
        self.puts += 1
        if self.world.owner is not self:
            raise Refused("another replay took over")
        if self.die is not None and self.puts == self.die[0]:
            if self.die[1] == "open":
                self.world.open = (records, digests)
                raise Dead
            if self.die[1] == "committed":
                self.world.commit(records, digests)
            raise Fatal("not known")
        self.world.commit(records, digests)


def letter(number: int, of: str | None = None) -> DeadLetter:
    headers = () if of is None else (("replay-letter", of.encode()), ("replay-offset", b"1"))
    return DeadLetter(
        "not-json", "sort", "acme", "events", b"x", "", "t", "id", 0, number, key=b"acme", headers=headers
    )


def no_check(record: Original) -> None:
    """Every record fits."""


class ReplayMachine(RuleBasedStateMachine):
    """Letters come, repeats of letters come, and people replay."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.running: list[tuple[FakeDrawer, Iterator[None]]] = []

    @rule(count=st.integers(1, 7))
    def letters_come(self, count: int) -> None:
        first = len(self.world.letters)
        self.world.letters += [letter(first + number) for number in range(count)]

    @rule(data=st.data())
    @precondition(lambda self: self.world.letters)
    def a_letter_is_written_again(self, data: st.DataObject) -> None:
        self.world.letters.append(data.draw(st.sampled_from(self.world.letters)))

    @rule(data=st.data())
    @precondition(lambda self: self.world.ingest)
    def what_was_put_back_fails_again(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.world.ingest))
        of = dict(record.headers)["replay-letter"]
        assert of is not None
        self.world.letters.append(letter(1000 + self.world.ingest.index(record), of.decode()))

    @rule(die=st.none() | st.tuples(st.integers(1, 3), st.sampled_from(["open", "committed", "aborted"])))
    def someone_replays(self, die: tuple[int, str] | None) -> None:
        with contextlib.suppress(Dead, Fatal):
            replay(FakeDrawer(self.world, die), Outcome(), no_check, Correction())

    @rule(moment=st.sampled_from(["fence", "put"]))
    def another_runs_while_one_is_at_it(self, moment: str) -> None:
        first = FakeDrawer(self.world)
        undisturbed, others = getattr(first, moment), []

        def disturbed(*arguments: object) -> None:
            if not others:
                others.append(Outcome())
                replay(FakeDrawer(self.world), others[0], no_check, Correction())
            undisturbed(*arguments)

        setattr(first, moment, disturbed)
        try:
            replay(first, Outcome(), no_check, Correction())
        except Refused:
            assert moment == "put"

    @invariant()
    def no_letter_goes_back_twice(self) -> None:
        found = Counter(dict(record.headers)["replay-letter"] for record in self.world.ingest)
        assert all(count == 1 for count in found.values())

    def teardown(self) -> None:
        replay(FakeDrawer(self.world), Outcome(), no_check, Correction())
        found = {dict(record.headers)["replay-letter"] for record in self.world.ingest}
        assert found == {each.id.encode() for each in self.world.letters}
        again = Outcome()
        rehearse(FakeDrawer(self.world), again, no_check, Correction())
        assert (again.letters, again.already) == (0, len(self.world.letters))


def test_each_letter_goes_back_at_most_once_and_in_the_end_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_MOST_RECORDS", 3)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        ReplayMachine, settings=settings(max_examples=examples(60), stateful_step_count=15, deadline=None)
    )
