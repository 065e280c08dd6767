"""Parking against the same crashes, zombies and flushes as the commit rule: each row comes to each outlet once.

The model is that of ``test_sink_commit``; here tables and jobs are parked at any time, a scan reads for some of them,
others join it later or fail again, and it meets the main reader somewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from logflume.model import Outlet
from logflume.sink.buffers import Pair
from logflume.sink.parking.behind import Behind
from logflume.sink.parking.parked import FAILING, Parked, Phase
from tests.property.test_sink_commit import JOBS, TENANTS, SinkMachine
from tests.support.schedules import examples
from tests.support.sorted_log import sorted_message


class ParkingMachine(SinkMachine):
    """One sorted partition whose outlets are parked."""

    def _waiting(self) -> list[Parked]:
        return [entry for entry in self.partition.behind.parking if entry.phase is Phase.WAITING]

    def _still(self) -> list[Pair]:
        return [pair for pair in self.partition.buffers if not pair.flying]

    def others_join(self) -> None:
        scan = self.partition.behind.scan
        assert scan is not None
        for entry in self._waiting():
            if entry.cursor.offset >= scan.position.offset:
                self.partition.behind.join(entry)

    def the_scan_reads(self, count: int) -> None:
        for _ in range(count):
            self._hand_over()
            scan = self.partition.behind.scan
            if scan is None or scan.position.offset >= self.partition.position.offset:
                return
            offset = scan.position.offset
            value, headers = self.log[offset]
            self.partition.read_behind(offset, 0, value, headers, 0.0)
        self._hand_over()

    def _hand_over(self) -> None:
        self.partition.behind.hand_over(self.partition.position)

    def who_waits_has_nothing_in_memory_and_holds_nothing(self) -> None:
        for entry in self._waiting():
            assert self.partition.buffers.pair(entry.outlet) is None
        for pair in self.partition.buffers:
            parked = self.partition.behind.parking.get(pair.outlet)
            assert parked is None or parked.phase is Phase.LIVE or pair.holds > len(self.log)

    def _catch_up(self) -> None:
        while len(self.partition.behind.parking):
            if self.partition.behind.scan is None and self._waiting():
                self.partition.behind.begin(self._waiting())
            self.the_scan_reads(len(self.log) + 1)
            for _ in range(2):
                for pair in self._ready():
                    self._begin(pair)
                self.sink_commits(aborted=False)
            for flying in self.flying:
                self._end(flying, "stored")
            self.flying.clear()
            self.sink_commits(aborted=False)


def test_the_model_parks_tables_and_jobs() -> None:
    machine = ParkingMachine()
    machine.start()
    machine.sorter_produces({"acme": 2}, 1)
    machine.sink_reads(1)
    for pair in machine._still():
        machine.partition.behind.park(pair, FAILING)
    assert {entry.outlet for entry in machine._waiting()} == {
        Outlet("acme"),
        Outlet("acme", "one"),
        Outlet("acme", "two"),
    }
    machine.teardown()


def walk(seed: int, steps: int) -> Counter[str]:
    """Many steps, each as often as makes histories deep: Hypothesis' own are mostly short. Returns what happened."""
    random = Random(seed)
    machine, happened = ParkingMachine(), Counter[str]()
    machine.start()

    def produce() -> None:
        who = random.sample(TENANTS, random.randint(1, len(TENANTS)))
        machine.sorter_produces({tenant: random.randint(1, 4) for tenant in who}, random.choice([1, 1, 2, 20]))

    def again() -> None:
        number = random.randrange(len(machine.blocks))
        machine.ingest.append(number)
        machine.log.append(sorted_message(machine.blocks[number], number, session="zombie"))

    def lands() -> None:
        flying = random.choice(machine.flying)
        machine.flying.remove(flying)
        machine._end(flying, random.choice(["stored", "stored", "stored", "failed", "in doubt"]))

    def begins() -> None:
        machine._begin(random.choice(machine._ready()))

    def scans() -> None:
        before = machine.partition.behind.scan
        assert before is not None
        at = before.position.offset
        machine.the_scan_reads(random.randint(1, 8))
        after = machine.partition.behind.scan
        happened["scanned"] += after is None or after.position.offset > at
        happened["handed over"] += after is None

    def gone() -> None:
        machine.sink_begins_with_other_jobs(set(random.sample(sorted(JOBS), random.randint(0, 1))))

    def behind() -> Behind:
        return machine.partition.behind

    waiting = machine._waiting
    rules: list[tuple[float, Callable[[], object], Callable[[], object]]] = [
        (3, lambda: True, produce),
        (1, lambda: machine.blocks, again),
        (
            6,
            lambda: machine.partition.position.offset < len(machine.log),
            lambda: machine.sink_reads(random.randint(1, 8)),
        ),
        (8, machine._ready, begins),
        (8, lambda: machine.flying, lands),
        (8, lambda: True, lambda: machine.sink_commits(aborted=random.random() < 0.1)),
        (
            0.7,
            lambda: machine.partition.position.offset > machine.stored.offset,
            lambda: machine.sink_ends(seed % 2 == 0),
        ),
        (0.1, lambda: True, gone),
        (2, machine._still, lambda: machine.partition.behind.park(random.choice(machine._still()), FAILING)),
        (4, lambda: waiting() and behind().scan is None, lambda: behind().begin([random.choice(waiting())])),
        (2, lambda: waiting() and behind().scan is not None, machine.others_join),
        (6, lambda: behind().scan is not None, scans),
    ]
    for _ in range(steps):
        able = [(weight, do) for weight, can, do in rules if can()]
        [(_, do)] = random.choices(able, [weight for weight, _ in able])
        do()
        machine.nothing_behind_the_position_is_missing_and_nothing_is_stored_twice()
        machine.who_waits_has_nothing_in_memory_and_holds_nothing()
    machine.teardown()
    return happened


@pytest.mark.parametrize("seed", range(examples(16)))
def test_each_row_comes_to_each_outlet_once_however_often_it_is_parked(seed: int) -> None:
    walk(seed, 150)


def test_the_walks_do_scan_and_hand_over() -> None:
    happened = sum((walk(seed, 150) for seed in range(100, 103)), Counter[str]())
    assert happened["scanned"] > 10
    assert happened["handed over"] > 5
