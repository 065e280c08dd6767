"""Whatever is published, forged or lost, and however often a worker starts: what is in force is whole and good."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logflume.clock import ManualClock
from logflume.config import Origin
from logflume.config.manifest import KEY, Accepted, key_of
from logflume.model import Configuration
from tests.support.followed_topic import LIMITS, FakeShelf, FakeTopic, Generation, following, generation

NAMES = [f"t{number}" for number in range(8)]
SOME = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)
PRINCIPALS = st.sampled_from(["", "User:a", "User:b"])


class Worker(RuleBasedStateMachine):
    """One publisher, which is honest; forgers and accidents; one worker with its disk. The clock moves with turns."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.topic, self.shelf = FakeTopic(), FakeShelf()
        self.clock = ManualClock()
        self.published: dict[int, Generation] = {}
        self.newest = 0
        self.seen: list[Configuration] = []
        self.start()

    def teardown(self) -> None:
        self._folder.cleanup()

    def start(self) -> None:
        self.worker = following(
            self.topic,
            self.folder,
            clock=self.clock,
            shelf=self.shelf,
            took=self._took,  # type: ignore[arg-type]
        )

    def _took(self, taken: object) -> None:
        self.seen.append(taken.configuration)  # type: ignore[attr-defined]

    def turn(self) -> None:
        self.clock.advance(1)
        self.worker.turn(0)

    # --- the publisher ------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.topic.away)
    @rule(names=SOME, principal=PRINCIPALS, stored=st.booleans())
    def publish(self, names: list[str], principal: str, stored: bool) -> None:
        """As an operator who names what the guards ask about."""
        self.newest += 1
        before = set(self.published[self.newest - 1].values) if self.newest > 1 else set()
        accepted = [
            *(self.published[self.newest - 1].manifest.accepted if self.newest > 1 else ()),
            Accepted(self.newest, len(before - set(names)), len(set(names) - before), "me", "why"),
        ]
        new = generation(self.newest, names, accepted, principal)
        self.published[self.newest] = new
        self.topic.publish(new)
        if stored:
            self.shelf.kept[self.newest] = new

    # --- accidents and forgers ----------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), value=st.one_of(st.none(), st.binary(max_size=20)))
    def tenant_forged(self, name: str, value: bytes | None) -> None:
        self.topic.log.append((key_of(name), value))

    @rule(value=st.one_of(st.none(), st.binary(max_size=20)))
    def manifest_forged(self, value: bytes | None) -> None:
        self.topic.log.append((KEY, value))

    @rule(number=st.integers(0, 12), names=st.sets(st.sampled_from(NAMES)), lost=st.integers(0, 8))
    def half_published(self, number: int, names: set[str], lost: int) -> None:
        """A publisher with a bug: no transaction, or a manifest of something else."""
        messages = generation(number, sorted(names), principal="User:forged").messages
        if lost < len(messages) - 1:
            self.topic.log += messages[:lost] + messages[lost + 1 :]

    @rule()
    def blank_published(self) -> None:
        self.topic.publish(generation(self.newest + 1, [], [Accepted(self.newest + 1, 99, 99, "me", "blank")]))

    @precondition(lambda self: self.newest > 1)
    @rule(data=st.data())
    def older_published(self, data: st.DataObject) -> None:
        self.topic.publish(self.published[data.draw(st.integers(1, self.newest - 1))])

    @rule()
    def emptied(self) -> None:
        self.topic.empty()

    @rule()
    def made_again(self) -> None:
        self.topic.make_again()

    @rule()
    def kafka_goes_or_comes(self) -> None:
        self.topic.away = not self.topic.away

    @rule()
    def store_goes_or_comes(self) -> None:
        self.shelf.away = not self.shelf.away

    # --- the worker ---------------------------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 12))
    def go_on(self, turns: int) -> None:
        for _ in range(turns):
            self.turn()

    @rule(disk=st.sampled_from(["as it was", "broken", "gone"]))
    def restart(self, disk: str) -> None:
        """Without its disk a worker knows of nothing that was before; with it nothing goes back."""
        self.worker.end()
        for file in self.folder.glob("*.avro"):
            if disk == "broken":
                file.write_bytes(file.read_bytes()[:-1])
            elif disk == "gone":
                file.unlink()
        if disk != "as it was":
            self.seen = []
        self.start()

    @rule()
    def all_is_well_again(self) -> None:
        """Kafka is there and the publisher has published: so it is in force, whatever was before."""
        self.topic.away = False
        self.publish(NAMES[:4], "User:good", True)
        for _ in range(4):
            self.turn()
        assert self.worker.now is not None
        assert self.worker.now.configuration.generation == self.newest
        assert (self.worker.now.origin, self.worker.state().refused) == (Origin.KAFKA, "")

    @invariant()
    def what_is_in_force_is_whole_and_was_published(self) -> None:
        now = self.worker.now
        if now is None:
            return
        found = now.configuration
        assert found.pairs, "blank"
        mine = self.published[found.generation]
        assert (found.hash, set(found.tenants)) == (mine.manifest.hash, set(mine.values))

    @invariant()
    def it_never_goes_back(self) -> None:
        generations = [each.generation for each in self.seen]
        assert generations == sorted(generations)

    @invariant()
    def it_is_never_suddenly_another(self) -> None:
        for before, after in zip(self.seen, self.seen[1:], strict=False):
            named = [
                each
                for each in self.published[after.generation].manifest.accepted
                if before.generation < each.generation <= after.generation
            ]
            gone = len(before.pairs - after.pairs) - sum(each.removal_of for each in named)
            assert gone <= LIMITS.shrink * len(before.pairs)


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
