"""A member of the sorters' group with a name of its own (``group.instance.id``, KIP-345), which it never takes back.

Kafka gives a name to whoever joins with it last, and knows the one before no more. aiokafka (0.14) would join again by
the same name, and two living processes would take it from each other for ever.

N1  A named member that Kafka does not know any more ends its process before it joins again, also when it was only
    silent for too long: its successor begins at what is committed.
N2  A member without a name joins again, as aiokafka has it.

It uses private parts of aiokafka 0.14; a test fails when they move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiokafka.consumer.group_coordinator import GroupCoordinator

_GONE: Final = {25: "UNKNOWN_MEMBER_ID", 82: "FENCED_INSTANCE_ID"}
"""Kafka's error codes; aiokafka has no name for the second."""


class Member(GroupCoordinator):  # type: ignore[misc]  # untyped
    """aiokafka's part in a group, but for N1. ``expelled`` is told why, and must not return."""

    def __init__(self, *args: Any, expelled: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._expelled = expelled

    async def _send_req(self, request: Any) -> Any:
        """Ask the group's coordinator: all requests about the membership, and commits, go this way."""
        answer = await super()._send_req(request)
        found = next((_GONE[code] for code in _codes(answer) if code in _GONE), None)
        if found and self._group_instance_id is not None:
            self._expelled(
                f"in the group {self.group_id} {self._group_instance_id} is another process now, or nobody ({found}): "
                "two were started with one LOGFLUME_GROUP_INSTANCE_ID, or this one was silent for too long"
            )
        return answer


def _codes(answer: Any) -> list[int]:
    """The error codes of an answer: its own, and those of each partition, which stand last."""
    of_partitions = [partition[-1] for _, partitions in getattr(answer, "topics", ()) for partition in partitions]
    return [getattr(answer, "error_code", 0), *of_partitions]
