"""Whether topics are made again is seen without a message of theirs."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from logflume.clock import ManualClock
from logflume.kafka.identity import Lookout


class Admin:
    """Whose answers the test gives."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Future[Any]]] = []

    def describe_topics(self, names: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.asked.append({name: Future() for name in ("events", "dns")})
        return self.asked[-1]

    def says(self, **ids: str | None) -> None:
        for name, id in ids.items():
            if id is None:
                error = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
                self.asked[-1][name].set_exception(error)
            else:
                self.asked[-1][name].set_result(SimpleNamespace(topic_id=id))


def test_a_topic_with_another_id_is_told_and_nothing_waits() -> None:
    admin, clock = Admin(), ManualClock()
    lookout = Lookout(admin, clock)  # type: ignore[arg-type]
    ids = {"events": "a_a", "dns": "b"}
    assert lookout.changed(ids) == []
    clock.advance(60)
    assert lookout.changed(ids) == []
    assert len(admin.asked) == 1, "one look at a time"
    admin.says(events="c", dns="b")
    [changed] = lookout.changed(ids)
    assert (changed.topic, "had the id a_a and now has c" in str(changed)) == ("events", True)
    clock.advance(1)
    assert lookout.changed(ids) == []
    assert len(admin.asked) == 2, "and a few seconds between them"
    assert lookout.changed({}) == []


def test_the_same_ids_and_topics_that_a_broker_does_not_know_are_no_change() -> None:
    admin = Admin()
    lookout = Lookout(admin, ManualClock())  # type: ignore[arg-type]
    ids = {"events": "a_a", "dns": "b"}
    lookout.changed(ids)
    admin.says(events="a/a", dns=None)
    assert lookout.changed(ids) == []


def test_who_is_opened_since_the_look_was_asked_for_is_not_judged_by_it() -> None:
    admin = Admin()
    lookout = Lookout(admin, ManualClock())  # type: ignore[arg-type]
    lookout.changed({"events": "a", "dns": "b"})
    admin.says(events="new", dns="b")
    assert lookout.changed({"events": "new", "dns": "b"}) == []
