"""The spool under crashes, a failing disk and a Kafka that takes messages without telling: SP1 to SP6, DO1, by a state
machine that knows what was promised.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logflume import metrics
from logflume.block.wire import BARRIER_HEADER, SPOOL_HEADER
from logflume.clock import ManualClock
from logflume.edge.spool import Message, Sent, Spool, frames
from logflume.edge.spool.doubts import Doubts
from logflume.edge.spool.frames import Frame, Kind
from logflume.edge.spool.routes import Route, Routes
from logflume.errors import Unavailable
from tests.support.disk import Crashed, FakeDisk
from tests.support.lookup import FakeLookup
from tests.support.producer import FakeProducer, Stored
from tests.support.schedules import examples
from tests.support.walks import Step, Walk, often, walks

FOLDER = Path("/spool")
CAP = 12_000  # segments of 750 bytes: they come and go all the time
MARK = "place"


class Flying:
    """A message given to Kafka's client."""

    def __init__(self, number: int | None, message: Message, route: Route, tag: str) -> None:
        self.number, self.message, self.route, self.tag = number, message, route, tag
        self.offset = -1


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.happened = Counter[str]()
        self.disk = FakeDisk()
        self.kafka = FakeProducer()
        self.lookup = FakeLookup(self.kafka, partitions=2)
        self.clock = ManualClock()
        self.values = 0
        self.puts = 0
        self.flying: list[Flying] = []
        self.last_taken = 0
        self.promised: dict[bytes, int] = {}  # value -> the put that brought it
        self.ghosts: dict[int, list[bytes]] = {}  # puts that failed: their messages may come to light after a crash
        self.refused: set[bytes] = set()
        self.may_lack: set[bytes] = set()  # a byte of their record was changed
        self.mark = 0
        self.flipped = False
        self.mark_may_lack = False
        self.spool = self._open()

    def _open(self) -> Spool:
        spool = Spool.open(FOLDER, cap_bytes=CAP, clock=self.clock, disk=self.disk, new_id=lambda: b"8 bytes!")
        self.routes = Routes(self.lookup, self.clock, pick=lambda below: self.values % below)
        doubts = Doubts(spool, self.routes, self.lookup)
        self.routes.choose("t", None)
        self.routes.refresh()
        self.last_taken = 0

        def barrier(topic: str, partition: int, tag: str) -> int:
            return self._store(Stored(topic, None, b"", [(BARRIER_HEADER, tag.encode())], partition))

        assert doubts.settle(barrier) == ""
        assert not doubts
        return spool

    def _store(self, message: Stored) -> int:
        message.at = self.kafka.end(message.topic, message.partition)
        self.kafka.log.append(message)
        return message.at

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _messages(self, count: int, size: int) -> list[Message]:
        messages = []
        for _ in range(count):
            self.values += 1
            messages.append(Message("t", None, b"%d." % self.values + b"x" * size, (), "events"))
        return messages

    @rule(count=strategies.integers(0, 3), size=strategies.integers(0, 300))
    def put(self, count: int, size: int) -> None:
        self.puts += 1
        self._keep(self._messages(count, size), lambda kept: self.spool.put(kept, {MARK: b"%d" % self.puts}))

    def _keep(self, messages: list[Message], put: Any) -> bool:
        values = [message.value for message in messages]
        number = self.puts
        try:
            put(messages)
        except Unavailable as refusal:
            self.happened["refused"] += 1
            if "its disk fails" in str(refusal):
                self.ghosts[number] = values
            self.refused.update(values)
            return False
        except Crashed:
            self.happened["crashed in a put"] += 1
            self.ghosts[number] = values
            self.refused.update(values)
            self._crash(power=False, pick=lambda low, high: high)
            return False
        self._good_write()
        self.mark = number
        self.promised.update((value, number) for value in values)
        self.happened["kept"] += bool(values)
        return True

    def _good_write(self) -> None:
        self.ghosts.clear()  # from here on they are really gone

    @rule()
    def rescue(self) -> None:
        """A message that went past the spool is written there while it flies."""
        (message,) = self._messages(1, 50)
        route = self.routes.choose("t", None)
        assert route is not None
        flying = Flying(None, message, route, self.spool.direct_tag())
        self.puts += 1
        sent = [Sent(0, *route, flying.tag)]
        before = self.mark
        if self._keep([message], lambda messages: self._rescued(flying, messages, sent)):
            self.happened["rescued"] += 1
            self.flying.append(flying)
        self.mark = before if self.mark == self.puts else self.mark

    def _rescued(self, flying: Flying, messages: list[Message], sent: list[Sent]) -> None:
        (flying.number,) = self.spool.put_sent(messages, sent)

    # --- what goes out ------------------------------------------------------------------------------------------------

    @rule(most=strategies.integers(1, 4))
    def send(self, most: int) -> None:
        try:
            taken = self.spool.take(most)
            ready = []
            for number, message in taken:
                assert number > self.last_taken  # SP3
                self.last_taken = number
                route = self.routes.choose("t", None)
                assert route is not None
                ready.append(Flying(number, message, route, self.spool.tag(number)))
            if ready:
                self.spool.sent([Sent(each.number or 0, *each.route, each.tag) for each in ready])
        except Unavailable:
            self.happened["not sent, as that can't be noted"] += 1
            self.spool.again([number for number, _ in taken])
            self.last_taken = 0
            return
        except Crashed:
            self.happened["crashed in a send"] += 1
            self._crash(power=False, pick=lambda low, high: high)
            return
        if ready:
            self._good_write()
        self.happened["sent"] += len(ready)
        self.flying += ready

    @precondition(lambda self: self.flying)
    @rule(random=strategies.randoms())
    def land(self, random: Random) -> None:
        """Kafka has it, and does not say so yet."""
        self._land(random.choice(self.flying))

    def _land(self, flying: Flying) -> None:
        if flying.offset < 0:
            headers: list[tuple[str, bytes | None]] = [(SPOOL_HEADER, flying.tag.encode())]
            flying.offset = self._store(Stored("t", None, flying.message.value, headers, flying.route.partition))

    @precondition(lambda self: any(each.offset >= 0 for each in self.flying))
    @rule()
    def report(self) -> None:
        flying = next(each for each in self.flying if each.offset >= 0)
        self.flying.remove(flying)
        self.routes.landed(flying.route, flying.offset)
        assert flying.number is not None
        try:
            self.spool.done(flying.number, flying.offset)
            self.happened["reported"] += 1
        except Crashed:
            self.happened["crashed in a report"] += 1
            self._crash(power=False, pick=lambda low, high: high)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    @rule(writes=strategies.integers(0, 2), syncs=strategies.integers(0, 3), creates=strategies.integers(0, 1))
    def disk_fails(self, writes: int, syncs: int, creates: int) -> None:
        self.disk.fail_writes, self.disk.fail_syncs, self.disk.fail_creates = writes, syncs, creates

    @rule(room=strategies.integers(0, 600))
    def disk_is_full(self, room: int) -> None:
        self.disk.room = self.disk.used + room

    @rule()
    def disk_is_well(self) -> None:
        self.disk.room = 1 << 40
        self.disk.fail_writes = self.disk.fail_syncs = self.disk.fail_creates = 0

    @rule(steps=strategies.integers(0, 8), part=strategies.integers(0, 100))
    def crash_soon(self, steps: int, part: int) -> None:
        self.disk.crash_in = steps
        self.disk.tear = lambda low, high: low + (high - low) * part // 100

    @rule(power=strategies.booleans(), random=strategies.randoms())
    def crash(self, power: bool, random: Random) -> None:
        self.happened["power cut" if power else "killed"] += self.spool.waiting > 0
        self._crash(power, random.randint)

    @precondition(lambda self: not self.flipped)
    @rule(random=strategies.randoms())
    def byte_changes(self, random: Random) -> None:
        """While the machine is off."""
        self.flipped = True

        def spoil() -> None:
            paths = sorted(path for path in self.disk.files if path.suffix == ".segment" and self.disk.size(path))
            if paths:
                path = random.choice(paths)
                self._flip(path, random.randrange(self.disk.size(path)))

        self._crash(False, lambda low, high: high, spoil)

    def _flip(self, path: Path, at: int) -> None:
        for each in frames.scan(b"8 bytes!", bytes(self.disk.files[path].data)):
            if isinstance(each, Frame) and each.at <= at < each.at + each.size and each.head.kind is Kind.MESSAGES:
                self.happened["byte of a message changed"] += 1
                self.mark_may_lack = True
                self.may_lack.update(value for value in self.promised if value in each.payload)
        self.disk.flip(path, at)

    def _crash(self, power: bool, pick: Any, meanwhile: Any = lambda: None) -> None:
        for flying in self.flying:
            if flying.offset < 0 and pick(0, 1):
                self._land(flying)
            self.happened[f"in doubt, and {'not ' * (flying.offset < 0)}in Kafka"] += 1
        self.flying.clear()
        if power:
            self.disk.cut_power(pick)
        else:
            self.disk.kill()
        self.disk.room = 1 << 40
        meanwhile()
        self.spool = self._open()
        mark = int(self.spool.marks.get(MARK, b"0"))
        if not self.mark_may_lack:
            assert mark == self.mark or mark in self.ghosts, (mark, self.mark, self.ghosts)
        for number, values in self.ghosts.items():
            if number == mark:  # SP5: what the mark came with is there
                self.promised.update((value, number) for value in values)
            # Those of the others may have come to light, too: by one that had failed earlier.
            self.refused.difference_update(values)
        self.ghosts.clear()
        self.mark = mark

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def the_cap_holds(self) -> None:
        assert self.spool.size_bytes <= CAP + 4_000  # notes and checkpoints may go beyond it

    @invariant()
    def nothing_is_twice_in_kafka(self) -> None:
        counts = Counter(message.value for message in self.kafka.log if message.value)
        assert not [value for value, count in counts.items() if count > 1]

    @invariant()
    def nothing_refused_is_in_kafka(self) -> None:
        assert not self.refused & {message.value for message in self.kafka.log}

    def teardown(self) -> None:
        quarantined = metrics.EDGE_SPOOL_QUARANTINED._value.get()
        self._crash(True, lambda low, high: high)
        while taken := self.spool.take(5):
            ready = [Flying(number, message, self._route(), self.spool.tag(number)) for number, message in taken]
            self.spool.sent([Sent(each.number or 0, *each.route, each.tag) for each in ready])
            for each in ready:
                self._land(each)
                self.spool.done(each.number or 0, each.offset)
        stored = {message.value for message in self.kafka.log}
        missing = self.promised.keys() - stored
        assert missing <= self.may_lack, missing - self.may_lack  # SP1, SP6
        assert self.spool.waiting == 0
        assert not missing or any(path.parent.name == "quarantine" for path in self.disk.files), quarantined
        self.nothing_is_twice_in_kafka()
        self.nothing_refused_is_in_kafka()
        self.spool.close()

    def _route(self) -> Route:
        route = self.routes.choose("t", None)
        assert route is not None
        return route


SpoolMachine.TestCase.settings = settings(max_examples=examples(25), stateful_step_count=40)
TestSpool = SpoolMachine.TestCase

OFTEN = {
    "kept": 500,
    "refused": 80,
    "sent": 800,
    "reported": 400,
    "rescued": 40,
    "not sent, as that can't be noted": 10,
    "crashed in a put": 30,
    "crashed in a send": 15,
    "crashed in a report": 10,
    "killed": 30,
    "power cut": 30,
    "in doubt, and in Kafka": 400,
    "in doubt, and not in Kafka": 60,
    "byte of a message changed": 4,
}


def _begin(random: Random) -> Walk:
    machine = SpoolMachine()
    disk = machine.disk

    def ill() -> bool:
        return bool(disk.room < 1 << 40 or disk.fail_writes or disk.fail_syncs or disk.fail_creates)

    def fails() -> None:
        machine.disk_fails(random.randint(0, 2), random.randint(0, 3), random.randint(0, 1))

    steps = [
        Step(6, lambda: machine.put(random.randint(0, 3), random.randint(0, 300))),
        Step(0.5, machine.rescue),
        Step(6, lambda: machine.send(random.randint(1, 4)), lambda: machine.spool.waiting),
        Step(9, lambda: machine.land(random), lambda: machine.flying),
        Step(9, machine.report, lambda: any(each.offset >= 0 for each in machine.flying)),
        Step(0.5, fails),
        Step(0.3, lambda: machine.disk_is_full(random.randint(0, 600))),
        Step(5, machine.disk_is_well, ill),
        Step(0.6, lambda: machine.crash_soon(random.randint(0, 8), random.randint(0, 100))),
        Step(0.6, lambda: machine.crash(random.random() < 0.5, random)),
        Step(0.1, lambda: machine.byte_changes(random), lambda: not machine.flipped),
    ]
    looks = [machine.the_cap_holds, machine.nothing_is_twice_in_kafka, machine.nothing_refused_is_in_kafka]
    return Walk(machine, steps, looks)


def test_what_was_taken_is_in_kafka_once_in_long_histories() -> None:
    happened = walks(_begin, range(examples(30)), 150)
    often(happened, OFTEN)
