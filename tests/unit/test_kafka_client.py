"""What every Kafka client is configured with, whoever sets options, and what Kafka's errors become."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from logflume.errors import Fatal, LogflumeError, Misconfigured, Retryable
from logflume.kafka import client, cursors
from logflume.settings import Settings

HASTY = {"acks": "1", "enable.idempotence": "false", "auto.offset.reset": "latest", "enable.auto.commit": "true"}
HASTY |= {"max.in.flight": "5", "max.in.flight.requests.per.connection": "5", "request.required.acks": "1"}


def settings(**options: str) -> Settings:
    return Settings(kafka_bootstrap="127.0.0.1:1", kafka_options=options)


def test_options_reach_every_client() -> None:
    given = settings(**{"socket.keepalive.enable": "true", "client.id": "mine"})
    for config in (client.common(given), client.producer_config(given), client.consumer_config(given, "g")):
        assert config["socket.keepalive.enable"] == "true"
        assert config["client.id"] == "mine"


def test_a_producer_stays_idempotent_whatever_the_options_say() -> None:
    config = client.producer_config(settings(**HASTY))
    assert (config["acks"], config["enable.idempotence"]) == ("all", True)
    assert config["max.in.flight.requests.per.connection"] == 1
    assert not config.keys() & {"max.in.flight", "request.required.acks"}  # librdkafka would heed the last alias


def test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say() -> None:
    config = client.consumer_config(settings(**HASTY, **{"isolation.level": "read_uncommitted"}), "g")
    assert config["auto.offset.reset"] == "error"
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False
    assert config["isolation.level"] == "read_committed"
    assert config["allow.auto.create.topics"] is False
    assert config["group.id"] == "g"


def test_an_override_in_the_code_wins() -> None:
    assert client.producer_config(settings(), linger_ms=5)["linger.ms"] == 5
    assert client.consumer_config(settings(), "g", group_instance_id="a")["group.instance.id"] == "a"


def test_librdkafka_takes_both_configurations_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    Producer(client.producer_config(settings(log_level="4")))
    Consumer(client.consumer_config(settings(log_level="4"), "g")).close()
    assert "CONFWARN" not in capfd.readouterr().err


def test_no_client_is_made_without_brokers() -> None:
    with pytest.raises(Misconfigured, match="LOGFLUME_KAFKA_BOOTSTRAP"):
        client.common(Settings())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._TRANSPORT, Retryable),
        (KafkaError._ALL_BROKERS_DOWN, Retryable),
        (KafkaError._TIMED_OUT, Retryable),
        (KafkaError._MSG_TIMED_OUT, Retryable),
        (KafkaError.REQUEST_TIMED_OUT, Retryable),
        (KafkaError.NOT_ENOUGH_REPLICAS, Retryable),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, Retryable),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Retryable),
        (KafkaError.FENCED_LEADER_EPOCH, Retryable),
        (KafkaError.UNKNOWN_LEADER_EPOCH, Retryable),
        (KafkaError.OFFSET_NOT_AVAILABLE, Retryable),
        (KafkaError._AUTHENTICATION, Misconfigured),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Misconfigured),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Misconfigured),
        (KafkaError.INVALID_REPLICATION_FACTOR, Misconfigured),
        (KafkaError._FENCED, Fatal),
        (KafkaError.UNKNOWN_MEMBER_ID, Fatal),
        (KafkaError.MSG_SIZE_TOO_LARGE, Fatal),
    ],
)
def test_an_error_is_typed_by_what_to_do_about_it(code: int, expected: type[LogflumeError]) -> None:
    for error in (KafkaError(code), KafkaException(KafkaError(code))):
        typed = client.typed(error, "topic x")
        assert type(typed) is expected
        assert "topic x" in str(typed)
        assert KafkaError(code).name() in str(typed)


def test_an_error_of_brokers_that_are_away_says_where_to_look() -> None:
    assert "LOGFLUME_KAFKA_BOOTSTRAP" in str(client.typed(KafkaError(KafkaError._TIMED_OUT), "topic x"))


def test_offsets_that_nobody_can_tell_may_be_those_of_a_topic_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "_LEADERLESS_SECONDS", 0.0)
    answer: Future[None] = Future()
    answer.set_exception(KafkaException(KafkaError(KafkaError._NOENT, "No leaders found")))
    admin = SimpleNamespace(list_offsets=lambda asked, **_: dict.fromkeys(asked, answer))
    with pytest.raises(Retryable, match="there is no such topic: see `logflume topics diff`"):
        cursors.ends(cast(AdminClient, admin), "logflume.config", [0])


def test_an_administrator_does_not_repeat_twenty_times_a_second_that_a_broker_is_away(
    capfd: pytest.CaptureFixture[str],
) -> None:
    admin = client.admin(Settings(kafka_bootstrap="127.0.0.1:1"))
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.3)
    assert capfd.readouterr().err == ""


def test_a_fatal_error_is_fatal_whatever_its_code() -> None:
    assert type(client.typed(KafkaError(KafkaError._TRANSPORT, "gone", True), "x")) is Fatal


def test_a_client_that_never_comes_back_ends_the_wait_and_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_LATE_SECONDS", 0.0)
    monkeypatch.setattr(client, "REQUEST_SECONDS", 0.01)
    never: Future[object] = Future()
    much_later = threading.Timer(10, never.set_result, ["it"])
    much_later.start()
    with pytest.raises(Fatal, match="topic x: Kafka's client has not come back for 0 s"):
        client.answer(never, "topic x")
    much_later.cancel()
    done: Future[object] = Future()
    done.set_result("it")
    assert client.answer(done, "topic x") == "it"
    away: Future[object] = Future()
    away.set_exception(KafkaException(KafkaError(KafkaError._TRANSPORT)))
    with pytest.raises(Retryable, match="topic x"):
        client.answer(away, "topic x")
