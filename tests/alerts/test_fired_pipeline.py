"""Alerts of what lies between Kafka and the tables, each fired by its cause on a running stack.

Most resolve while the next ones fire; that all have resolved is seen at the stack's end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.kafka.groups import Lag, lag
from tests.support.fired import fires
from tests.support.services import Run
from tests.support.waiting import until
from tests.support.watched import Watched, watching

pytestmark = pytest.mark.timeout(600)
LATE_SECONDS = 13
"""Beyond the ten after which a row is late (``alert_windows``)."""
SHORT_SECONDS = 1500
"""A retention of which less is left than a fiftieth of a day, the alert's mark."""
NEW_A_MINUTE = 6
AT_ONCE = 12
MORE = 120
"""Six tenants begin at once, and one each 2.5 s: one more each 2 s, and the others wait as long as it takes."""


@pytest.fixture(scope="module")
def watched(run: Run) -> Iterator[Watched]:
    with watching(
        run.folder / f"pipeline-{secrets.token_hex(3)}",
        status_seconds=1.0,
        watch_seconds=1.0,
        stall_seconds=5.0,
        sink_flush_age_seconds=1.0,
        sink_park_seconds=1.0,
        sink_new_pairs_a_minute=NEW_A_MINUTE,
        local_carers=0,
        local_explorers=0,
    ) as made:
        yield made


@fires("sinks that hang (drill sink-stop)", "SearchableLate")
@fires("a worker that hangs (SIGSTOP) while a generation is published", "GenerationStale")
def test_a_sink_that_hangs_while_a_generation_is_published(watched: Watched) -> None:
    until(lambda: _places(watched, watched.settings.sink_group), 60, "a sink that has committed")
    with watched.hanging("sink-1"):
        watched.declare({"later": "name: later\ndatasets:\n  events:\n"})
        watched.fires("GenerationStale")
        until(
            lambda: watched.ask(f"max(logflume_lag_partition_seconds) > {LATE_SECONDS}"), 60, "rows that wait", pause=1
        )
    watched.fires("SearchableLate")


@fires("retention passes a sink that is stopped", "RowsLost")
def test_retention_passes_a_sink_that_is_stopped(watched: Watched) -> None:
    topic = topics.sorted_topic(watched.settings, "events")
    with watched.without("sink-1"), _configured(watched, topic, {"retention.ms": 1000, "segment.ms": 1000}):
        until(
            lambda: any(each.lost for each in _places(watched, watched.settings.sink_group)),
            60,
            "what retention takes",
            pause=1,
        )
    watched.fires("RowsLost")


@fires("a job's folder that is gone", "Parked")
@fires("a job's folder that is gone, with a short retention", "ParkedRunsOut")
@fires("many new tenants at once (drill tenant-surge)", "SurgeOfTables")
def test_a_jobs_folder_is_gone_and_many_tenants_are_new(watched: Watched, run: Run) -> None:
    folder = run.folder / "no-such-folder"
    job = f"{{dataset: events, destination: 'file://{folder}', max_age_seconds: 1}}"
    names = [f"new-{number}" for number in range(AT_ONCE + MORE)]
    with _configured(watched, topics.sorted_topic(watched.settings, "events"), {"retention.ms": SHORT_SECONDS * 1000}):
        watched.declare(
            {name: f"name: {name}\ndatasets:\n  http_requests:\n" for name in names}
            | {"acme": f"{watched.declared('acme')}jobs:\n  archive: {job}\n"}
        )
        with Producer({"bootstrap.servers": watched.settings.kafka_bootstrap}) as producer:
            for number, name in enumerate(names):
                if number >= AT_ONCE:
                    producer.flush(2)
                    watched.pause(2)
                    if "SurgeOfTables" in watched.firing():
                        break
                watched.produce(producer, b'{"ClientIP": "192.0.2.1"}', name, "http_requests")
            watched.fires("Parked", "ParkedRunsOut", "SurgeOfTables")
    folder.mkdir()


@fires("a group's offset set beyond the log's end", "PartitionStopped")
@fires("offsets set back by hand", "OffsetsWentBack")
def test_offsets_are_set_beyond_the_logs_end_and_back_by_hand(watched: Watched) -> None:
    """Back is the runbook of the partition that is stopped: while no sorter runs, and then the sorter starts."""
    with watched.without("sort-1"):
        place = max(_places(watched, watched.settings.sort_group), key=lambda each: each.end)
        _set_offset(watched, place, place.end + 1_000_000)
    watched.fires("PartitionStopped")
    with watched.without("sort-1"):
        _set_offset(watched, place, place.offset or 0)
    watched.fires("OffsetsWentBack")
    watched.resolves("PartitionStopped")


@fires("a group deleted by hand while its workers are stopped", "GroupVanished", "TopicUnread")
def test_a_group_is_deleted_by_hand(watched: Watched) -> None:
    admin, group = client.admin(watched.settings), watched.settings.sort_group
    with watched.without("sort-1"):
        _as_soon_as_nobody_is_in_it(lambda: admin.delete_consumer_groups([group])[group].result(30))
        watched.fires("GroupVanished", "TopicUnread")
    watched.resolves("GroupVanished", "TopicUnread")


def _places(watched: Watched, group: str) -> list[Lag]:
    """Where a group has committed something, as soon as Kafka says so."""

    def told() -> list[Lag] | None:
        try:
            return lag(watched.settings)
        except Retryable:
            return None

    return [each for each in until(told, 60, pause=1) if each.group == group and each.offset is not None]


def _set_offset(watched: Watched, place: Lag, offset: int) -> None:
    """Set the offset of a group whose workers are stopped, as an operator would."""
    admin = client.admin(watched.settings)
    asked = ConsumerGroupTopicPartitions(place.group, [TopicPartition(place.topic, place.partition, offset)])
    _as_soon_as_nobody_is_in_it(lambda: admin.alter_consumer_group_offsets([asked])[place.group].result(30))


def _as_soon_as_nobody_is_in_it(change: Callable[[], object]) -> None:
    """Change a group: Kafka refuses as long as it knows of a member."""

    def changed() -> bool:
        try:
            change()
        except KafkaException:
            return False
        return True

    until(changed, 90, "a group without members", pause=0.5)


@contextmanager
def _configured(watched: Watched, topic: str, values: Mapping[str, int]) -> Iterator[None]:
    """Within the block a topic's configuration has these values, then those that it had."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = client.admin(watched.settings)
    before = admin.describe_configs([resource])[resource].result(30)
    declared = {name: None if before[name].is_default else before[name].value for name in values}
    _alter(admin, topic, values)
    try:
        yield
    finally:
        _alter(admin, topic, declared)


def _alter(admin: AdminClient, topic: str, values: Mapping[str, object]) -> None:
    """Set values of a topic's configuration; None: as the broker has it."""
    entries = [
        ConfigEntry(
            name,
            None if value is None else str(value),
            incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
        )
        for name, value in values.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    [done] = admin.incremental_alter_configs([resource]).values()
    done.result(30)
