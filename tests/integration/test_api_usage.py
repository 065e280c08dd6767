"""Dead letters counted from the real topic: each once, and then only what is new."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from logflume.api.rejected import Key, Rejected
from logflume.clock import ManualClock, SystemClock
from logflume.kafka import client as kafka_client
from logflume.kafka import deadletters, topics
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.deliveries import Deliveries
from logflume.settings import Settings
from tests.conftest import SettingsFor, SharedKafka


@pytest.fixture
def settings(kafka: SharedKafka, settings_for: SettingsFor) -> Settings:
    return settings_for(kafka)


def _file(settings: Settings, *letters: DeadLetter) -> None:
    deliveries = Deliveries(Producer(kafka_client.producer_config(settings)))
    for message in deadletters.pack(letters):
        deliveries.send(topics.deadletter_topic(settings), None, message.key, message.value, message.headers)
    deliveries.wait(60)


def _letter(tenant: str | None, offset: int, reason: str = "not-json") -> DeadLetter:
    return DeadLetter(reason, "sort", tenant, "events", b"12345", "why", "t", "id", 0, offset, 0)


def test_each_letter_counts_once_and_only_what_is_new_is_read(settings: Settings) -> None:
    topics.apply(settings)
    clock = ManualClock(now_ns=SystemClock().now_ns())
    rejected = Rejected(settings, clock)
    _file(settings, _letter("acme", 1), _letter("acme", 2), _letter("globex", 3), _letter(None, 4))
    _file(settings, _letter("acme", 1))  # a killed sorter wrote it again
    today = datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC).date()
    acme = Key("acme", "events", today, "not-json")
    assert rejected.of("acme") == {acme: (2, 10)}
    assert rejected.of("globex") == {acme._replace(tenant="globex"): (1, 5)}
    _file(settings, _letter("acme", 2), _letter("acme", 5, "too-deep"))
    assert rejected.of("acme") == {acme: (2, 10)}  # read a moment ago
    clock.advance(60)
    assert rejected.of("acme") == {acme: (2, 10), acme._replace(reason="too-deep"): (1, 5)}
    clock.advance(16 * 86_400)
    assert rejected.of("acme") == {}
