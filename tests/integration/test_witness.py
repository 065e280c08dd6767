"""What the judge takes from Kafka: every message and dead letter since a mark, with the rows it claims."""

from __future__ import annotations

from confluent_kafka import Producer

from logflume.demo import witness
from logflume.kafka import client, deadletters, topics
from logflume.kafka.deadletters import DeadLetter
from logflume.settings import Settings

DATASETS = ("http_requests", "firewall_events")


def produce(settings: Settings, topic: str, value: bytes, **more: object) -> None:
    producer = Producer(client.producer_config(settings))
    producer.produce(topic, value, **more)  # type: ignore[arg-type]
    assert producer.flush(30) == 0


def test_only_what_came_after_the_mark_is_counted_and_a_block_by_its_header(settings: Settings) -> None:
    topics.apply(settings)
    requests, events = (topics.ingest_topic(settings, dataset) for dataset in DATASETS)
    produce(settings, requests, b"{}", partition=3)
    before = witness.marks(settings, DATASETS)
    produce(settings, requests, b"{}", partition=3, key=b"acme")
    produce(settings, requests, b"\x00", partition=3, headers=[("logflume-block", b"1"), ("rows", b"4000")])
    produce(settings, events, b"{}\n\n{}\n", partition=0, key=b"acme")
    produce(settings, events, b"?", partition=0, headers=[("logflume-block", b"99")])
    ids = topics.topic_ids(client.admin(settings), [requests, events])

    counted = witness.account(settings, before)

    assert sorted(counted.log.to_pylist(), key=str) == sorted(
        [
            {"topic": ids[requests], "partition": 3, "offset": 1, "rows": 1},
            {"topic": ids[requests], "partition": 3, "offset": 2, "rows": 4000},
            {"topic": ids[events], "partition": 0, "offset": 0, "rows": 2},
            {"topic": ids[events], "partition": 0, "offset": 1, "rows": 1},
        ],
        key=str,
    )
    assert counted.offsets == 4
    assert counted.dead.num_rows == 0
    assert before.since[ids[requests], 3] == 1


def test_dead_letters_are_known_by_the_coordinates_of_what_they_hold(settings: Settings) -> None:
    topics.apply(settings)
    before = witness.marks(settings, DATASETS)
    at = {"topic": "t", "topic_id": "id", "partition": 2, "offset": 9}
    letters = [
        DeadLetter("json", "sort", "acme", "http_requests", b"{", row=7, **at),  # type: ignore[arg-type]
        DeadLetter("version", "sort", None, "http_requests", b"?", **at),  # type: ignore[arg-type]
        DeadLetter("json", "edge", "acme", "http_requests", b"[", edge="e/1", row=1),
    ]
    for letter in [*letters, letters[0]]:  # the first one twice: its sorter was killed
        for message in deadletters.to_messages(letter):
            produce(
                settings, topics.deadletter_topic(settings), message.value, key=message.key, headers=message.headers
            )
    found = witness.account(settings, before)
    assert found.letters == {"sort": 2, "edge": 1}
    assert sorted(found.dead.to_pylist(), key=str) == [
        {"topic": "id", "partition": 2, "offset": 9, "row": 7},
        {"topic": "id", "partition": 2, "offset": 9, "row": None},
    ]
