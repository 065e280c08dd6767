"""The watch: what counts as a cause, which of several watches writes, and what it does when Kafka does not answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from logflume import metrics
from logflume.clock import ManualClock, SystemClock
from logflume.errors import Misconfigured, Retryable
from logflume.kafka.groups import Lag
from logflume.kafka.status import (
    PRESSURE_KEY,
    Codec,
    Condition,
    Entry,
    Identity,
    Level,
    Outbox,
    Pressure,
    Seen,
    Status,
    stale_seconds,
)
from logflume.settings import Settings
from logflume.watch import looking
from logflume.watch.ages import Ages
from logflume.watch.causes import Limits, causes, lag_seconds
from logflume.watch.lateness import Lateness
from logflume.watch.level import Marks
from logflume.watch.look import Late, Look
from logflume.watch.looking import Looking
from logflume.watch.worker import FORGOTTEN_SECONDS, Watch
from tests.support.producer import FakeProducer
from tests.support.waiting import until

SETTINGS = Settings(kafka_bootstrap="nowhere:1", watch_seconds=1.0, pressure_lag_seconds=100.0)
LIMITS = Limits(lag_seconds=100.0, partitions_ratio=0.25, memory_bytes=1_000_000_000)
CODEC = Codec(SETTINGS)


def late(*seconds: float, stage: str = "sink", idle: int = 0) -> list[Late]:
    """Partitions that are so late, and others without any traffic."""
    found = [Late(stage, Lag(f"{stage}s", stage, at, 0, 1, int(s > 0)), s, True) for at, s in enumerate(seconds)]
    return found + [Late(stage, Lag(f"{stage}s", stage, 100 + at, 0, 0, 0), 0.0, False) for at in range(idle)]


def seen(condition: Condition, kind: str = "sink", id: str = "a:1", age: float = 0.0) -> Seen:
    return Seen(Status(Identity(kind, id, "a", 1, "0", 0), condition, 0, 1.0), age)


def share(found: list[Late], *workers: Seen) -> float:
    return causes(found, workers, LIMITS)[0].share


# --- causes -----------------------------------------------------------------------------------------------------------


def test_ca1_a_stage_that_stands_still_is_late_in_all_its_partitions() -> None:
    assert share(late(50, 60, 70, 80)) == 0.8
    assert share(late(50, idle=15)) == 0.5, "partitions that nobody uses say nothing"
    [cause, *_] = causes(late(90, 95, 0, 0), (), LIMITS)
    assert cause.text == "sink: 1 of 4 partitions are 95 s late or more; the limit is 100 s"


def test_ca1_a_single_late_partition_among_many_slows_nobody_down() -> None:
    assert share(late(5000, *[1] * 15)) == 0.01
    assert lag_seconds(late(5000, 5000, 5000, 5000, *[1] * 12), 0.25) == 5000


def test_ca2_partitions_that_wait_for_somebody_do_not_hold_up_the_others() -> None:
    stopped = seen(Condition(stopped=("sink[0]",)))
    assert share(late(5000)) == 50
    assert share(late(5000), stopped) == 0
    assert share(late(5000), seen(Condition(stopped=("sink[0]",)), age=100)) == 50, "a stale word says nothing"


def test_ca3_memory_beyond_its_budget_slows_edges_down_and_never_stops_them() -> None:
    big = Condition(resident_bytes=9_000_000_000, budget_bytes=500_000_000)
    assert Marks().slow_on <= share([], seen(big)) < Marks().stop_on
    half = Condition(resident_bytes=1_000_000_000, budget_bytes=500_000_000)
    assert share([], seen(half)) == 0.5
    assert share([], seen(big, age=100)) == 0


def test_ca4_an_edges_own_limits_slow_down_no_other_edge() -> None:
    full = Condition(resident_bytes=9_000_000_000, budget_bytes=1, spool_share=1.0, queue_share=1.0)
    assert share([], seen(full, kind="edge")) == 0


def test_no_limit_means_no_cause() -> None:
    assert causes(late(5000), [seen(Condition(resident_bytes=9, budget_bytes=1))], Limits(0, 0.25, 0)) == []


# --- lateness ---------------------------------------------------------------------------------------------------------


class Log:
    """One partition's log: when each record came; and how far it is read."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.came: list[int] = []
        self.read_to = 0
        self.asked = 0

    def read(self) -> list[Lag]:
        end = len(self.came)
        return [Lag("sinks", "t", 0, self.read_to, end, end - self.read_to)]

    def first_from(self, times_ms: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], tuple[int, int]]:
        self.asked += 1
        return {place: self._first(time) for place, time in times_ms.items()}

    def _first(self, time_ms: int) -> tuple[int, int]:
        return next(((at, came) for at, came in enumerate(self.came) if came >= time_ms), (-1, -1))

    def append(self) -> None:
        self.came.append(self.clock.now_ns() // 1_000_000)


def test_the_age_of_the_oldest_record_is_known_from_our_own_looks() -> None:
    clock = ManualClock()
    log = Log(clock)
    lateness = Lateness(log, {"sinks": "sink"}, clock, searches=0)
    for _ in range(60):
        assert lateness.look()[0].seconds == 0
        clock.advance(1)
    log.append()
    for second in range(60):
        assert lateness.look()[0].seconds == pytest.approx(second + 1, abs=1)
        clock.advance(1)
    log.read_to = 1
    assert lateness.look()[0] == Late("sink", Lag("sinks", "t", 0, 1, 1, 0), 0.0, True)
    clock.advance(601)
    assert not lateness.look()[0].used
    assert log.asked == 0


def test_ag1_what_came_while_kafka_was_asked_is_not_taken_for_younger() -> None:
    clock = ManualClock()
    log = Log(clock)

    class Slow:
        """Ends are read at once, and the answer takes long; a record comes meanwhile."""

        first_from = log.first_from

        def read(self) -> list[Lag]:
            found = log.read()
            log.append()
            clock.advance(9)
            return found

    lateness = Lateness(Slow(), {"sinks": "sink"}, clock, searches=0)
    lateness.look()
    assert lateness.look()[0].seconds == pytest.approx(18)


def test_la1_the_age_is_that_of_the_brokers_stamp_whenever_the_watch_began() -> None:
    clock = ManualClock()
    log = Log(clock)
    for _ in range(200):
        log.append()
        clock.advance(10)
    log.read_to = 20
    lateness = Lateness(log, {"sinks": "sink"}, clock)
    assert lateness.look()[0].seconds == 1800
    asked = log.asked
    clock.advance(10)
    assert lateness.look()[0].seconds == 1810
    assert log.asked == asked, "the same record is asked about once"
    log.read_to = 150
    assert lateness.look()[0].seconds == 510


def test_la4_a_clock_that_is_ahead_makes_nothing_that_came_since_an_hour_older() -> None:
    brokers, ahead = ManualClock(), ManualClock(1_700_003_600_000_000_000)
    log = Log(brokers)
    lateness = Lateness(log, {"sinks": "sink"}, ahead)
    for second in range(60):
        lateness.look()
        log.append()
        log.read_to = min(second, 50)
        for clock in (brokers, ahead):
            clock.advance(1)
    assert 10 <= lateness.look()[0].seconds <= 72


def test_la5_a_clock_that_is_known_to_be_behind_makes_nothing_younger() -> None:
    brokers, behind = ManualClock(1_700_000_300_000_000_000), ManualClock()
    log = Log(brokers)
    log.append()
    for clock in (brokers, behind):
        clock.advance(100)
    assert Lateness(log, {"sinks": "sink"}, behind).look()[0].seconds == 0, "nobody knew"
    lateness = Lateness(log, {"sinks": "sink"}, behind)
    assert lateness.look(behind_seconds=300)[0].seconds == 100


@pytest.mark.parametrize("own", [{"searches": 0}, {"appended": lambda topic: False}])
def test_la2_la3_beyond_the_searches_the_broker_is_asked_of_what_came_before_we_looked(own: dict[str, Any]) -> None:
    clock = ManualClock()
    log = Log(clock)
    for _ in range(200):
        log.append()
        clock.advance(10)
    log.read_to = 20
    lateness = Lateness(log, {"sinks": "sink"}, clock, **own)
    assert lateness.look()[0].seconds == pytest.approx(1800)
    asked = log.asked
    for _ in range(10):
        clock.advance(10)
        log.append()
        lateness.look()
    log.read_to = 205
    assert 40 <= lateness.look()[0].seconds <= 60
    assert log.asked == asked


def test_la2_those_are_asked_about_first_that_are_late_for_longest() -> None:
    clock = ManualClock()
    logs = [Log(clock) for _ in range(5)]

    class All:
        asked: set[int] = set()

        def read(self) -> list[Lag]:
            return [Lag("sinks", "t", at, 0, len(log.came), len(log.came)) for at, log in enumerate(logs)]

        def first_from(self, times_ms: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], tuple[int, int]]:
            self.asked |= {number for _, number in times_ms}
            return {at: logs[at[1]]._first(time) for at, time in times_ms.items()}

    lateness = Lateness(All(), {"sinks": "sink"}, clock, searches=2)
    lateness.look()
    for log in reversed(logs):
        log.append()
        clock.advance(5)
        found = [late.seconds for late in lateness.look()]
    assert found == [5, 10, 15, 20, 25]
    assert All.asked == {3, 4}


def test_ag2_a_long_watch_keeps_few_notes_and_its_ages_stay_true_to_a_tenth() -> None:
    ages, place = Ages(), ("t", 0)
    for second in range(20_000):
        ages.note(place, second, float(second))
        if second % 60 == 0:
            ages.forget(float(second))
    ages.forget(19_999.0)
    assert len(ages._notes[place]) < 400
    for offset in (19_990, 19_900, 19_000, 15_000, 5_000, 100):
        age = 19_999 - offset
        assert age <= ages.seconds(place, offset, 19_999.0) <= 1.12 * age + 2


# --- the worker -------------------------------------------------------------------------------------------------------


class Topic:
    """The status topic: what lies there, and readers of it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.entries: list[Entry] = []

    def write(self, key: bytes, value: bytes | None) -> None:
        self.entries.append(Entry(key, value, self.clock.now_ns() // 1_000_000, True))

    def reader(self) -> TopicReader:
        return TopicReader(self)


class TopicReader:
    caught_up = True

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._at = 0

    def poll(self, _: float) -> list[Entry]:
        found = self._topic.entries[self._at :]
        self._at = len(self._topic.entries)
        return found

    def close(self) -> None:
        pass


class Writing(FakeProducer):
    """A fake producer whose log is the topic."""

    topic: Topic

    def poll(self, timeout: float) -> int:
        before = len(self.log)
        count = super().poll(0)
        for message in self.log[before:]:
            self.topic.write(message.key or b"", message.value)
        return count


class Watching:
    """A watch on that topic, whose lateness a test says."""

    def __init__(self, id: str, clock: ManualClock, topic: Topic, settings: Settings = SETTINGS) -> None:
        self.seconds = self.behind_seconds = 0.0
        self.broken: Exception | None = None
        self.clock = clock
        self.producer = Writing()
        self.producer.topic = topic
        identity = Identity("watch", id, "h", 1, "0", 0)
        outbox = Outbox(settings, settings.watch_seconds, self.producer)
        look = Looking(settings, clock, late=self._look, reader=topic.reader)
        self.watch = Watch(settings, identity, clock, look=look, outbox=outbox)

    def _look(self, behind_seconds: float) -> list[Late]:
        self.behind_seconds = behind_seconds
        if self.broken is not None:
            raise self.broken
        return late(self.seconds)

    def turn(self) -> Level:
        self.watch.turn()
        self.producer.poll(0)
        return self.watch.pressure.level

    def written(self) -> list[Pressure]:
        return [CODEC.read_pressure(m.value or b"") for m in self.producer.log if m.key == PRESSURE_KEY]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def topic(clock: ManualClock) -> Topic:
    return Topic(clock)


def test_a_watch_publishes_level_factor_and_causes(clock: ManualClock, topic: Topic) -> None:
    one = Watching("a", clock, topic)
    for seconds, level in ((10, Level.NONE), (91, Level.SLOW), (75, Level.SLOW), (120, Level.STOP)):
        one.seconds = seconds
        assert one.turn() is level
        clock.advance(1)
    last = one.written()[-1]
    assert (last.factor, last.share, last.by) == (0.0, 1.2, "a")
    assert last.causes == ("sink: 1 of 1 partitions are 120 s late or more; the limit is 100 s",)
    assert [pressure.level for pressure in one.written()] == [Level.NONE, Level.SLOW, Level.SLOW, Level.STOP]
    assert 0.1 < one.written()[1].factor < 0.5 < one.written()[2].factor < 1


def test_w1_when_kafka_does_not_answer_nothing_is_published_and_the_loop_goes_on(topic: Topic) -> None:
    clock = ManualClock()
    one = Watching("a", clock, topic, SETTINGS.model_copy(update={"watch_seconds": 0.01}))
    place = {"group": "sinks", "topic": "sink", "partition": "0"}
    one.turn()
    assert metrics.REGISTRY.get_sample_value("logflume_lag_partition_records", place) == 0
    before = one.written()
    one.broken = Retryable("no broker")
    stop = threading.Event()
    thread = threading.Thread(target=one.watch.run, args=(stop,))
    thread.start()
    try:
        until(lambda: one.watch.ready() == "no broker", 10, "it says so")
        assert one.written() == before
        gone = lambda: metrics.REGISTRY.get_sample_value("logflume_lag_partition_records", place) is None  # noqa: E731
        until(gone, 10, "nor is anything shown as if it were known")
        pressure = {"logflume_pressure_ratio", "logflume_pressure_lag_seconds", "logflume_pressure_level_info"}
        shown = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
        assert not pressure & shown
        one.broken = None
        until(lambda: one.watch.ready() is None, 10, "it measures")
    finally:
        stop.set()
        thread.join()


def test_a_watch_that_seldom_looks_is_not_taken_for_one_that_hangs(clock: ManualClock, topic: Topic) -> None:
    seldom = Watching("a", clock, topic, SETTINGS.model_copy(update={"watch_seconds": 600.0}))
    seldom.turn()
    clock.advance(650)
    assert seldom.watch.live() is None
    again = topic.reader()
    again.caught_up = False
    looks = iter((False, True))  # it takes a moment to catch up

    def poll(_: float) -> list[Entry]:
        again.caught_up = next(looks, True)
        return []

    again.poll = poll  # type: ignore[method-assign]
    seldom.watch._looking.forget()
    seldom.watch._looking._make_reader = lambda: again
    seldom.turn()
    clock.advance(721)
    assert seldom.watch.live()


def test_w2_of_two_watches_one_writes_and_the_other_takes_over_its_level(clock: ManualClock, topic: Topic) -> None:
    one, two = Watching("a", clock, topic), Watching("b", clock, topic)
    one.seconds = two.seconds = 110
    one.turn()
    for _ in range(5):
        one.seconds = two.seconds = 85  # within the band: only who has seen the 110 knows of the stop
        clock.advance(1)
        assert (one.turn(), two.turn()) == (Level.STOP, Level.STOP)
    assert two.written() == []
    clock.advance(stale_seconds(SETTINGS.watch_seconds) + 1)
    assert two.turn() is Level.STOP
    assert [pressure.level for pressure in two.written()] == [Level.STOP]
    clock.advance(1)
    assert one.turn() is Level.STOP, "and the first one takes it back"
    two.turn()
    assert len(two.written()) == 1


def test_w2_a_watch_that_starts_again_forgets_no_level(clock: ManualClock, topic: Topic) -> None:
    one = Watching("a", clock, topic)
    one.seconds = 110
    one.turn()
    clock.advance(2)
    again = Watching("a", clock, topic)
    again.seconds = 85
    assert again.turn() is Level.STOP


def test_w3_the_word_of_a_worker_that_is_silent_for_a_day_is_taken_away(clock: ManualClock, topic: Topic) -> None:
    status = seen(Condition()).status
    topic.write(status.worker.key, CODEC.status(status))
    one = Watching("a", clock, topic)
    one.turn()
    clock.advance(FORGOTTEN_SECONDS - 10)
    one.turn()
    assert len(one.watch.seen) == 1
    clock.advance(20)
    one.turn()
    one.turn()
    assert not one.watch.seen
    assert (status.worker.key, None) in [(message.key, message.value) for message in one.producer.log]


@pytest.mark.parametrize(
    "wrong",
    [
        {"pressure_slow_off": 0.9},
        {"pressure_slow_on": 1.1},
        {"pressure_stop_off": 1.0},
        {"pressure_stop_off": 0.6},
    ],
)
def test_marks_that_would_flap_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="would flap"):
        Marks.of(SETTINGS.model_copy(update=wrong))


def test_who_looks_for_hours_begins_anew_with_a_renewed_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []

    class Looks:
        def __init__(self) -> None:
            made.append("made")

        def look(self) -> Look:
            return Look()

        def close(self) -> None:
            made.append("closed")

    monkeypatch.setattr(looking, "build", lambda settings, clock: Looks())
    password = tmp_path / "password"
    password.write_text("old")
    settings = Settings(
        kafka_bootstrap="nowhere:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="me",
        kafka_sasl_password=f"file:{password}",
        kafka_reload_seconds=0.01,
    )
    looks = looking.Renewed(settings, SystemClock())
    looks.look()
    assert made == ["made"]
    password.write_text("new")
    until(lambda: looks.look() and len(made) == 3, 30, "another one that looks")
    looks.close()
    assert made == ["made", "closed", "made", "closed"]
