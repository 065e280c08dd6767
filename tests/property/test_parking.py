"""Parking against the same crashes, zombies and flushes as the commit rule: each row comes to each outlet once.

The model is that of ``test_sink_commit``; here tables and jobs are parked at any time, new ones from their first row on,
a scan reads for some of them, others join it later or fail again, and it meets the main reader somewhere.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import invariant, precondition, rule

from logflume.model import Outlet
from logflume.sink.buffers import Pair
from logflume.sink.parking.parked import FAILING, Parked, Phase
from tests.property.test_sink_commit import SinkMachine
from tests.support.schedules import examples


class ParkingMachine(SinkMachine):
    """One sorted partition whose outlets are parked."""

    def _waiting(self) -> list[Parked]:
        return [entry for entry in self.partition.behind.parking if entry.phase is Phase.WAITING]

    def _still(self) -> list[Pair]:
        return [pair for pair in self.partition.buffers if not pair.flying]

    @precondition(lambda self: self._still())
    @rule(data=st.data())
    def somebody_is_parked(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self._still()))
        self.partition.behind.park(pair, FAILING)
        assert self.partition.buffers.pair(pair.outlet) is None

    @precondition(lambda self: self._waiting() and self.partition.behind.scan is None)
    @rule(data=st.data())
    def a_scan_begins(self, data: st.DataObject) -> None:
        lowest = data.draw(st.sampled_from(self._waiting()))
        self.partition.behind.begin([lowest])

    @precondition(lambda self: self._waiting() and self.partition.behind.scan is not None)
    @rule()
    def others_join(self) -> None:
        scan = self.partition.behind.scan
        assert scan is not None
        for entry in self._waiting():
            if entry.cursor.offset >= scan.position.offset:
                self.partition.behind.join(entry)

    @precondition(lambda self: self.partition.behind.scan is not None)
    @rule(count=st.integers(1, 40))
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

    @invariant()
    def who_waits_has_nothing_in_memory_and_holds_nothing(self) -> None:
        if not hasattr(self, "partition"):
            return
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


TestParking = ParkingMachine.TestCase
TestParking.settings = settings(max_examples=examples(40), stateful_step_count=60, deadline=None)
