"""Where a sink group's stored positions are, for those who read beside it and store nothing.

ST1  What is told of a sorted partition stood in the cursors topic at one moment: its position and its parked outlets
     are those of the same transactions. That moment may be a little past, and only ever comes nearer.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from logflume.errors import Retryable
from logflume.kafka import client, cursors, parked, topics
from logflume.kafka.cursors import Cursor
from logflume.kafka.parked import ParkedCursor
from logflume.settings import Settings

_EMPTY_FETCH_MS: Final = 20
_POLL_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 1.0
"""How long the end of what was begun is waited for, once a state is known: an older state does as well (ST1)."""


@dataclass
class _Home:
    """A partition of the cursors topic: its values at the last end that was seen, and what came since."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    since: dict[bytes, bytes | None] = field(default_factory=dict)
    settled: bool = False

    def settle(self) -> None:
        """The end of the log: with read_committed no transaction is open before it, so none is there in part."""
        for key, value in self.since.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self.since.clear()
        self.settled = True


class StoredPositions:
    """See ST1. One thread's at a time; ``close`` when done."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        """``partitions``: of the cursors topic."""
        self._settings = settings
        self._topic = topics.cursors_topic(settings)
        self._partitions = partitions
        self._codec = cursors.Codec(settings)
        self._parked_codec = parked.Codec(settings)
        self._group = settings.sink_group
        self._own = tuple(f"{kind}/{self._group}/".encode() for kind in ("position", "parked"))
        self._homes: dict[int, _Home] = {}
        config = client.consumer_config(
            settings, client.reader_group(settings, "watches"), fetch_wait_max_ms=_EMPTY_FETCH_MS
        )
        self._consumer = Consumer(config | {"enable.partition.eof": True})

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()

    def refresh(self, topic: str, numbers: Collection[int], timeout_seconds: float) -> None:
        """Have what is stored of these sorted partitions, as new as it can be had without waiting.

        Of partitions that were never asked for it is read whole. Raises ``Retryable`` when Kafka does not answer.
        """
        wanted = {cursors.home(cursors.key(self._group, topic, number), self._partitions) for number in numbers}
        if new := [home for home in wanted if home not in self._homes]:
            self._homes |= {home: _Home() for home in new}
            self._consumer.incremental_assign([TopicPartition(self._topic, home, OFFSET_BEGINNING) for home in new])
        deadline = time.monotonic() + timeout_seconds
        settle_by = time.monotonic() + _SETTLE_SECONDS
        while True:
            homes = [self._homes[home] for home in wanted]
            lacking = [home for home in wanted if not self._homes[home].settled]
            behind = any(home.since for home in homes)
            now = time.monotonic()
            if lacking and now > deadline:
                raise Retryable(f"{self._topic}{lacking} could not be read to its end within {timeout_seconds:.0f} s")
            message = self._consumer.poll(_POLL_SECONDS if lacking or (behind and now < settle_by) else 0)
            if message is None:
                if not lacking and (not behind or now >= settle_by):
                    return
                continue
            error, number = message.error(), message.partition()
            home = self._homes.get(-1 if number is None else number)
            if error is None:
                key = message.key()
                if home is not None and key is not None and key.startswith(self._own):
                    home.since[key] = message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                if home is not None:
                    home.settle()
            elif not isinstance(client.typed(error, self._topic), Retryable):
                raise client.typed(error, f"reading {self._topic}[{number}]")

    def position(self, topic: str, number: int) -> Cursor | None:
        """Return the group's position in a sorted partition that was refreshed; None: it has none yet."""
        key = cursors.key(self._group, topic, number)
        value = self._home(key).values.get(key)
        return None if value is None else self._codec.decode(value)

    def parked(self, topic: str, number: int, tenant: str) -> ParkedCursor | None:
        """Return where the tenant's table is parked in a sorted partition that was refreshed; None: it is not."""
        home = self._home(cursors.key(self._group, topic, number))
        value = home.values.get(parked.prefix(self._group, topic, number) + f"{tenant}/".encode())
        return None if value is None else self._parked_codec.decode(value)

    def _home(self, key: bytes) -> _Home:
        return self._homes[cursors.home(key, self._partitions)]
