"""When a record was appended: found by asking for times, whatever way records come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from logflume.kafka.appended import AppendTimes, Found, Place

PLACE = ("t", 0)


class Log:
    """What a broker says of one partition: record ``n`` bears ``times[n]``."""

    def __init__(self, times: list[int], start: int = 0) -> None:
        self.times = times
        self.start = start
        self.asked = 0

    def ask(self, wanted: Mapping[Place, int]) -> dict[Place, Found]:
        self.asked += 1
        return {place: self._first(time) for place, time in wanted.items()}

    def _first(self, time: int) -> Found:
        at = max(self.start, bisect_left(self.times, time))
        return (at, self.times[at]) if at < len(self.times) else (-1, -1)


@given(
    st.lists(st.integers(0, 200_000), min_size=1, max_size=60),
    st.lists(st.integers(0, 59), min_size=1, max_size=5),
    st.integers(0, 10_000),
)
def test_ap1_the_time_is_the_records_own_and_never_a_later_one(gaps: list[int], offsets: list[int], since: int) -> None:
    times = [1_000_000 + sum(gaps[: at + 1]) for at in range(len(gaps))]
    log, now = Log(times), times[-1] + since
    found = AppendTimes(log.ask)
    for offset in sorted(offset % len(times) for offset in offsets):
        for _ in range(4):  # AP3: a call ends, the next one goes on
            told = found.find({PLACE: (offset, len(times))}, now)[PLACE]
            assert told <= times[offset]
        assert times[offset] - told <= max(1, (now - told) / 1000)


def test_records_that_come_evenly_take_few_questions_and_one_that_stays_takes_none() -> None:
    log = Log(list(range(1_000_000, 2_000_000, 500)))
    found = AppendTimes(log.ask)
    assert found.find({PLACE: (1500, 2000)}, 2_000_000) == {PLACE: 1_750_000}
    assert log.asked <= 4
    asked = log.asked
    assert found.find({PLACE: (1500, 2000)}, 2_100_000) == {PLACE: 1_750_000}
    assert log.asked == asked
    assert found.find({PLACE: (1501, 2000)}, 2_100_000) == {PLACE: 1_750_500}
    assert log.asked - asked <= 2


def test_ap3_however_many_partitions_a_round_is_one_question() -> None:
    log = Log(list(range(0, 100_000, 10)))
    wanted = {("t", number): (5000 + number, 10_000) for number in range(300)}
    assert AppendTimes(log.ask).find(wanted, 100_000) == {("t", n): 50_000 + 10 * n for n in range(300)}
    assert log.asked <= 8


def test_a_log_that_was_made_again_is_searched_anew() -> None:
    log = Log([1000, 2000, 3000])
    found = AppendTimes(log.ask)
    assert found.find({PLACE: (2, 3)}, 9000) == {PLACE: 3000}
    log.times = [7000, 8000]
    assert found.find({PLACE: (0, 2)}, 9000) == {PLACE: 7000}


def test_what_retention_has_deleted_meanwhile_is_told_by_the_first_record_that_is_left() -> None:
    log = Log([1000, 2000, 3000, 4000], start=2)
    assert AppendTimes(log.ask).find({PLACE: (1, 4)}, 9000) == {PLACE: 3000}
