"""Every way into a secured Kafka, by both clients, against a real broker."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.kafka.quotas import Quotas
from logflume.settings import Settings
from tests.support.secured import SecuredKafka, TokenService
from tests.support.ways import WAYS, Principal, everything


@pytest.fixture(scope="module")
def tokens(secured: SecuredKafka) -> Iterator[TokenService]:
    with secured.token_service() as service:
        yield service


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, secured: SecuredKafka, tokens: TokenService, tmp_path: Path) -> Settings:
    """The settings of a principal that may do everything."""
    made = Principal(request.param, secured, tokens, tmp_path)
    secured.allow(everything(made.name))
    return Settings(**made.given)


def test_both_clients_and_the_administrator_come_in(way: Settings) -> None:
    topic = f"t{secrets.token_hex(4)}"
    admin = client.admin(way)
    client.answer(admin.create_topics([NewTopic(topic, 1, 1)])[topic], topic)
    producer = Producer(client.producer_config(way))
    failed: list[object] = []
    producer.produce(topic, b"one", on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(30) == 0
    assert failed == [None]
    consumer = Consumer(client.consumer_config(way, topic))
    consumer.assign([TopicPartition(topic, 0, 0)])
    [message] = consumer.consume(1, 30)
    assert (message.error(), message.value()) == (None, b"one")
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    consumer.close()
    quotas = Quotas(way)  # by aiokafka's connection
    quotas.set_producers({topic: 1e6})
    assert quotas.producers()[topic] == 1e6
    quotas.set_producers({topic: None})
    client.answer(admin.delete_topics([topic])[topic], topic)


def refusal(settings: Settings) -> str:
    """What an administrator's request comes to."""
    admin = client.admin(settings.model_copy(update={"kafka_options": {"log_level": "0"}}))
    with pytest.raises(Retryable) as told:
        topics.present(admin, ["any"])
    return str(told.value)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not let in waits until its request is over; what another test's clients heard is theirs."""
    monkeypatch.setattr(client, "_heard", (0.0, ""))
    monkeypatch.setattr(client, "_admins", weakref.WeakSet())
    monkeypatch.setattr(client, "REQUEST_SECONDS", 4.0)


def test_a_wrong_password_is_told_as_such(secured: SecuredKafka, tmp_path: Path) -> None:
    given = secured.scram(f"u{secrets.token_hex(4)}", tmp_path)
    Path(given["kafka_sasl_password"].removeprefix("file:")).write_text("another")
    told = refusal(Settings(**given))
    assert "do not let this client in" in told
    assert "invalid credentials" in told
    with pytest.raises(Retryable):
        Quotas(Settings(**given)).producers()


def test_a_broker_that_shows_another_certificate_is_not_spoken_to(secured: SecuredKafka, tmp_path: Path) -> None:
    given = secured.scram(f"u{secrets.token_hex(4)}", tmp_path)
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(trustme.CA().cert_pem.bytes())
    settings = Settings(**given | {"kafka_tls_ca": str(stranger)})
    assert "certificate verify failed" in refusal(settings)
    with pytest.raises(Retryable):
        Quotas(settings).producers()


def test_a_client_without_tls_gets_nothing_from_a_broker_that_wants_it(secured: SecuredKafka, tmp_path: Path) -> None:
    with pytest.raises(Retryable):
        topics.present(client.admin(Settings(kafka_bootstrap=secured.broker.at("mtls"))), ["any"])


def test_no_certificate_is_no_way_in_where_one_is_wanted(secured: SecuredKafka) -> None:
    given = secured.tls(kafka_bootstrap=secured.broker.at("mtls"), kafka_security_protocol="SSL")
    assert "do not let this client in" in refusal(Settings(**given))


def test_a_wrong_secret_gets_no_token(tokens: TokenService, tmp_path: Path) -> None:
    given = tokens.settings(f"u{secrets.token_hex(4)}", tmp_path)
    Path(given["kafka_oauth_client_secret"].removeprefix("file:")).write_text("another")
    assert "do not let this client in" in refusal(Settings(**given))
    with pytest.raises(Retryable):
        Quotas(Settings(**given)).producers()
