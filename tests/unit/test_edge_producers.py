"""A client that is given new certificates: PR1 and PR2."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from logflume.clock import SystemClock
from logflume.edge.producers import Producers
from logflume.edge.publisher import Publisher
from logflume.edge.spool import Message
from logflume.errors import LogflumeError
from tests.support.producer import FakeProducer
from tests.support.waiting import until


def message(value: bytes) -> Message:
    return Message("t", None, value, (), "events")


class Published:
    """A publisher at work; ``stored`` are tickets."""

    def __init__(self, producer: FakeProducer) -> None:
        self.stored: list[int] = []
        self.failed: list[LogflumeError] = []
        self.publisher = Publisher(
            stored=lambda ticket, _: self.stored.append(ticket), failed=self.failed.append, clock=SystemClock()
        )
        self.publisher.start(producer)


@contextmanager
def at_work(producer: FakeProducer) -> Iterator[Published]:
    made = Published(producer)
    thread = threading.Thread(target=made.publisher.run)
    thread.start()
    try:
        yield made
    finally:
        made.publisher.end()
        thread.join()


def test_pr1_what_comes_after_a_renewal_goes_to_the_new_producer_and_each_message_to_one() -> None:
    old, new = FakeProducer(away=True), FakeProducer()
    with at_work(old) as it:
        it.publisher.publish(1, message(b"1"))
        it.publisher.renew(new)
        it.publisher.publish(2, message(b"2"))
        until(lambda: it.stored == [2], 30, "the new one's report")
        old.back()
        until(lambda: it.stored == [2, 1], 30, "the old one's report")
    assert ([each.value for each in old.log], [each.value for each in new.log]) == ([b"1"], [b"2"])
    assert it.failed == []


def test_pr1_while_many_publish_each_message_is_stored_once() -> None:
    made = [FakeProducer(queue=50) for _ in range(20)]
    with at_work(made[0]) as it:
        threads = [
            threading.Thread(
                target=lambda first=first: [it.publisher.publish(first + n, message(b"")) for n in range(500)]  # type: ignore[misc]
            )
            for first in (0, 500, 1000)
        ]
        for thread in threads:
            thread.start()
        for producer in made[1:]:
            it.publisher.renew(producer)
        for thread in threads:
            thread.join()
        until(lambda: len(it.stored) >= 1500, 60, "all stored")
    assert sorted(it.stored) == list(range(1500))
    assert sum(len(each.log) for each in made) == 1500


def test_pr2_an_old_producer_is_let_go_once_it_has_nothing_left() -> None:
    old, new = FakeProducer(away=True), FakeProducer()
    producers = Producers(old)
    producers.produce("t", b"1", None, {})
    producers.renew(new)
    producers.poll(0)
    assert producers._before == [old]
    old.back()
    producers.poll(0)
    assert producers._before == []
    assert [each.value for each in old.log] == [b"1"]
