"""What the sink's transactions do when Kafka's answer does not come (X3)."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from logflume.errors import Fatal
from logflume.kafka.transaction import Transactions
from logflume.settings import Settings


class SilentProducer:
    """Counts transactions; how each ends is never heard."""

    def __init__(self) -> None:
        self.begun = 0

    def begin_transaction(self) -> None:
        self.begun += 1

    def send_offsets_to_transaction(self, offsets: Any, metadata: Any, timeout: float) -> None:
        pass

    def commit_transaction(self, timeout: float) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_after_a_commit_in_doubt_nothing_more_is_committed() -> None:
    transactions, producer = Transactions(Settings(kafka_bootstrap="nowhere:1")), SilentProducer()
    transactions._producer = producer  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(Fatal, match="not known"):
            transactions.commit([], [], lambda: None)
    assert producer.begun == 1
