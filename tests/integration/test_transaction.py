"""The sink's transaction against a real broker: all or nothing, and nothing from who is not a member any more."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from logflume.errors import Retryable
from logflume.kafka import client, cursors, topics
from logflume.kafka.transaction import Outgoing, Stale, Transactions, membership
from logflume.settings import Settings
from tests.support.waiting import until


@pytest.fixture
def made(settings: Settings) -> Settings:
    settings = settings.model_copy(update={"sink_transaction_timeout_ms": 10_000})
    topics.apply(settings)
    return settings


def joined(settings: Settings) -> Consumer:
    """A member of the sink's group that owns its share of the partitions."""
    consumer = Consumer(
        client.consumer_config(
            settings, settings.sink_group, partition_assignment_strategy="cooperative-sticky", session_timeout_ms=6000
        )
    )
    assigned: list[TopicPartition] = []

    def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assigned.extend(partitions)
        consumer.incremental_assign([TopicPartition(p.topic, p.partition, 0) for p in partitions])

    consumer.subscribe([topics.sorted_topic(settings, "events")], on_assign=on_assign)
    until(lambda: consumer.poll(0.2) or assigned, 60)
    return consumer


def values(settings: Settings) -> dict[bytes, bytes]:
    name = topics.cursors_topic(settings)
    admin = client.admin(settings)
    return cursors.read_to_end(settings, admin, range(topics.present(admin, [name])[name].partitions), 30)


def committed(settings: Settings) -> int:
    consumer = Consumer(client.consumer_config(settings, settings.sink_group))
    [place] = consumer.committed([TopicPartition(topics.sorted_topic(settings, "events"), 0)], timeout=30)
    consumer.close()
    return int(place.offset)


def commit(settings: Settings, transactions: Transactions, value: bytes, offset: int, metadata: Any) -> None:
    message = Outgoing(topics.cursors_topic(settings), 0, b"key", value)
    transactions.commit([message], [TopicPartition(topics.sorted_topic(settings, "events"), 0, offset)], metadata)


def test_messages_and_offsets_are_committed_together(made: Settings) -> None:
    consumer, transactions = joined(made), Transactions(made)
    commit(made, transactions, b"one", 7, lambda: membership(consumer))
    commit(made, transactions, b"two", 8, lambda: membership(consumer))
    assert values(made) == {b"key": b"two"}
    assert committed(made) == 8
    consumer.close()


def test_the_membership_of_an_earlier_generation_commits_nothing(made: Settings) -> None:
    consumer, transactions = joined(made), Transactions(made)
    commit(made, transactions, b"one", 1, lambda: membership(consumer))
    stale = membership(consumer)
    consumer.close()
    successor = joined(made)
    with pytest.raises(Stale):
        commit(made, transactions, b"zombie", 99, lambda: stale)
    assert values(made) == {b"key": b"one"}
    assert committed(made) == 1
    commit(made, Transactions(made), b"two", 2, lambda: membership(successor))
    assert values(made) == {b"key": b"two"}
    successor.close()


def test_a_consumer_in_no_group_has_no_membership_to_commit_with(made: Settings) -> None:
    """Kafka would take the offsets of an empty member id from anyone."""
    consumer = Consumer(client.consumer_config(made, made.sink_group))
    with pytest.raises(Stale, match="not a member"):
        commit(made, Transactions(made), b"nobody's", 5, lambda: membership(consumer))
    assert values(made) == {}
    consumer.close()


def test_messages_are_in_the_log_before_the_membership_is_asked_for(made: Settings) -> None:
    """Otherwise a position could land behind the one of a successor who had read the log to its end."""
    consumer, transactions = joined(made), Transactions(made)
    name = topics.cursors_topic(made)
    ends: list[int] = []

    def metadata() -> Any:
        ends.append(cursors.ends(client.admin(made), name, [0])[0])
        return membership(consumer)

    commit(made, transactions, b"one", 1, metadata)
    assert ends == [1]
    consumer.close()


def test_a_message_that_kafka_refuses_aborts_the_whole_and_the_next_commit_works(made: Settings) -> None:
    consumer, transactions = joined(made), Transactions(made)
    huge = Outgoing(topics.cursors_topic(made), 0, b"key", b"x" * (2 << 20))
    place = TopicPartition(topics.sorted_topic(made, "events"), 0, 5)
    with pytest.raises(Retryable, match="aborted"):
        transactions.commit([huge], [place], lambda: membership(consumer))
    assert values(made) == {}
    commit(made, transactions, b"one", 1, lambda: membership(consumer))
    assert (values(made), committed(made)) == ({b"key": b"one"}, 1)
    consumer.close()
