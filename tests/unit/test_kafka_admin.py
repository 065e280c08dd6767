"""A client of an administrator that outlives what librdkafka's does not."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from logflume.kafka import admin as administrator
from logflume.kafka.admin import Administrator
from tests.support.waiting import until

TIMED_OUT = KafkaException(KafkaError(KafkaError._TIMED_OUT))
REFUSED = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


class Fake:
    made: list[Fake] = []

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.asked: Future[str] = Future()
        Fake.made.append(self)

    def describe_topics(self, names: list[str], request_timeout: float) -> dict[str, Future[str]]:
        return dict.fromkeys(names, self.asked)

    def list_consumer_groups(self) -> Future[str]:
        return self.asked

    def list_topics(self, timeout: float) -> str:
        raise TIMED_OUT


@pytest.fixture
def admin() -> Administrator:
    Fake.made = []
    return Administrator({"client.id": "me"}, Fake)  # type: ignore[arg-type]


def test_a1_after_a_request_that_timed_out_the_next_one_has_a_new_client(admin: Administrator) -> None:
    asked = admin.describe_topics(["a", "b"], request_timeout=1)
    assert len(Fake.made) == 1
    Fake.made[0].asked.set_exception(TIMED_OUT)
    assert asked["a"].exception() is TIMED_OUT
    admin.list_consumer_groups()
    assert len(Fake.made) == 2
    assert Fake.made[1].config == {"client.id": "me"}
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1)
    admin.list_consumer_groups()
    assert len(Fake.made) == 3


@pytest.mark.parametrize("code", [KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION])
def test_a4_who_takes_a_former_leader_for_the_present_one_is_made_anew(admin: Administrator, code: int) -> None:
    admin.describe_topics(["a"], request_timeout=1)
    Fake.made[0].asked.set_exception(KafkaException(KafkaError(code)))
    admin.list_consumer_groups()
    assert len(Fake.made) == 2


def test_a1_answers_and_other_refusals_wear_nothing_out(admin: Administrator) -> None:
    admin.list_consumer_groups()
    Fake.made[0].asked.set_exception(REFUSED)
    admin.list_consumer_groups()
    assert len(Fake.made) == 1


def test_a3_after_a_renewal_the_next_request_goes_by_the_new_configuration(admin: Administrator) -> None:
    begun = admin.list_consumer_groups()
    admin.renew({"client.id": "renewed"})
    assert len(Fake.made) == 1
    admin.list_consumer_groups()
    assert [each.config["client.id"] for each in Fake.made] == ["me", "renewed"]
    Fake.made[0].asked.set_result("what was begun is ended")
    assert begun.result() == "what was begun is ended"


def test_a2_a_late_word_of_a_client_that_was_replaced_wears_out_no_other(admin: Administrator) -> None:
    late = Fake.made[0]
    admin.list_consumer_groups()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1)
    admin.list_consumer_groups()
    late.asked.set_exception(TIMED_OUT)
    admin.list_consumer_groups()
    assert len(Fake.made) == 2


def test_a2_what_hears_of_an_end_does_not_hold_the_client(
    admin: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administrator, "_ENDED_SECONDS", 0.0)
    asked = admin.list_consumer_groups()
    gone = weakref.ref(Fake.made.pop())
    asked.set_exception(TIMED_OUT)
    admin.list_consumer_groups()
    until(lambda: gone() is None, what="the client that was replaced is let go")
    assert asked.exception() is TIMED_OUT
