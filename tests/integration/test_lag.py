"""The lag of each group, against a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import orjson
import pytest
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from prometheus_client import generate_latest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from logflume import metrics
from logflume.cli.main import build
from logflume.clock import SystemClock
from logflume.errors import Fatal, Misconfigured, Retryable
from logflume.kafka import client, cursors, groups, topics
from logflume.kafka.groups import Lag, Lags
from logflume.settings import Settings
from logflume.watch import exporter, looking
from logflume.watch.look import What
from logflume.watch.looking import Looking
from tests.support.services import Kafka
from tests.support.waiting import until


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    made = client.admin(settings)
    topics.apply(settings)
    return made


def produce(settings: Settings, topic: str, partition: int, count: int) -> None:
    producer = Producer(client.producer_config(settings))
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=partition)
    assert producer.flush(30) == 0


def commit(admin: AdminClient, group: str, topic: str, partition: int, offset: int) -> None:
    place = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])
    admin.alter_consumer_group_offsets([place])[group].result()


def rows(settings: Settings, admin: AdminClient, topic: str) -> list[Lag]:
    return [row for row in groups.lag(settings, admin) if row.topic == topic and row.end]


def test_nothing_committed_means_everything_kept_is_lag(settings: Settings, admin: AdminClient) -> None:
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 3, 5)
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 3, None, 5, 5)]


def test_each_group_is_measured_on_the_topics_it_reads(settings: Settings, admin: AdminClient) -> None:
    ingest, sorted_ = topics.ingest_topic(settings, "events"), topics.sorted_topic(settings, "events")
    produce(settings, ingest, 0, 5)
    produce(settings, sorted_, 1, 4)
    commit(admin, settings.sort_group, ingest, 0, 3)
    commit(admin, settings.sink_group, sorted_, 1, 4)
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 0, 3, 5, 2)]
    assert rows(settings, admin, sorted_) == [Lag(settings.sink_group, sorted_, 1, 4, 4, 0)]
    everything = groups.lag(settings, admin)
    readers = {"ingest.<dataset>": settings.sort_group, "sorted.<dataset>": settings.sink_group}
    expected = [
        (readers[topic.template], topic.name, partition)
        for topic in topics.declared(settings)
        if topic.template in readers
        for partition in range(topic.partitions)
    ]
    assert sorted((row.group, row.topic, row.partition) for row in everything) == sorted(expected)


def test_records_deleted_before_they_were_read_are_lost_and_not_lag(settings: Settings, admin: AdminClient) -> None:
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 0, 10)
    commit(admin, settings.sort_group, ingest, 0, 2)
    for future in admin.delete_records([TopicPartition(ingest, 0, 6)]).values():
        future.result()
    assert rows(settings, admin, ingest) == [Lag(settings.sort_group, ingest, 0, 2, 10, 4, lost=4)]


def test_topics_that_are_not_there_are_left_out(settings: Settings) -> None:
    assert groups.lag(settings) == []


def test_the_command_shows_it_to_people_and_programs(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    ingest = topics.ingest_topic(settings, "events")
    produce(settings, ingest, 0, 5)
    run, command = CliRunner(), build("lag")
    table = run.invoke(command, ["lag"], catch_exceptions=False).stdout
    assert ingest in table
    assert topics.sorted_topic(settings, "events") not in table, "people see partitions with records only"
    listed = orjson.loads(run.invoke(command, ["lag", "--json"], catch_exceptions=False).stdout)
    assert {"group", "topic", "partition", "offset", "end", "lag", "seconds", "lost"} == set(listed[0])
    assert sum(row["lag"] for row in listed) == 5


def test_a_broker_that_is_still_loading_its_groups_is_asked_again(
    own_kafka: Kafka, settings_for: Callable[..., Settings]
) -> None:
    """librdkafka's own request for this ends the process there: its AdminClient has no group to refresh."""
    settings = settings_for(own_kafka)
    admin = client.admin(settings)
    topics.apply(settings)
    ingest = topics.ingest_topic(settings, "events")
    assert groups.committed(settings, settings.sort_group, [(ingest, 0)]) == {}  # the first question makes Kafka load
    produce(settings, ingest, 0, 5)
    commit(admin, settings.sort_group, ingest, 0, 3)
    own_kafka.restart()
    for _ in range(5):
        assert groups.committed(settings, settings.sort_group, [(ingest, 0), (ingest, 1)]) == {(ingest, 0): 3}


def test_offsets_are_told_again_at_once_after_a_broker_has_come_back(
    own_kafka: Kafka, settings_for: Callable[..., Settings]
) -> None:
    """A client that knows the leader of before is refused as long as it does not look for the present one."""
    settings = settings_for(own_kafka)
    lasting, topic = client.lasting_admin(settings), f"{settings.topic_prefix}ends"
    client.answer(lasting.create_topics([NewTopic(topic, 2, 1)])[topic], topic)

    def ends() -> dict[int, int]:
        try:
            return cursors.ends(lasting, topic, [0, 1])
        except Retryable:
            return {}

    assert until(ends, 30) == {0: 0, 1: 0}
    own_kafka.restart()
    assert until(ends, 30, "ends by the new leader", pause=0.5) == {0: 0, 1: 0}


# --- in seconds, and every group --------------------------------------------------------------------------------------


@pytest.fixture
def look(settings: Settings, admin: AdminClient) -> Iterator[Looking]:
    with closing(looking.build(settings, SystemClock())) as made:
        yield made


def test_lag_in_seconds_is_now_minus_the_brokers_stamp_of_the_first_record_not_committed(
    settings: Settings, admin: AdminClient, look: Looking
) -> None:
    sorted_ = topics.sorted_topic(settings, "events")
    for _ in range(4):
        produce(settings, sorted_, 1, 3)  # apart: each batch has a time of its own
    commit(admin, settings.sink_group, sorted_, 1, 7)
    stamps = stamped(settings, sorted_, 1)
    assert {kind for kind, _ in stamps} == {TIMESTAMP_LOG_APPEND_TIME}
    seen = look.look()
    [late] = [each for each in seen.late if each.lag.end]
    assert late.lag == Lag(settings.sink_group, sorted_, 1, 7, 12, 5)
    # The look asks a moment before its time; the stamp itself is exact to a millisecond, or a thousandth of the age.
    assert 0 <= (seen.at_ms - stamps[7][1]) / 1000 - late.seconds <= seen.took_seconds + 0.01
    commit(admin, settings.sink_group, sorted_, 1, 12)
    [late] = [each for each in look.look().late if each.lag.end]
    assert (late.seconds, late.used) == (0.0, True)


def test_a_look_finds_every_group_that_reads_and_says_when_one_has_vanished(
    settings: Settings, admin: AdminClient, look: Looking
) -> None:
    sorted_, own = topics.sorted_topic(settings, "events"), f"{settings.sink_group}-own"
    produce(settings, sorted_, 0, 4)
    reader = Consumer(client.consumer_config(settings, own, session_timeout_ms=6000))
    reader.subscribe([sorted_])
    until(lambda: reader.poll(0.1) is None and reader.assignment(), 30, "it has its partitions")
    reader.commit(offsets=[TopicPartition(sorted_, 0, 3)], asynchronous=False)
    [row] = [each.lag for each in look.look().late if each.lag.group == own]
    assert row == Lag(own, sorted_, 0, 3, 4, 1)
    exporter.show(seen := look.look())
    labels = f'group="{own}",partition="0",topic="{sorted_}"'
    assert f"logflume_lag_partition_records{{{labels}}} 1.0" in generate_latest(metrics.REGISTRY).decode()
    assert seen.findings == ()
    reader.close()
    admin.delete_consumer_groups([own])[own].result()
    assert [(found.what, found.group) for found in look.look().findings] == [(What.VANISHED, own)]


def test_what_a_watch_may_not_ask_about_others_costs_only_that(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_ = topics.sorted_topic(settings, "events")
    produce(settings, sorted_, 0, 1)
    commit(admin, settings.sink_group, sorted_, 0, 0)
    refused = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))

    def refuse(*_: object, **__: object) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(refused)
        return future

    with closing(Lags(settings, admin, others=True)) as lags, capture_logs() as logs:
        monkeypatch.setattr(admin, "list_consumer_groups", refuse)
        monkeypatch.setattr(admin, "describe_configs", lambda resources, **_: {r: refuse() for r in resources})
        [row] = [each for each in lags.read() if each.end]
        assert row.lag == 1
        assert lags.appended(sorted_)
        lags._others.add("theirs")
        lags._asking["theirs"] = lags._asking[settings.sink_group]
        own, place = groups._committed, (sorted_, 0)

        def committed(consumer: Consumer, group: str, places: object) -> dict[tuple[str, int], int]:
            if group == "theirs":
                raise Misconfigured("GROUP_AUTHORIZATION_FAILED")
            return own(consumer, group, [place])

        monkeypatch.setattr(groups, "_committed", committed)
        assert "theirs" not in {each.group for each in lags.read()}
        assert "theirs" not in lags._others
    told = [log["event"] for log in logs]
    assert told == ["kafka.groups-not-listed", "kafka.topics-not-described", "kafka.group-not-watched"]


def test_a_look_goes_on_by_another_consumer_when_one_has_lost_every_broker(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_ = topics.sorted_topic(settings, "events")
    with closing(Lags(settings, admin)) as lags:
        before = lags.read()
        [lost] = [consumer for group, consumer in lags._asking.items() if group == settings.sink_group]
        own = groups._committed

        def committed(consumer: Consumer, group: str, places: Any) -> dict[tuple[str, int], int]:
            if consumer is lost:
                raise Fatal("it has lost every broker")
            return own(consumer, group, places)

        monkeypatch.setattr(groups, "_committed", committed)
        with pytest.raises(Fatal):
            lags.read()
        assert lags.read() == before
    assert any(each.topic == sorted_ for each in before)


def test_a_topic_that_producers_stamp_is_told_and_its_seconds_are_the_watchs_own(
    settings: Settings, admin: AdminClient, look: Looking
) -> None:
    ingest = topics.ingest_topic(settings, "events")
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, ingest, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    with capture_logs() as logs:
        look.look()
        producer = Producer(client.producer_config(settings))
        producer.produce(ingest, b"from the past", partition=0, timestamp=1000)
        assert producer.flush(30) == 0
        [late] = [each for each in look.look().late if each.lag.lag]
    assert late.seconds < 60
    assert [log["topics"] for log in logs if log["event"] == "kafka.create-time"] == [[ingest]]


def stamped(settings: Settings, topic: str, partition: int) -> list[tuple[int, int]]:
    """The kind of each record's time, and the time in milliseconds."""
    reader = Consumer(client.consumer_config(settings, "nobody"))
    reader.assign([TopicPartition(topic, partition, 0)])
    end = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
    found = [message.timestamp() for message in reader.consume(end, 30)]
    reader.close()
    return found


def test_lag_that_is_watched_shows_each_group_the_latest_partitions_and_what_is_wrong(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    sorted_ = topics.sorted_topic(settings, "events")
    produce(settings, sorted_, 1, 4)
    commit(admin, settings.sink_group, sorted_, 1, 1)
    looks = iter(range(3))

    def pause(seconds: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("logflume.cli.lag.time.sleep", pause)
    run, command = CliRunner(), build("lag")
    shown = run.invoke(command, ["lag", "--watch"]).stdout
    assert shown.count("Lag at ") >= 1
    assert "The latest partitions" in shown
    looks = iter(range(3))
    lines = run.invoke(command, ["lag", "--watch", "--json"]).stdout.splitlines()
    told = [orjson.loads(line) for line in lines]
    assert len(told) == 3
    [mine] = [each for each in told[-1]["groups"] if each["topic"] == sorted_]
    assert (mine["lag"], mine["caught_up_in"], mine["in_s"]) == (3, "never", 0)
