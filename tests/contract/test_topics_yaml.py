"""The rules of DESIGN §4 over every topic that the contract declares, in each profile."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from logflume import contract
from logflume.errors import Misconfigured
from logflume.kafka import topics
from logflume.kafka.topics import Topic
from logflume.model import load
from logflume.settings import Settings

FOLDER = contract.find()
DATASETS = list(load(FOLDER))
HOUR = 3_600_000


def declared(profile: str, folder: Path = FOLDER) -> list[Topic]:
    return topics.read(folder, profile, "logflume.", DATASETS)


@pytest.fixture(params=["local", "real"])
def every(request: pytest.FixtureRequest) -> list[Topic]:
    return declared(request.param)


def named(every: list[Topic], template: str) -> list[Topic]:
    found = [topic for topic in every if topic.template == template]
    assert found
    return found


def test_each_dataset_has_an_ingest_and_a_sorted_topic(every: list[Topic]) -> None:
    names = [topic.name for topic in every]
    assert len(names) == len(set(names))
    for dataset in DATASETS:
        assert {f"logflume.ingest.{dataset}", f"logflume.sorted.{dataset}"} <= set(names)
    others = {"deadletter", "config", "cursors", "status", "ledger"}
    assert {topic.template for topic in every} == {"ingest.<dataset>", "sorted.<dataset>"} | others


def test_names_are_those_that_producers_and_consumers_use() -> None:
    settings = Settings(topic_prefix="x.")
    names = {topic.name for topic in topics.declared(settings)}
    assert {topics.deadletter_topic(settings), topics.cursors_topic(settings)} <= names
    for dataset in DATASETS:
        assert {topics.ingest_topic(settings, dataset), topics.sorted_topic(settings, dataset)} <= names


def test_every_topic_that_deletes_by_time_does_so_by_the_brokers_clock_and_never_by_size(every: list[Topic]) -> None:
    deleting = [topic for topic in every if topic.config["cleanup.policy"] != "compact"]
    assert len(deleting) == 2 * len(DATASETS) + 2
    for topic in deleting:
        assert topic.config["message.timestamp.type"] == "LogAppendTime", topic.name
        assert topic.config["retention.bytes"] == "-1", topic.name


def test_retention_is_long_enough_for_an_outage_to_be_repaired(every: list[Topic]) -> None:
    expected = {"ingest.<dataset>": 24, "sorted.<dataset>": 72, "deadletter": 14 * 24, "ledger": 30 * 24}
    for template, hours in expected.items():
        assert {int(topic.config["retention.ms"]) for topic in named(every, template)} == {hours * HOUR}


def test_state_is_compacted_and_never_deleted_by_time(every: list[Topic]) -> None:
    for template in ("config", "cursors", "status"):
        for topic in named(every, template):
            assert topic.config["cleanup.policy"] == "compact"
            assert "retention.ms" not in topic.config


def test_cursors_have_small_segments_so_that_a_start_is_fast(every: list[Topic]) -> None:
    assert int(named(every, "cursors")[0].config["segment.bytes"]) <= 16 * 1024 * 1024


def test_topics_of_blocks_take_4_mb_and_dead_letters_16(every: list[Topic]) -> None:
    for template in ("ingest.<dataset>", "sorted.<dataset>"):
        assert {topic.config["max.message.bytes"] for topic in named(every, template)} == {str(4 * 1024 * 1024)}
    assert int(named(every, "deadletter")[0].config["max.message.bytes"]) > 16 * 1024 * 1024


def test_the_broker_never_compresses_again_what_comes_compressed(every: list[Topic]) -> None:
    assert {topic.config["compression.type"] for topic in every} == {"producer"}


def test_only_ingest_topics_may_gain_partitions(every: list[Topic]) -> None:
    assert {topic.template for topic in every if topic.grows} == {"ingest.<dataset>"}


@pytest.mark.parametrize(
    ("profile", "counts"),
    [
        ("local", {"ingest.<dataset>": 8, "sorted.<dataset>": 16, "cursors": 8}),
        ("real", {"ingest.<dataset>": 64, "sorted.<dataset>": 256, "cursors": 64}),
    ],
)
def test_partition_counts_are_those_of_the_design(profile: str, counts: dict[str, int]) -> None:
    expected = counts | {"deadletter": 4, "config": 1, "status": 1, "ledger": 4}
    assert {topic.template: topic.partitions for topic in declared(profile)} == expected


def test_a_real_deployment_keeps_what_is_acknowledged_when_a_broker_dies() -> None:
    for topic in declared("real"):
        assert topic.replication == 3
        assert topic.config["min.insync.replicas"] == "2"
        assert topic.config["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("message.timestamp.type: LogAppendTime\n", "message.timestamp.type: CreateTime\n", "needs message.timestamp"),
        ("  sorted.<dataset>:\n", "  sorted.<dataset>:\n    partitions_grow: true\n", "only ingest topics may"),
        ("  ledger:\n", "  ledgers:\n", "did you mean ledger?"),
        ("partitions: {local: 8, real: 64}", "partitions: {local: 8}", "partitions.real: is missing"),
        ("partitions: {local: 8, real: 64}", "partitions: {local: 8, real: 0}", "0 is not within"),
        ("    replication: 3\n", "    replicas: 3\n", "did you mean replication?"),
    ],
)
def test_a_mistake_in_topics_yaml_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (FOLDER / "topics.yaml").read_text()
    assert old in text
    shutil.copytree(FOLDER, tmp_path / "topics")
    (tmp_path / "topics" / "topics.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(Misconfigured, match=re.escape(told)) as error:
        declared("real", tmp_path / "topics")
    assert re.search(r"topics\.yaml:\d+: ", str(error.value))


def test_a_profile_or_prefix_that_cannot_be_is_told() -> None:
    with pytest.raises(Misconfigured, match="topics_profile: 'huge' is none of local, real"):
        declared("huge")
    with pytest.raises(Misconfigured, match="topic_prefix"):
        topics.declared(Settings(topic_prefix="a b"))
