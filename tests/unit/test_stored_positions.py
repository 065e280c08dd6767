"""What is told of the sinks' stored positions, whatever part of the cursors topic has come by then."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from confluent_kafka import KafkaError

from logflume.errors import Retryable
from logflume.kafka import cursors, parked, stored
from logflume.kafka.cursors import Cursor
from logflume.kafka.parked import ParkedCursor
from logflume.kafka.position import Position
from logflume.kafka.stored import StoredPositions
from logflume.settings import Settings

TOPIC = "logflume.sorted.events"
SETTINGS = Settings(kafka_bootstrap="nowhere:9")
END = KafkaError(KafkaError._PARTITION_EOF)


class Message:
    """One that a consumer gives: a record, or an event."""

    def __init__(self, key: bytes | None = None, value: bytes | None = None, error: KafkaError | None = None) -> None:
        self._told = (key, value, error)

    def key(self) -> bytes | None:
        return self._told[0]

    def value(self) -> bytes | None:
        return self._told[1]

    def error(self) -> KafkaError | None:
        return self._told[2]

    def partition(self) -> int:
        return 0


class Consumer:
    """Gives what it is told to; nothing, when that is all."""

    def __init__(self) -> None:
        self.coming: deque[Message] = deque()

    def poll(self, _: float) -> Message | None:
        return self.coming.popleft() if self.coming else None

    def incremental_assign(self, _: Any) -> None:
        pass


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(stored, "Consumer", lambda _: made)
    monkeypatch.setattr(stored, "_SETTLE_SECONDS", 0.05)
    return made


def position(offset: int, group: str = SETTINGS.sink_group) -> Message:
    value = cursors.Codec(SETTINGS).encode(Cursor(TOPIC, "id", 3, Position(offset), 1))
    return Message(cursors.key(group, TOPIC, 3), value)


def waits(offset: int | None) -> Message:
    cursor = ParkedCursor(TOPIC, "id", 3, "acme", "", "failing", 0, 0, Position(offset or 0))
    key = parked.key(SETTINGS.sink_group, cursor)
    return Message(key, None if offset is None else parked.Codec(SETTINGS).encode(cursor))


def told(positions: StoredPositions) -> tuple[int | None, int | None]:
    positions.refresh(TOPIC, [3], 0.2)
    cursor, parked_at = positions.position(TOPIC, 3), positions.parked(TOPIC, 3, "acme")
    return cursor and cursor.position.offset, parked_at and parked_at.position.offset


def test_st1_a_transaction_that_has_come_in_part_is_not_told_of(consumer: Consumer) -> None:
    positions = StoredPositions(SETTINGS, 1)
    consumer.coming += [position(5), Message(error=END)]
    assert told(positions) == (5, None)
    consumer.coming += [position(9)]
    assert told(positions) == (5, None)
    consumer.coming += [waits(7), Message(error=END)]
    assert told(positions) == (9, 7)
    consumer.coming += [waits(None), Message(error=END), position(11)]
    assert told(positions) == (9, None)


def test_another_groups_positions_are_not_told(consumer: Consumer) -> None:
    positions = StoredPositions(SETTINGS, 1)
    consumer.coming += [position(5, "another"), Message(error=END)]
    assert told(positions) == (None, None)


def test_what_was_never_read_to_its_end_is_not_told(consumer: Consumer) -> None:
    consumer.coming += [position(5)]
    with pytest.raises(Retryable, match="could not be read to its end"):
        told(StoredPositions(SETTINGS, 1))
