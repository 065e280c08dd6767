"""Statuses and pressure: what is written, what is read of foreign bytes, when it is stale, and a broken Kafka."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from logflume.clock import ManualClock, SystemClock
from logflume.errors import Refused, Unconfigured
from logflume.kafka import status
from logflume.kafka.status import (
    PRESSURE_KEY,
    Codec,
    Condition,
    Entry,
    Follower,
    Identity,
    InForce,
    Level,
    Pressure,
    Reporter,
    Status,
    View,
)
from logflume.kafka.status.record import SCHEMA_HEADER
from logflume.model import Configuration
from logflume.settings import Settings
from tests.support.producer import FakeProducer
from tests.support.waiting import until

SETTINGS = Settings(kafka_bootstrap="nowhere:1", status_seconds=0.05)
CODEC = Codec(SETTINGS)
WORKER = Identity("sink", "a:1", "a", 7, "0.1", 5)
STATUS = Status(
    WORKER,
    Condition(
        in_force=InForce(3, "abc", 1.5, "a fifth of the pairs would go"),
        lag_seconds=2.5,
        resident_bytes=10,
        stopped=("sorted.events[3]",),
        troubles=("a table is broken",),
        dead_letters=(("not-json", 4), ("unwanted", 7)),
    ),
    time_ms=9,
    period_seconds=2.0,
    rows_a_second=12.0,
)
STOP = Pressure(Level.STOP, 0.0, 1.2, ("sink: late",), 1, 2, 2.0, "w")


def entry(key: bytes, value: bytes | None, *, live: bool = True, timestamp_ms: int = 0) -> Entry:
    return Entry(key, value, timestamp_ms, live)


def test_what_is_written_is_read_again() -> None:
    assert CODEC.read_status(WORKER.key, CODEC.status(STATUS)) == STATUS
    assert CODEC.read_pressure(CODEC.pressure(STOP)) == STOP


def test_a_status_stays_small_whatever_its_worker_complains_of() -> None:
    many = tuple(f"{number} " + "x" * 10_000 for number in range(1000))
    value = CODEC.status(Status(WORKER, Condition(troubles=many, stopped=("t[1]",) * 5000), 1, 1.0))
    assert len(value) < 10_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (WORKER.key, b""),
        (WORKER.key, b"\xc3\x01 no such schema"),
        (WORKER.key, CODEC.status(STATUS)[:-3]),
        (WORKER.key, CODEC.pressure(STOP)),
        (b"worker/sink/other", CODEC.status(STATUS)),
        (b"worker/\xff", CODEC.status(STATUS)),
        (PRESSURE_KEY, CODEC.status(STATUS)),
        (PRESSURE_KEY, CODEC.pressure(Pressure(Level.STOP, period_seconds=float("nan")))),
        (PRESSURE_KEY, CODEC.pressure(Pressure(Level.STOP, period_seconds=1e9))),
        (PRESSURE_KEY, CODEC.pressure(Pressure(Level.SLOW, factor=float("inf"), period_seconds=1.0))),
        (b"\xff\xfe", b"whatever"),
    ],
)
def test_v1_foreign_bytes_are_passed_over(key: bytes, value: bytes) -> None:
    view = View(SETTINGS, ManualClock())
    view.take(entry(key, value))
    assert (view.workers(), view.pressure().level) == ([], Level.NONE)


@given(st.data(), st.sampled_from([(WORKER.key, CODEC.status(STATUS)), (PRESSURE_KEY, CODEC.pressure(STOP))]))
def test_v1_a_word_that_was_damaged_anywhere_raises_nothing(data: st.DataObject, word: tuple[bytes, bytes]) -> None:
    key, value = word
    at = data.draw(st.integers(10, len(value)))  # behind the schema's fingerprint
    damaged = value[:at] + data.draw(st.binary(max_size=12)) + value[at + data.draw(st.integers(0, 12)) :]
    view = View(SETTINGS, ManualClock())
    view.take(entry(key, damaged))
    assert len(view.workers()) <= 1
    assert view.pressure().level in Level


def test_v3_a_pressure_is_none_once_three_periods_went_by_without_another() -> None:
    clock = ManualClock()
    view = View(SETTINGS, clock)
    view.take(entry(PRESSURE_KEY, CODEC.pressure(STOP)))
    clock.advance(6.9)
    assert view.pressure() == STOP
    clock.advance(0.2)
    assert view.pressure().level is Level.NONE


def test_v2_a_worker_that_is_silent_for_too_long_is_stale_and_a_tombstone_takes_it_away() -> None:
    clock = ManualClock()
    view = View(SETTINGS, clock)
    view.take(entry(WORKER.key, CODEC.status(STATUS)))
    assert [seen.stale for seen in view.workers()] == [False]
    clock.advance(7.1)
    assert [seen.stale for seen in view.workers()] == [True]
    view.take(entry(WORKER.key, None))
    assert view.workers() == []


def test_v2_what_lay_in_the_log_is_as_old_as_kafka_says() -> None:
    clock = ManualClock()
    view = View(SETTINGS, clock)
    view.take(entry(WORKER.key, CODEC.status(STATUS), live=False, timestamp_ms=clock.now_ns() // 1_000_000 - 60_000))
    view.take(entry(PRESSURE_KEY, CODEC.pressure(STOP), live=False, timestamp_ms=clock.now_ns() // 1_000_000 - 60_000))
    assert [round(seen.age_seconds) for seen in view.workers()] == [60]
    assert view.pressure().level is Level.NONE


def test_a_configuration_that_is_not_there_yet_is_generation_0_and_says_so() -> None:
    def ask() -> Configuration:
        raise Unconfigured("none yet")

    assert status.in_force(ask, ManualClock()) == InForce(refused="none yet")
    clock = ManualClock()
    made = Configuration(4, "h", {}, made_ns=clock.now_ns())
    clock.advance(3)
    assert status.in_force(lambda: made, clock) == InForce(4, "h", 3.0)


# --- the reporter -----------------------------------------------------------------------------------------------------


class Kafka(FakeProducer):
    """A fake producer with librdkafka's ``flush``."""

    def flush(self, timeout: float) -> int:
        self.poll(0.01)
        return 0


def words(kafka: Kafka) -> list[Any]:
    """What stands in the log: conditions, and None for a tombstone."""
    return [
        None if message.value is None else CODEC.read_status(message.key or b"", message.value).condition
        for message in kafka.log
    ]


def report(kafka: Any, measure: Callable[[], Condition] = Condition, **changed: Any) -> Reporter:
    return Reporter(
        SETTINGS.model_copy(update=changed), "sink", measure, clock=SystemClock(), worker=WORKER, make_producer=kafka
    )


def test_rp2_a_change_of_generation_is_told_at_once() -> None:
    kafka, generation = Kafka(), [1]
    with report(kafka, lambda: Condition(in_force=InForce(generation[0])), status_seconds=600.0):
        until(lambda: words(kafka), 10, "the first word")
        generation[0] = 2
        until(lambda: len(words(kafka)) == 2, 10, "the next one, long before its time")
    assert [word and word.in_force.generation for word in words(kafka)] == [1, 2, None]


def test_rp3_an_orderly_end_leaves_a_tombstone() -> None:
    kafka = Kafka()
    with report(kafka):
        until(lambda: words(kafka), 10, "a word")
    assert kafka.log[-1].value is None
    assert {message.key for message in kafka.log} == {WORKER.key}


def test_o2_while_kafka_is_away_one_message_waits_and_no_more() -> None:
    kafka = Kafka(away=True)
    looked: list[int] = []
    reporter = report(kafka, lambda: looked.append(1) or Condition())  # type: ignore[func-returns-value]
    with reporter:
        until(lambda: len(looked) > 5, 10, "several periods")
    assert len(kafka._waiting) == 1
    assert not reporter._thread.is_alive()


class Broken:
    """A producer that fails at every call."""

    def __init__(self, config: dict[str, Any]) -> None:
        pass

    def produce(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    def poll(self, _: float) -> int:
        raise KafkaException(KafkaError(KafkaError._FATAL))

    def flush(self, _: float) -> int:
        raise KafkaException(KafkaError(KafkaError._FATAL))


def test_rp1_whatever_kafka_and_the_worker_do_the_reporter_goes_on_and_ends() -> None:
    turns: list[int] = []

    def measure() -> Condition:
        turns.append(1)
        raise RuntimeError("in the middle of a change")

    with report(Broken, measure) as broken:
        until(lambda: len(turns) > 3, 10, "it goes on")
    assert not broken._thread.is_alive()
    kafka = Kafka()
    with report(kafka, measure):
        until(lambda: words(kafka), 10, "it says so")
    assert words(kafka)[0].troubles == ("it can't say how it is: RuntimeError: in the middle of a change",)


def test_rp2_a_word_that_cannot_be_written_is_not_the_last_one() -> None:
    kafka, turns = Kafka(), list[int]()

    def measure() -> Condition:
        turns.append(1)
        return Condition(rows=1 << 70) if len(turns) == 1 else Condition(rows=7)

    with report(kafka, measure):
        until(lambda: words(kafka), 10, "the next word")
    assert words(kafka)[0].rows == 7


def test_a_trouble_with_the_name_of_a_file_that_is_no_utf8_is_told() -> None:
    kafka = Kafka()
    with report(kafka, lambda: Condition(troubles=(os.fsdecode(b"/var/log/\xe9.log can't be read"),))):
        until(lambda: words(kafka), 10, "a word")
    assert words(kafka)[0].troubles == ("/var/log/\\udce9.log can't be read",)


def test_without_status_seconds_there_is_neither_reporter_nor_follower() -> None:
    def never(_: dict[str, Any]) -> Any:
        raise AssertionError("no client of Kafka is wanted")

    report(never, status_seconds=0.0).start().close()
    off = SETTINGS.model_copy(update={"status_seconds": 0.0})
    Follower(off, SystemClock(), never, make_consumer=never).start().close()  # type: ignore[arg-type]


# --- the follower -----------------------------------------------------------------------------------------------------


class Message:
    def __init__(self, value: bytes) -> None:
        self._value = value

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return PRESSURE_KEY

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def headers(self) -> list[tuple[str, bytes]]:
        return [(SCHEMA_HEADER, CODEC.pressure_schema)]


class Consumer:
    """Gives what lies in ``coming`` (None: nothing, now), then nothing; an exception there is raised."""

    coming: list[bytes | Exception | None]
    made = 0

    def __init__(self, _: dict[str, Any]) -> None:
        type(self).made += 1

    def assign(self, _: Any) -> None:
        pass

    def poll(self, seconds: float) -> Message | None:
        if not self.coming:
            threading.Event().wait(min(seconds, 0.01))
            return None
        found = self.coming.pop(0)
        if isinstance(found, Exception):
            raise found
        return None if found is None else Message(found)

    def close(self) -> None:
        pass


def test_f1_f2_a_follower_tells_of_each_change_and_of_its_end_by_staleness() -> None:
    clock, heard = ManualClock(), list[Pressure]()
    Consumer.coming = [CODEC.pressure(STOP), b"nonsense", CODEC.pressure(STOP)]
    follower = Follower(SETTINGS, clock, heard.append, make_consumer=Consumer).start()
    until(lambda: heard, 10, "the level")
    until(lambda: not Consumer.coming, 10, "all is read")
    clock.advance(10)
    until(lambda: len(heard) == 2, 10, "its end")
    follower.close()
    assert [pressure.level for pressure in heard] == [Level.STOP, Level.NONE]


def test_f3_a_follower_that_fails_has_no_pressure_and_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from logflume.kafka.status import following

    monkeypatch.setattr(following, "_AGAIN_SECONDS", 0.01)
    heard: list[Pressure] = []
    Consumer.coming = [CODEC.pressure(STOP), None, RuntimeError("boom"), CODEC.pressure(STOP)]
    follower = Follower(SETTINGS, ManualClock(), heard.append, make_consumer=Consumer).start()
    until(lambda: len(heard) == 3, 10, "again")
    follower.close()
    assert [pressure.level for pressure in heard] == [Level.STOP, Level.NONE, Level.STOP]


def test_refused_is_what_reading_raises() -> None:
    with pytest.raises(Refused):
        CODEC.read_pressure(b"\xc3\x01")


def test_what_kafka_stamped_in_our_future_says_that_our_clock_is_behind() -> None:
    clock = ManualClock()
    view = View(SETTINGS, clock)
    now = clock.now_ns() // 1_000_000
    view.take(entry(b"worker/sink/x", None, live=False, timestamp_ms=now - 90_000))
    view.take(Entry(b"worker/sink/x", None, now + 3_600_000, live=True, appended=False))
    assert view.behind_seconds == 0, "a producer may say what it likes"
    for late_ms in (1500, 0, 700):  # the way here took each so long
        view.take(entry(b"worker/sink/x", None, timestamp_ms=now + 60_000 - late_ms))
    assert view.behind_seconds == 60
    for _ in range(16):  # somebody set the clock
        view.take(entry(b"worker/sink/x", None, timestamp_ms=now - 200))
    assert view.behind_seconds == 0
