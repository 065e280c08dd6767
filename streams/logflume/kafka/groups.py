"""How far each consumer group of Logflume is behind, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.settings import Settings

_Partition = tuple[str, int]
_COORDINATOR_SECONDS = 15.0  # a broker that has just started loads its groups first, and says so until it has


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
    admin = admin or client.admin(settings)
    declared = topics.declared(settings)
    read = {
        settings.sort_group: [topic.name for topic in declared if topic.template == "ingest.<dataset>"],
        settings.sink_group: [topic.name for topic in declared if topic.template == "sorted.<dataset>"],
    }
    present = topics.partitions(admin, [name for names in read.values() for name in names])
    # The offsets first and the ends after: the other way round a lag could come out negative.
    committed = {group: _committed(admin, group) for group in read}
    everything = [(name, partition) for name, count in present.items() for partition in range(count)]
    starts = _offsets(admin, everything, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    ends = _offsets(admin, everything, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    rows = []
    for group, names in read.items():
        for name, partition in everything:
            if name in names:
                offset = committed[group].get((name, partition))
                start, end = starts[name, partition], ends[name, partition]
                rows.append(_lag(group, name, partition, offset, start, end))
    return rows


def _lag(group: str, topic: str, partition: int, offset: int | None, start: int, end: int) -> Lag:
    behind = start if offset is None else max(offset, start)
    lost = 0 if offset is None else max(0, start - offset)
    return Lag(group, topic, partition, offset, end, max(0, end - behind), lost)


def _committed(admin: AdminClient, group: str) -> dict[_Partition, int]:
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        asked = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=client.REQUEST_SECONDS
        )
        try:
            found = _result(asked[group], f"group {group}")
            break
        except Retryable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    if found is None:
        return {}
    return {(place.topic, place.partition): place.offset for place in found.topic_partitions if place.offset >= 0}


def _offsets(admin: AdminClient, partitions: Collection[_Partition], spec: OffsetSpec) -> dict[_Partition, int]:
    if not partitions:
        return {}
    wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}
    asked = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=client.REQUEST_SECONDS
    )
    return {
        (place.topic, place.partition): _result(future, f"{place.topic} partition {place.partition}").offset
        for place, future in asked.items()
    }


def _result(future: Future[Any], about: str) -> Any:
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:  # nobody has joined it yet
            return None
        raise client.typed(error, about) from error
