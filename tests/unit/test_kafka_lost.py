"""What a client of librdkafka's reports of its brokers, judged (LB1, LB2), and who makes another one."""

from __future__ import annotations

from typing import Any

import pytest

from logflume.errors import Fatal
from logflume.kafka import client
from logflume.kafka.lost import REPORT_SECONDS, Brokers
from logflume.kafka.status import Outbox
from logflume.settings import Settings
from tests.support.producer import FakeProducer

SETTINGS = Settings(kafka_bootstrap="127.0.0.1:9")
LEARNED = '{"brokers":{"k/1":{"name":"k/1", "source":"learned", "state":"DOWN"}}}'
CONFIGURED = '{"brokers":{"k/bootstrap":{"nodeid":-1, "source":"configured"}}}'
NONE = '{"brokers":{":0/internal":{"source":"internal"}, "GroupCoordinator":{"source":"logical"}}}'


def test_lb1_two_reports_in_a_row_without_a_broker_are_a_loss() -> None:
    brokers = Brokers()
    for report in (NONE, LEARNED, NONE, CONFIGURED, NONE):
        brokers.told(report)
    with pytest.raises(Fatal, match="lost every broker"):
        brokers.told(NONE)


def test_lb2_it_is_told_with_each_further_report_too() -> None:
    brokers = Brokers()
    brokers.told(NONE)
    for _ in range(3):
        with pytest.raises(Fatal):
            brokers.told(NONE)


@pytest.mark.parametrize("config", [client.producer_config(SETTINGS), client.consumer_config(SETTINGS, "group")])
def test_every_client_reports_and_an_operator_may_say_how_often(config: dict[str, Any]) -> None:
    assert config["statistics.interval.ms"] == REPORT_SECONDS * 1000
    config["stats_cb"](NONE)
    with pytest.raises(Fatal):
        config["stats_cb"](NONE)
    often = SETTINGS.model_copy(update={"kafka_options": {"statistics.interval.ms": "500"}})
    assert client.producer_config(often)["statistics.interval.ms"] == "500"
    assert client.consumer_config(often, "group")["statistics.interval.ms"] == "500"


def test_two_clients_are_judged_apart() -> None:
    one, other = client.producer_config(SETTINGS), client.producer_config(SETTINGS)
    one["stats_cb"](NONE)
    other["stats_cb"](NONE)


class LostOnce(FakeProducer):
    """Tells at its second poll that it has lost every broker, and delivers nothing."""

    polls = 0

    def poll(self, timeout: float = 0) -> int:
        self.polls += 1
        if self.polls > 1:
            raise Fatal("lost every broker")
        return 0


def test_status_goes_on_by_another_producer_when_one_has_lost_its_brokers() -> None:
    made: list[FakeProducer] = []

    def make(config: dict[str, Any]) -> FakeProducer:
        assert "stats_cb" in config
        made.append(FakeProducer()(config) if made else LostOnce()(config))
        return made[-1]

    outbox = Outbox(SETTINGS, 1.0, make)
    assert not outbox.put(b"key", b"lost")
    assert outbox.put(b"key", b"found"), "the key does not wait for what will never come"
    made[-1].poll(0)
    assert [stored.value for stored in made[-1].log] == [b"found"]
