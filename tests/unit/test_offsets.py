"""Where partitions begin and end, asked of a Kafka that has just made them, or has just come back."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from logflume.errors import Fatal, LogflumeError, Retryable
from logflume.kafka import cursors


class Offset:
    """What Kafka says of a partition."""

    offset = 7


class Admin:
    """Answers with these errors, one a question, then with the offset."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)

    def list_offsets(self, wanted: Collection[TopicPartition], **_: object) -> dict[TopicPartition, Future[Any]]:
        answer: Future[Any] = Future()
        if self.errors:
            answer.set_exception(KafkaException(KafkaError(self.errors.pop(0))))
        else:
            answer.set_result(Offset())
        return dict.fromkeys(wanted, answer)


def test_a_partition_that_has_no_leader_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "_POLL_SECONDS", 0.0)
    admin: Any = Admin(KafkaError._NOENT, KafkaError._NOENT)
    assert cursors.ends(admin, "t", [0, 1]) == {0: 7, 1: 7}


@pytest.mark.parametrize(("code", "expected"), [(KafkaError._NOENT, Retryable), (KafkaError._FENCED, Fatal)])
def test_what_does_not_pass_is_typed_by_what_to_do(
    code: int, expected: type[LogflumeError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "_LEADERLESS_SECONDS", -1.0)
    admin: Any = Admin(code)
    with pytest.raises(expected, match=r"offsets of t\[0\]"):
        cursors.starts(admin, "t", [0])
