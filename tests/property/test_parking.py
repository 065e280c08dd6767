"""Parking against the same crashes, zombies and flushes as the commit rule: each row comes to each outlet once.

The model is that of ``tests.support.sink_model``; here tables and jobs are parked at any time, a scan reads for some of
them, others join it later or fail again, and it meets the main reader somewhere.
"""

from __future__ import annotations

from random import Random

from logflume.model import Outlet
from logflume.sink.buffers import Pair
from logflume.sink.parking.behind import Behind
from logflume.sink.parking.parked import FAILING, Parked, Phase
from tests.support.schedules import examples
from tests.support.sink_model import SinkMachine, steps
from tests.support.walks import Step, Walk, often, walks


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
                self.happened["joined"] += 1
                self.partition.behind.join(entry)

    def the_scan_goes_on(self, count: int) -> None:
        before = self.partition.behind.scan
        assert before is not None
        at = before.position.offset
        self.the_scan_reads(count)
        after = self.partition.behind.scan
        self.happened["scanned"] += after is None or after.position.offset > at
        self.happened["handed over"] += after is None

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


OFTEN = {
    "parked with rows in memory": 50,
    "parked again while it is caught up": 10,
    "joined": 15,
    "scanned": 100,
    "handed over": 20,
    "position moved": 50,
    "flush stored": 80,
    "cut stored": 60,
    "crashed between a Delta commit and Kafka's": 5,
    "zombie stored": 5,
}


def _begin(random: Random) -> Walk:
    machine = ParkingMachine()
    machine.start()

    def behind() -> Behind:
        return machine.partition.behind

    def park() -> None:
        pair = random.choice(machine._still())
        machine.happened["parked with rows in memory"] += pair.rows > 0
        machine.happened["parked again while it is caught up"] += behind().parking.get(pair.outlet) is not None
        behind().park(pair, FAILING)

    waiting = machine._waiting
    more = [
        Step(2, park, machine._still),
        Step(
            4,
            lambda: behind().begin([random.choice(waiting())]),
            lambda: waiting() and behind().scan is None,
        ),
        Step(2, machine.others_join, lambda: waiting() and behind().scan is not None),
        Step(6, lambda: machine.the_scan_goes_on(random.randint(1, 8)), lambda: behind().scan is not None),
    ]
    looks = (
        machine.nothing_behind_the_position_is_missing_and_nothing_is_stored_twice,
        machine.who_waits_has_nothing_in_memory_and_holds_nothing,
    )
    return Walk(machine, [*steps(machine, random), *more], looks)


def test_each_row_comes_to_each_outlet_once_however_often_it_is_parked() -> None:
    happened = walks(_begin, range(examples(20)), 150)
    often(happened, OFTEN)
