"""Whether a topic is still the same is asked by a client that answers."""

from __future__ import annotations

from typing import Any

import pytest

from logflume.clock import ManualClock
from logflume.errors import Retryable
from logflume.kafka import topics
from logflume.kafka.identity import SameTopics
from logflume.kafka.topics import Present


def test_a_client_that_has_not_come_back_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def present(admin: Any, names: list[str]) -> dict[str, Present]:
        if admin == "lost":
            raise Retryable("timed out")
        return {name: Present("id", 1) for name in names}

    monkeypatch.setattr(topics, "present", present)
    same = SameTopics("lost", ManualClock())  # type: ignore[arg-type]
    with pytest.raises(Retryable):
        same.check("events", "id", 0.0)
    same.renew("another")  # type: ignore[arg-type]
    same.check("events", "id", 0.0)
