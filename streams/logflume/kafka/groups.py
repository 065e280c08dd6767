"""How far each consumer group of Logflume is behind, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.settings import Settings

_Partition = tuple[str, int]
_Committed = dict[_Partition, int]
_ANSWER_SECONDS = 10.0  # a broker that has just started loads its groups first: asked again until REQUEST_SECONDS


@dataclass(frozen=True, slots=True)
class Lag:
    """A group's place in one partition. ``offset``: the next to read as committed, None when nothing is committed yet.

    ``lag`` counts records (blocks, where blocks are): from the committed offset, or else from the oldest one kept, to
    ``end``, the last stable offset. ``lost`` counts those that retention deleted before the group had read them.
    """

    group: str
    topic: str
    partition: int
    offset: int | None
    end: int
    lag: int
    lost: int = 0


def lag(settings: Settings, admin: AdminClient | None = None) -> list[Lag]:
    """Return the lag of the sort group on ingest topics and of the sink group on sorted ones, as Kafka says now.

    Topics that are not there are left out. Raises ``Retryable`` when Kafka does not answer.
    """
    lags = Lags(settings, admin)
    try:
        return lags.read()
    finally:
        lags.close()


class Lags:
    """``lag`` for who asks again and again: it keeps its clients. One thread's."""

    def __init__(self, settings: Settings, admin: AdminClient | None = None) -> None:
        self._admin = admin or client.lasting_admin(settings)
        declared = topics.declared(settings)
        self.read_by = {
            settings.sort_group: [topic.name for topic in declared if topic.template == "ingest.<dataset>"],
            settings.sink_group: [topic.name for topic in declared if topic.template == "sorted.<dataset>"],
        }
        """Topics by the group that reads them."""
        self._asking = {group: _asking(settings, group) for group in self.read_by}

    def read(self) -> list[Lag]:
        """See ``lag``."""
        present = topics.partitions(self._admin, [name for names in self.read_by.values() for name in names])
        everything = [(name, partition) for name, count in present.items() for partition in range(count)]
        # The offsets first and the ends after: the other way round a lag could come out negative.
        reached = {
            group: _committed(self._asking[group], group, [place for place in everything if place[0] in names])
            for group, names in self.read_by.items()
        }
        starts = _offsets(self._admin, everything, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(self._admin, everything, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        rows = []
        for group, names in self.read_by.items():
            for name, partition in everything:
                if name in names:
                    offset = reached[group].get((name, partition))
                    start, end = starts[name, partition], ends[name, partition]
                    rows.append(_lag(group, name, partition, offset, start, end))
        return rows

    def ends_at(self, places: Collection[_Partition], time_ms: int) -> dict[_Partition, int | None]:
        """Return where each log ended at that time, by Kafka's time of its records; None: where it ends now."""
        found = _offsets(self._admin, places, OffsetSpec.for_timestamp(time_ms))
        return {place: offset if offset >= 0 else None for place, offset in found.items()}

    def close(self) -> None:
        """Let go of Kafka."""
        for consumer in self._asking.values():
            consumer.close()


def committed(settings: Settings, group: str, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the group's committed offset of each (topic, partition); those without one are left out.

    Offsets inside a transaction that is still open don't count and are not waited for: a sink that was killed there
    must not keep anyone from seeing how far it was. Raises ``Retryable`` when Kafka does not answer in time.

    Asked by a consumer that joins nothing: librdkafka 2.16's ``AdminClient.list_consumer_group_offsets`` ends the
    process with a segmentation fault when the coordinator is loading or has moved (it has no group to refresh).
    """
    consumer = _asking(settings, group)
    try:
        return _committed(consumer, group, places)
    finally:
        consumer.close()


def _asking(settings: Settings, group: str) -> Consumer:
    """A consumer that joins nothing; it waits for no transaction."""
    return Consumer(client.consumer_config(settings, group, isolation_level="read_uncommitted"))


def _committed(consumer: Consumer, group: str, places: Collection[_Partition]) -> _Committed:
    if not places:
        return {}
    asked = [TopicPartition(topic, partition) for topic, partition in places]
    deadline = time.monotonic() + client.REQUEST_SECONDS
    while True:
        try:
            found = consumer.committed(asked, timeout=_ANSWER_SECONDS)
            break
        except KafkaException as error:
            typed = client.typed(error, f"group {group}")
            if not isinstance(typed, Retryable) or time.monotonic() > deadline:
                raise typed from error
            time.sleep(0.2)
    for place in found:
        if place.error is not None:
            raise client.typed(place.error, f"group {group}, {place.topic} partition {place.partition}")
    return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def _lag(group: str, topic: str, partition: int, offset: int | None, start: int, end: int) -> Lag:
    behind = start if offset is None else max(offset, start)
    lost = 0 if offset is None else max(0, start - offset)
    return Lag(group, topic, partition, offset, end, max(0, end - behind), lost)


def _offsets(admin: AdminClient, partitions: Collection[_Partition], spec: OffsetSpec) -> dict[_Partition, int]:
    if not partitions:
        return {}
    wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}
    asked = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=client.REQUEST_SECONDS
    )
    return {
        (place.topic, place.partition): client.answer(future, f"{place.topic} partition {place.partition}").offset
        for place, future in asked.items()
    }
