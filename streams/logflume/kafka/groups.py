"""How far each consumer group is behind in Logflume's topics, partition by partition.

The sort group and the sink group are always asked about. Others, somebody's own readers of a topic, are found by their
members, and asked about from then on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, ConsumerGroupState, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from logflume.errors import Fatal, Misconfigured, Retryable
from logflume.kafka import client, topics
from logflume.settings import Settings

_Partition = tuple[str, int]
_Committed = dict[_Partition, int]
_ANSWER_SECONDS = 10.0  # a broker that has just started loads its groups first: asked again until REQUEST_SECONDS
_OTHERS_SECONDS = 60.0  # how often other groups are looked for
_CONFIG_SECONDS = 300.0  # how old an answer about topics may be
_MOST_OTHERS = 20  # each costs a client, and a request a look

_log = structlog.get_logger(__name__)


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
    """``lag`` for who asks again and again: it keeps its clients. One thread's.

    ``others``: other groups that read the same topics are asked about as well, as soon as they have committed.
    """

    def __init__(self, settings: Settings, admin: AdminClient | None = None, *, others: bool = False) -> None:
        self._settings = settings
        self._admin = client.lasting_admin(settings) if admin is None else admin  # an idle one counts as false
        declared = topics.declared(settings)
        self.read_by = {
            settings.sort_group: [topic.name for topic in declared if topic.template == "ingest.<dataset>"],
            settings.sink_group: [topic.name for topic in declared if topic.template == "sorted.<dataset>"],
        }
        """Topics by the group of ours that reads them."""
        self._asking = {group: _asking(settings, group) for group in self.read_by}
        self._others: set[str] = set()
        self._others_at = float("-inf") if others else float("inf")
        self._created: frozenset[str] = frozenset()
        self._config_at = float("-inf")

    def read(self) -> list[Lag]:
        """See ``lag``."""
        present = topics.partitions(self._admin, [name for names in self.read_by.values() for name in names])
        everything = [(name, partition) for name, count in present.items() for partition in range(count)]
        self._find_others(present)
        read = {group: [place for place in everything if place[0] in names] for group, names in self.read_by.items()}
        read |= dict.fromkeys(sorted(self._others), everything)
        # The offsets first and the ends after: the other way round a lag could come out negative.
        reached = {group: self._reached(group, places) for group, places in read.items()}
        starts = _offsets(self._admin, everything, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(self._admin, everything, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return [
            _lag(group, *place, reached[group].get(place), starts[place], ends[place])
            for group, places in read.items()
            for place in places
            if group in self.read_by or place in reached[group]
        ]

    def first_from(self, times_ms: Mapping[_Partition, int]) -> dict[_Partition, tuple[int, int]]:
        """Return offset and time of the first record from a time on, by the times that records bear; -1: none."""
        found = _listed(self._admin, {place: OffsetSpec.for_timestamp(time) for place, time in times_ms.items()})
        return {place: (each.offset, each.timestamp) for place, each in found.items()}

    def appended(self, topic: str) -> bool:
        """Whether the broker stamps the topic's records as it appends them; as declared where it can't be asked."""
        if time.monotonic() >= self._config_at:
            self._config_at = time.monotonic() + _CONFIG_SECONDS
            try:
                present = topics.partitions(self._admin, [name for names in self.read_by.values() for name in names])
                self._created = _stamped_by_producers(self._admin, present)
            except (Retryable, Misconfigured) as error:
                _log.warning("kafka.topics-not-described", error=str(error))
            if self._created:
                mend = "`logflume topics apply` mends it"
                _log.warning("kafka.create-time", topics=sorted(self._created), detail=mend)
        return topic not in self._created

    def close(self) -> None:
        """Let go of Kafka."""
        for consumer in self._asking.values():
            consumer.close()

    def _find_others(self, present: Collection[str]) -> None:
        """Look now and then for groups with members that read these topics; who was found is asked about ever after.

        What can't be found out, for want of a right to say, costs only that.
        """
        if time.monotonic() < self._others_at:
            return
        self._others_at = time.monotonic() + _OTHERS_SECONDS
        try:
            found = self._reading(present)
        except (Retryable, Misconfigured) as error:
            _log.warning("kafka.groups-not-listed", error=str(error))
            return
        for group in found:
            if len(self._others) == _MOST_OTHERS:
                _log.warning("kafka.group-not-watched", group=group, why=f"there are {_MOST_OTHERS} others")
                return
            self._others.add(group)
            self._asking[group] = _asking(self._settings, group)

    def _reading(self, present: Collection[str]) -> list[str]:
        """The groups, not known yet, with members that have partitions of these topics."""
        stable = {ConsumerGroupState.STABLE}
        listed = client.answer(
            self._admin.list_consumer_groups(states=stable, request_timeout=client.REQUEST_SECONDS), "listing groups"
        )
        ids = [each.group_id for each in listed.valid if each.group_id not in self._asking]
        if not ids:
            return []
        asked = self._admin.describe_consumer_groups(ids, request_timeout=client.REQUEST_SECONDS)
        found = []
        for group, future in sorted(asked.items()):
            members = client.answer(future, f"group {group}").members
            read = {place.topic for each in members if each.assignment for place in each.assignment.topic_partitions}
            if not read.isdisjoint(present):
                found.append(group)
        return found

    def _reached(self, group: str, places: Collection[_Partition]) -> _Committed:
        """The offsets of a group; of others that may not be asked about, none from now on."""
        try:
            return _committed(self._asking[group], group, places)
        except Fatal:  # this consumer has lost every broker; the next time another one asks
            self._asking[group].close()
            self._asking[group] = _asking(self._settings, group)
            raise
        except Misconfigured as error:
            if group in self.read_by:
                raise
            _log.warning("kafka.group-not-watched", group=group, why=str(error))
            self._others.discard(group)
            return {}


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
    consumer.poll(0)  # it has nothing to read; whether it has lost every broker is told here only
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


def _stamped_by_producers(admin: AdminClient, names: Collection[str]) -> frozenset[str]:
    if not names:
        return frozenset()
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    asked = admin.describe_configs(resources, request_timeout=client.REQUEST_SECONDS)
    found = {resource.name: client.answer(future, resource.name) for resource, future in asked.items()}
    return frozenset(name for name, of in found.items() if of["message.timestamp.type"].value != "LogAppendTime")


def _lag(group: str, topic: str, partition: int, offset: int | None, start: int, end: int) -> Lag:
    behind = start if offset is None else max(offset, start)
    lost = 0 if offset is None else max(0, start - offset)
    return Lag(group, topic, partition, offset, end, max(0, end - behind), lost)


def _offsets(admin: AdminClient, partitions: Collection[_Partition], spec: OffsetSpec) -> dict[_Partition, int]:
    return {place: found.offset for place, found in _listed(admin, dict.fromkeys(partitions, spec)).items()}


def _listed(admin: AdminClient, specs: Mapping[_Partition, OffsetSpec]) -> dict[_Partition, Any]:
    if not specs:
        return {}
    wanted = {TopicPartition(*place): spec for place, spec in specs.items()}
    asked = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=client.REQUEST_SECONDS
    )
    return {
        (place.topic, place.partition): client.answer(future, f"{place.topic} partition {place.partition}")
        for place, future in asked.items()
    }
