"""What an edge does about pressure: RE1 to RE4, the intake's I7, and the landing's L3."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from logflume.clock import ManualClock, SystemClock
from logflume.edge import Client, NotAccepted
from logflume.edge.restraint import Restraint
from logflume.edge.tail import worker
from logflume.edge.tail.worker import Tail
from logflume.kafka.status import NO_PRESSURE, Level, Pressure
from logflume.settings import Settings
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, http_edge
from tests.support.producer import FakeProducer
from tests.support.waiting import until

STOP = Pressure(Level.STOP, 0.0, 1.1, ("sink: 4 of 4 partitions are 90 s late or more",))


def slow(factor: float) -> Pressure:
    return Pressure(Level.SLOW, factor, 0.95, ("sink: late",))


def taken(restraint: Restraint, clock: ManualClock, piece: int, seconds: float) -> int:
    """Bytes that somebody gets in who offers pieces without a pause."""
    end, size = clock.monotonic() + seconds, 0
    while clock.monotonic() < end:
        delay = restraint.delay()
        if delay:
            clock.advance(min(delay, end - clock.monotonic()))
        else:
            restraint.took(piece)
            size += piece
            clock.advance(0.001)
    return size


def test_re1_without_pressure_nobody_waits() -> None:
    clock = ManualClock()
    restraint = Restraint(clock)
    assert not restraint.active
    for _ in range(1000):
        restraint.took(1_000_000)
        assert restraint.delay() == 0


@pytest.mark.parametrize("factor", [0.8, 0.5, 0.1])
def test_re2_at_slow_an_edge_takes_that_part_of_what_it_took_before(factor: float) -> None:
    clock = ManualClock()
    restraint = Restraint(clock, slow_bytes=1)
    for _ in range(100):  # 10 MB/s
        restraint.took(1_000_000)
        clock.advance(0.1)
    restraint.follow(slow(factor))
    assert restraint.active
    assert taken(restraint, clock, 100_000, 60) == pytest.approx(600e6 * factor, rel=0.05)


def test_re2_a_little_may_always_go_in_and_a_large_piece_is_made_up_for() -> None:
    clock = ManualClock()
    restraint = Restraint(clock, slow_bytes=1000)
    restraint.follow(slow(0.1))
    assert taken(restraint, clock, 10, 60) == pytest.approx(60_000, rel=0.05)
    clock.advance(1)
    assert restraint.delay() == 0
    restraint.took(50_000)
    assert restraint.delay() == pytest.approx(49, abs=1)


def test_re2_the_pace_before_is_remembered_through_a_stop() -> None:
    clock = ManualClock()
    restraint = Restraint(clock, slow_bytes=1)
    for _ in range(100):
        restraint.took(100_000)
        clock.advance(0.1)
    for pressure in (slow(0.5), STOP, slow(0.5)):
        restraint.follow(pressure)
        clock.advance(30)
    assert taken(restraint, clock, 1000, 60) == pytest.approx(30e6, rel=0.05)


def test_re2_a_long_pressure_does_not_make_the_pace_before_the_next_one_smaller() -> None:
    clock = ManualClock()
    restraint = Restraint(clock, slow_bytes=1)
    for _ in range(100):
        restraint.took(100_000)
        clock.advance(0.1)
    restraint.follow(STOP)
    clock.advance(600)
    restraint.follow(NO_PRESSURE)
    restraint.took(100_000)
    restraint.follow(slow(0.5))
    assert taken(restraint, clock, 1000, 60) == pytest.approx(30e6, rel=0.05)


def test_re3_at_stop_nothing_goes_in_until_the_pressure_is_another() -> None:
    restraint = Restraint(ManualClock())
    restraint.follow(STOP)
    assert restraint.delay() == math.inf
    restraint.follow(NO_PRESSURE)
    assert (restraint.delay(), restraint.active) == (0, False)


def test_re4_a_spool_that_wobbles_between_its_marks_changes_nothing() -> None:
    restraint = Restraint(ManualClock())
    assert [restraint.spool_full(share) for share in (0.71, 0.89, 0.9, 0.71, 0.89, 0.7, 0.71, 0.89)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]


# --- the client -------------------------------------------------------------------------------------------------------


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def client(producer: FakeProducer) -> Iterator[Client]:
    settings = Settings(kafka_bootstrap="nowhere:1", edge_timeout_seconds=20.0, edge_linger_seconds=0.01)
    with Client(settings, datasets=DATASETS, make_producer=producer, clock=SystemClock()) as made:
        yield made
        made._intake.press(NO_PRESSURE)


def test_i7_at_stop_each_call_says_why_it_took_nothing_and_what_was_taken_before_is_sent(
    client: Client, producer: FakeProducer
) -> None:
    client.log("acme", "events", {"message": "before"})
    client._intake.press(STOP)
    because = "nothing taken within 0.05 s: pressure is stop: sink: 4 of 4 partitions are 90 s late or more"
    with pytest.raises(NotAccepted, match=because):
        client.log("acme", "events", {"message": "1"}, timeout=0.05)
    with pytest.raises(NotAccepted, match=because):
        client.log_ndjson("acme", "events", b'{"message":"2"}\n', timeout=0.05)
    with pytest.raises(NotAccepted, match=because) as refused:
        client.log_many("acme", "events", [{"message": "3"}], timeout=0.05)
    assert refused.value.accepted == 0
    client.flush()
    assert [record["message"] for _, record in rows(producer.log, DATASETS)] == ["before"]


def test_i7_a_call_that_waits_goes_on_as_soon_as_the_pressure_is_gone(client: Client, producer: FakeProducer) -> None:
    client._intake.press(STOP)
    thread = threading.Thread(target=client.log, args=("acme", "events", {"message": "in the end"}))
    thread.start()
    client._intake.press(NO_PRESSURE)
    thread.join(15)
    assert not thread.is_alive()
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 1


def test_i7_at_slow_calls_wait_and_everything_goes_in(client: Client, producer: FakeProducer) -> None:
    client._intake.press(slow(0.5))
    for number in range(40):
        client.log_ndjson("acme", "events", b'{"message":"%d","level":"%s"}\n' % (number, b"x" * 2000))
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 40


# --- files ------------------------------------------------------------------------------------------------------------


class Files:
    """A follower of files that always has more, and notes its turns; and the client that goes with it."""

    full = ""
    idle = False

    def __init__(self, stop: threading.Event) -> None:
        self.restraint = Restraint(SystemClock(), slow_bytes=1)
        self.turns = self.scans = 0
        self._stop = stop

    def flush(self, _: float) -> None:
        pass

    def scan(self) -> None:
        self.scans += 1
        if self.scans == 2:  # some time later
            self.restraint.follow(NO_PRESSURE)

    def turn(self) -> int:
        self.turns += 1
        self._stop.set()
        return 1


def test_at_stop_files_wait_where_they_are_and_the_worker_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SCAN_SECONDS", 0.3)
    stop = threading.Event()
    files = Files(stop)
    files.restraint.follow(STOP)
    tail = Tail(Settings(kafka_bootstrap="nowhere:1"), DATASETS, (), SystemClock())
    thread = threading.Thread(target=tail._follow, args=(files, files, stop))
    thread.start()
    until(lambda: tail.ready() == STOP.because, 10, "it says why")
    assert files.turns == 0
    thread.join(20)
    assert (files.scans, files.turns, tail.ready()) == (2, 1, None), "the first turn came after the pressure"


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_l3_at_stop_http_answers_503_with_when_to_come_again_and_tells_the_level_on_every_answer() -> None:
    with http_edge() as edge:
        assert edge.post(b'{"message":"1"}\n').headers["Logflume-Pressure"] == "none"
        edge.client._intake.press(STOP)
        refused = edge.post(b'{"message":"2"}\n')
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert refused.headers["Logflume-Pressure"] == "stop"
        assert "sink: 4 of 4 partitions are 90 s late" in refused.json()["error"]
        for odd in (edge.request("GET", "/nothing"), edge.request("PUT", "/v1/ingest/events")):
            assert (odd.status_code in (404, 405), odd.headers["Logflume-Pressure"]) == (True, "stop")
        edge.client._intake.press(slow(0.5))
        answer = edge.post(b'{"message":"3"}\n')
        assert (answer.status_code, answer.headers["Logflume-Pressure"]) == (200, "slow")
        edge.client._intake.press(NO_PRESSURE)
        assert edge.post(b'{"message":"4"}\n').status_code == 200
        edge.client.flush()
        assert [record["message"] for _, record in rows(edge.producer.log, DATASETS)] == ["1", "3", "4"]


def test_l3_a_debt_longer_than_a_request_may_wait_is_answered_503() -> None:
    with http_edge(edge_slow_bytes=1000) as edge:
        edge.client._intake.press(slow(0.1))
        until(lambda: not edge.client.restraint.delay(), 10, "something may go in")
        edge.client.restraint.took(7_000)
        refused = edge.post(b'{"message":"1"}\n')
        assert (refused.status_code, refused.headers["Logflume-Pressure"]) == (503, "slow")
        assert 3 <= int(refused.headers["Retry-After"]) <= 7
