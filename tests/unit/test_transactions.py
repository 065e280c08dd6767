"""What the sink's transactions do when Kafka's answer does not come (X3)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from logflume.errors import Fatal
from logflume.kafka import transaction
from logflume.kafka.transaction import Hung, Transactions
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


class HungProducer(SilentProducer):
    """Never comes back from one of its calls, whatever time-out it is given."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.for_ever = threading.Event()
        setattr(self, call, lambda *_: self.for_ever.wait())

    def commit_transaction(self, timeout: float) -> None:
        pass


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
def test_x4_a_call_that_never_comes_back_ends_the_process_instead_of_holding_it(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_HANG_SECONDS", 0.05)
    transactions, producer = Transactions(Settings(kafka_bootstrap="nowhere:1")), HungProducer(call)
    transactions._producer = producer  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(Hung):
            transactions.commit([], [], lambda: None)
    assert producer.begun == 1, "nothing more is tried"
    producer.for_ever.set()


def test_x4_a_request_that_librdkafka_gives_up_by_itself_is_no_hung_call() -> None:
    """While Kafka is away a call returns late, and nothing is in doubt: no reason to end."""
    longest_request_seconds = 60  # librdkafka's socket.timeout.ms
    assert longest_request_seconds < transaction._HANG_SECONDS
