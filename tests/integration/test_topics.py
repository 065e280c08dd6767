"""Topics against a real Kafka: apply brings it in line, never deletes, and refuses what would mix rows."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from typer.testing import CliRunner

from logflume import contract
from logflume.cli.topics import app
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.kafka import client, topics
from logflume.kafka.topics import Action, Difference
from logflume.settings import Settings

Edit = Callable[[str, str], Settings]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The contract as it is delivered, which the tests here are about."""
    return settings.model_copy(update={"topics_dir": ""})


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return client.admin(settings)


@pytest.fixture
def edited(settings: Settings, tmp_path: Path) -> Edit:
    """``edited(old, new)``: the same settings with a contract whose topics.yaml says something else."""

    def edit(old: str, new: str) -> Settings:
        folder = tmp_path / f"contract-{time.monotonic_ns()}"
        shutil.copytree(contract.find(), folder)
        text = (folder / "topics.yaml").read_text()
        assert old in text
        (folder / "topics.yaml").write_text(text.replace(old, new, 1))
        return settings.model_copy(update={"topics_dir": str(folder)})

    return edit


def configuration(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result().items()}


def set_by_hand(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def test_apply_creates_what_is_declared_and_a_second_apply_has_nothing_to_do(
    settings: Settings, admin: AdminClient
) -> None:
    missing = topics.diff(settings)
    assert {difference.action for difference in missing} == {Action.CREATE}
    assert {difference.topic for difference in missing} == {topic.name for topic in topics.declared(settings)}
    assert topics.apply(settings) == missing
    assert topics.diff(settings) == []
    assert topics.apply(settings) == []
    for topic in topics.declared(settings):
        actual = configuration(admin, topic.name)
        assert {name: actual[name] for name in topic.config} == topic.config
    assert topics.partitions(admin, [topics.sorted_topic(settings, "events")]) == {
        topics.sorted_topic(settings, "events"): 16
    }


def test_a_topic_deleted_and_made_again_has_another_id(settings: Settings, admin: AdminClient) -> None:
    topics.apply(settings)
    names = [topic.name for topic in topics.declared(settings)]
    before = topics.topic_ids(admin, names)
    assert len(set(before.values())) == len(names)
    # Fit for a path and for an app_id: librdkafka's own spelling has "/" in every fourth id or so.
    assert [text for text in before.values() if not re.fullmatch(r"[A-Za-z0-9_-]{22}", text)] == []
    cursors = topics.cursors_topic(settings)
    admin.delete_topics([cursors], operation_timeout=30)[cursors].result()
    until(lambda: topics.partitions(admin, [cursors]) == {})
    with pytest.raises(Misconfigured, match=f"no topic {re.escape(cursors)}; `logflume topics apply`"):
        topics.topic_ids(admin, names)
    assert [(item.topic, item.action) for item in topics.apply(settings)] == [(cursors, Action.CREATE)]
    after = topics.topic_ids(admin, names)
    assert {name for name in names if before[name] != after[name]} == {cursors}


def test_apply_repairs_a_configuration_and_leaves_what_nobody_declared(settings: Settings, admin: AdminClient) -> None:
    topics.apply(settings)
    ingest = topics.ingest_topic(settings, "events")
    set_by_hand(admin, ingest, "message.timestamp.type", "CreateTime")
    set_by_hand(admin, ingest, "segment.ms", "3600000")
    until(lambda: configuration(admin, ingest)["segment.ms"] == "3600000")
    repair = Difference(ingest, "message.timestamp.type", "CreateTime", "LogAppendTime", Action.ALTER)
    foreign = Difference(ingest, "segment.ms", "3600000", "undeclared", Action.LEAVE, "set by someone else")
    assert topics.diff(settings) == [repair, foreign]
    assert topics.apply(settings) == [repair]
    assert topics.diff(settings) == [foreign]
    assert configuration(admin, ingest)["segment.ms"] == "3600000"


def test_a_value_that_only_the_brokers_default_gives_is_set_on_the_topic(
    settings: Settings, admin: AdminClient
) -> None:
    """The default may change tomorrow: a size limit on the whole broker would then delete unread rows."""
    name = topics.ingest_topic(settings, "events")
    admin.create_topics([NewTopic(name, 8, 1)], operation_timeout=30)[name].result()
    until(lambda: name in topics.partitions(admin, [name]))
    found = {item.what: item for item in topics.diff(settings) if item.topic == name}
    assert found["retention.bytes"] == Difference(name, "retention.bytes", "-1 (the broker's)", "-1", Action.ALTER)
    topics.apply(settings)
    assert topics.diff(settings) == []


def test_an_ingest_topic_grows_when_declared_and_never_shrinks(
    settings: Settings, admin: AdminClient, edited: Edit
) -> None:
    topics.apply(settings)
    more = edited("partitions: {local: 8, real: 64}", "partitions: {local: 12, real: 64}")
    done = topics.apply(more)
    assert {(item.what, item.actual, item.declared, item.action) for item in done} == {
        ("partitions", "8", "12", Action.GROW)
    }
    assert {item.topic for item in done} == {topic.name for topic in topics.declared(settings) if topic.grows}
    assert topics.diff(more) == []
    with pytest.raises(Refused, match="can't take partitions away; declare 12 or more"):
        topics.apply(settings)


@pytest.mark.parametrize(
    ("old", "new", "topic"),
    [
        ("partitions: {local: 16, real: 256}", "partitions: {local: 32, real: 256}", "sorted.events"),
        ("partitions: {local: 16, real: 256}", "partitions: {local: 8, real: 256}", "sorted.events"),
        ("{local: 8, real: 64}\n    config:\n      cleanup.policy: compact", None, "cursors"),
    ],
)
def test_a_partition_count_with_a_meaning_never_changes_in_place(
    settings: Settings, admin: AdminClient, edited: Edit, old: str, new: str | None, topic: str
) -> None:
    topics.apply(settings)
    deadletter = topics.deadletter_topic(settings)
    set_by_hand(admin, deadletter, "retention.ms", "1")
    until(lambda: configuration(admin, deadletter)["retention.ms"] == "1")
    other = edited(old, new or old.replace("local: 8", "local: 16"))
    with pytest.raises(Refused, match=r"nothing was changed:\n(.|\n)*topic_prefix") as error:
        topics.apply(other)
    assert f"{settings.topic_prefix}{topic}: it has" in str(error.value)
    assert configuration(admin, deadletter)["retention.ms"] == "1", "a refused apply does nothing at all"
    name = settings.topic_prefix + topic
    assert topics.partitions(admin, [name]) == {name: 16 if topic.startswith("sorted") else 8}


def test_a_topic_whose_dataset_is_gone_is_shown_and_never_deleted(
    settings: Settings, admin: AdminClient, edited: Edit
) -> None:
    topics.apply(settings)
    fewer = edited("profiles:", "profiles:")
    (Path(fewer.topics_dir) / "datasets" / "dns_logs.yaml").unlink()
    left = [f"{settings.topic_prefix}{kind}.dns_logs" for kind in ("ingest", "sorted")]
    assert [(item.topic, item.action) for item in topics.diff(fewer)] == [(name, Action.LEAVE) for name in left]
    assert topics.apply(fewer) == []
    assert set(topics.partitions(admin, left)) == set(left)


def test_two_who_apply_at_once_both_succeed(settings: Settings, admin: AdminClient) -> None:
    wanted = topics.declared(settings)
    topics._create(admin, wanted)
    topics._create(admin, wanted)
    until(lambda: topics.diff(settings) == [])


def test_a_replication_that_the_cluster_cannot_give_is_a_mistake_in_the_settings(
    settings: Settings, admin: AdminClient
) -> None:
    real = settings.model_copy(update={"topics_profile": "real"})
    with pytest.raises(Misconfigured, match="INVALID_REPLICATION_FACTOR"):
        topics.apply(real)


def test_a_kafka_that_does_not_answer_is_retryable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
    with pytest.raises(Retryable):
        topics.diff(settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1", "kafka_options": {"log_level": "0"}}))


def test_the_command_prints_json_that_programs_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    listed = orjson.loads(run.invoke(app, ["list", "--json"], catch_exceptions=False).stdout)
    assert {row["name"] for row in listed} == {topic.name for topic in topics.declared(settings)}
    assert "missing" in run.invoke(app, ["diff"], catch_exceptions=False).stdout
    assert len(orjson.loads(run.invoke(app, ["apply", "--json"], catch_exceptions=False).stdout)) == len(listed)
    assert run.invoke(app, ["diff", "--json"], catch_exceptions=False).stdout.strip() == "[]"
    assert "nothing to do" in run.invoke(app, ["apply"], catch_exceptions=False).stdout
