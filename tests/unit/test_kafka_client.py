"""What every Kafka client is configured with, whoever sets options, and what Kafka's errors become."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from logflume.errors import Fatal, LogflumeError, Misconfigured, Retryable
from logflume.kafka import client
from logflume.settings import Settings

HASTY = {"acks": "1", "enable.idempotence": "false", "auto.offset.reset": "latest", "enable.auto.commit": "true"}
HASTY |= {"max.in.flight": "5", "max.in.flight.requests.per.connection": "5", "request.required.acks": "1"}


def settings(**options: str) -> Settings:
    return Settings(kafka_bootstrap="127.0.0.1:1", kafka_options=options)


def test_options_reach_every_client() -> None:
    given = settings(**{"security.protocol": "SASL_SSL", "client.id": "mine"})
    for config in (client.common(given), client.producer_config(given), client.consumer_config(given, "g")):
        assert config["security.protocol"] == "SASL_SSL"
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


def test_a_fatal_error_is_fatal_whatever_its_code() -> None:
    assert type(client.typed(KafkaError(KafkaError._TRANSPORT, "gone", True), "x")) is Fatal
