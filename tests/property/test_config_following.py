"""Whatever is published, forged or lost, and however often a worker starts: what is in force is whole and good."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logflume import metrics
from logflume.clock import ManualClock
from logflume.config import Origin
from logflume.config.manifest import KEY, Accepted, key_of
from logflume.config.uptake import Reason
from logflume.model import Configuration
from tests.support.followed_topic import LIMITS, FakeShelf, FakeTopic, Generation, following, generation
from tests.support.schedules import examples
from tests.support.walks import Step, Walk, often, walks

NAMES = [f"t{number}" for number in range(8)]
SOME = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)
PRINCIPALS = st.sampled_from(["", "User:a", "User:b"])


class Worker(RuleBasedStateMachine):
    """One publisher, which is honest; forgers and accidents; one worker with its disk. The clock moves with turns."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = Counter[str]()
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.topic, self.shelf = FakeTopic(), FakeShelf()
        self.clock = ManualClock()
        self.published: dict[int, Generation] = {}
        self.newest = 0
        self.unnamed = False
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
        self.happened[f"in force, from {taken.origin}"] += 1  # type: ignore[attr-defined]
        self.seen.append(taken.configuration)  # type: ignore[attr-defined]

    def turn(self) -> None:
        before = _refused()
        self.clock.advance(1)
        self.worker.turn(0)
        self.happened += _refused() - before

    # --- the publisher ------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.topic.away)
    @rule(names=SOME, principal=PRINCIPALS, stored=st.booleans())
    def publish(self, names: list[str], principal: str, stored: bool) -> None:
        """As an operator who names what the guards ask about."""
        self.newest += 1
        before = set(self.published[self.newest - 1].values) if self.newest > 1 else set()
        named = (len(NAMES),) * 2 if self.unnamed else (len(before - set(names)), len(set(names) - before))
        self.unnamed = False
        accepted = [*self._accepted(), Accepted(self.newest, *named, "me", "why")]
        new = generation(self.newest, names, accepted, principal)
        self.published[self.newest] = new
        self.topic.publish(new)
        if stored:
            self.shelf.kept[self.newest] = new

    def _accepted(self) -> list[Accepted]:
        return list(self.published[self.newest - 1].manifest.accepted) if self.newest > 1 else []

    @precondition(lambda self: not self.topic.away)
    @rule(names=SOME)
    def publish_without_asking(self, names: list[str]) -> None:
        """A publisher with a bug, whose guard does not ask; the next time an operator looks at it."""
        self.newest += 1
        self.published[self.newest] = new = generation(self.newest, names, self._accepted())
        self.topic.publish(new)
        self.unnamed = True

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
    @rule(random=st.randoms())
    def older_published(self, random: Random) -> None:
        self.topic.publish(self.published[random.randint(1, self.newest - 1)])

    @rule()
    def emptied(self) -> None:
        self.happened["emptied while in force"] += self.worker.now is not None and self.topic.start < len(
            self.topic.log
        )
        self.topic.empty()

    @rule()
    def made_again(self) -> None:
        self.happened["made again while in force"] += self.worker.now is not None
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

    @rule(disk=st.sampled_from(["as it was", "broken", "gone"]), at=st.integers(0, 999))
    def restart(self, disk: str, at: int) -> None:
        """Without its disk a worker knows of nothing that was before; with it nothing goes back."""
        self.happened[f"restarted, its disk {disk}"] += self.worker.now is not None
        self.worker.end()
        for file in self.folder.glob("*.avro"):
            if disk == "broken":
                data = bytearray(file.read_bytes())
                data[at % len(data)] ^= 1
                file.write_bytes(data)
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
            there = len(after.pairs) - sum(each.growth_of for each in named)
            assert there <= LIMITS.growth * len(before.pairs)


def _refused() -> Counter[str]:
    return Counter(
        {f"refused: {reason}": int(metrics.CONFIG_REFUSED.labels(str(reason))._value.get()) for reason in Reason}
    )


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)

OFTEN = {
    "in force, from kafka": 200,
    "in force, from disk": 25,
    "in force, from store": 8,
    "refused: not-whole": 30,
    "refused: blank": 10,
    "refused: older": 8,
    "refused: shrunk": 6,
    "emptied while in force": 10,
    "made again while in force": 10,
    "restarted, its disk as it was": 30,
    "restarted, its disk broken": 10,
    "restarted, its disk gone": 10,
}


def _begin(random: Random) -> Walk:
    worker = Worker()

    def some(least: int = 0) -> set[str]:
        return set(random.sample(NAMES, random.randint(least, len(NAMES))))

    def much_the_same() -> list[str]:
        now = set(worker.published[worker.newest].values) if worker.newest else some(1)
        return sorted((now | {random.choice(NAMES)}) if random.random() < 0.7 else some(1))

    def half() -> None:
        worker.half_published(
            random.randint(max(0, worker.newest - 2), worker.newest + 2), some(), random.randint(0, 3)
        )

    def there() -> bool:
        return not worker.topic.away

    def restart() -> None:
        disk = random.choice(["as it was", "as it was", "as it was", "broken", "gone"])
        worker.restart(disk, random.randrange(1000))

    def garbage() -> bytes | None:
        return random.choice([None, random.randbytes(random.randint(0, 20))])

    def principal() -> str:
        return random.choice(["", "User:a", "User:b"])

    steps = [
        Step(6, lambda: worker.publish(much_the_same(), principal(), random.random() < 0.8), there),
        Step(1, lambda: worker.publish_without_asking(sorted(some(1))), there),
        Step(12, lambda: worker.go_on(random.randint(1, 6))),
        Step(0.5, lambda: worker.tenant_forged(random.choice(NAMES), garbage())),
        Step(0.5, lambda: worker.manifest_forged(garbage())),
        Step(0.7, half),
        Step(0.5, worker.blank_published),
        Step(0.7, lambda: worker.older_published(random), lambda: worker.newest > 1),
        Step(0.5, worker.emptied),
        Step(0.5, worker.made_again),
        Step(0.4, worker.kafka_goes_or_comes, there),
        Step(3, worker.kafka_goes_or_comes, lambda: not there()),
        Step(0.5, worker.store_goes_or_comes),
        Step(2, restart),
        Step(0.5, worker.all_is_well_again),
    ]
    looks = [
        worker.what_is_in_force_is_whole_and_was_published,
        worker.it_never_goes_back,
        worker.it_is_never_suddenly_another,
    ]
    return Walk(worker, steps, looks)


def test_what_is_in_force_is_whole_and_good_in_long_histories() -> None:
    happened = walks(_begin, range(examples(20)), 100)
    often(happened, OFTEN)
