"""The topic ``config`` without a Kafka: what is committed, and the publisher's hold on it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

from logflume.config import log, publish
from logflume.settings import Settings


class Topic:
    """The topic ``config``: what is committed."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.wrote: list[bytes] = []
        self.fail: Callable[[], Exception] | None = None
        self.lands = True
        """Whether the commit happens although ``fail`` says that nothing was heard."""

    def exclusive(self, _settings: Settings, _name: str) -> FakeExclusive:
        return FakeExclusive(self)


class FakeExclusive:
    """As ``kafka.exclusive.Exclusive``, which tests/integration/test_config.py tries."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._sent: list[tuple[bytes, bytes | None]] = []

    def __enter__(self) -> FakeExclusive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self) -> None:
        pass

    def send(self, _topic: str, _partition: int, key: bytes, value: bytes | None, *_: Any) -> None:
        self._sent.append((key, value))

    def wait(self) -> None:
        pass

    def commit(self) -> None:
        if self._topic.fail is None or self._topic.lands:
            for key, value in self._sent:
                if value is None:
                    self._topic.values.pop(key, None)
                else:
                    self._topic.values[key] = value
            self._topic.wrote = [key for key, _ in self._sent]
        if self._topic.fail is not None:
            raise self._topic.fail()


def installed(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """Let the publisher use a topic that is made here, and no Kafka."""
    topic = Topic()
    monkeypatch.setattr(publish, "Exclusive", topic.exclusive)
    monkeypatch.setattr("logflume.kafka.client.admin", lambda *_: None)
    monkeypatch.setattr("logflume.config.log.read", lambda *_, **__: log.understand(dict(topic.values)))
    return topic
