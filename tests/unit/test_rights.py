"""The table of rights, and what is made of it."""

from __future__ import annotations

import json
import re
import shlex
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient

from logflume.cli.main import DONE, WRONG_USE, run
from logflume.errors import Misconfigured
from logflume.kafka import rights, topics
from logflume.kafka.rights import STAGES, Kind, acls, check, transactions
from logflume.settings import Settings

ANY = Settings(topics_profile="local", topic_prefix="p.", tenants_dir="/t", status_seconds=0)


def test_every_topic_of_the_table_is_declared() -> None:
    declared = {topic.name for topic in topics.declared(ANY)}
    for acl in acls(ANY, STAGES):
        if acl.kind is Kind.TOPIC:
            assert acl.name in declared or (acl.prefixed and any(name.startswith(acl.name) for name in declared)), acl


def test_a_right_is_asked_for_where_the_settings_make_it_necessary() -> None:
    def needed(**more: Any) -> set[str]:
        return {str(acl) for acl in acls(ANY.model_copy(update=more), ["edge"], needed=True)}

    assert "Read on topic p.ingest.*" not in needed()
    assert "Read on topic p.ingest.*" in needed(edge_spool_dir="/spool")
    assert "Read on topic p.config" in needed(tenants_dir="")
    assert "Write on topic p.status" in needed(status_seconds=1.0)


def test_commands_name_the_principal_and_each_resource_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "acl", "--stage", "sink", "--stage", "sort", "--principal", "User:it's me"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line) for line in lines if not line.startswith("#")]
    assert {words[words.index("--allow-principal") + 1] for words in commands} == {"User:it's me"}
    resources = [tuple(words[-4:]) for words in commands]
    assert len(set(resources)) == len(resources)
    [deadletter] = [words for words in commands if "logflume.deadletter" in words]
    assert deadletter.count("--operation") == 1
    [ids] = [words for words in commands if "--transactional-id" in words]
    assert ids[ids.index("--operation") :] == [
        *("--operation", "Write", "--transactional-id", "logflume-sink-", "--resource-pattern-type", "prefixed")
    ]


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "acl", "--stage", "care", "--principal", "User:care", "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert {(each["operation"], each["kind"], each["name"], each["prefixed"]) for each in found} == {
        ("Read", "topic", "logflume.cursors", False),
        ("Read", "group", "logflume-care", False),
        ("Read", "topic", "logflume.config", False),
        ("Write", "topic", "logflume.status", False),
        ("Describe", "group", "logflume.reads-", True),
    }
    assert {each["principal"] for each in found} == {"User:care"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stage", "snik", "--principal", "User:x"], "no stage 'snik', but edge, sort"),
        (["--stage", "sink"], "must be User:NAME"),
        (["--stage", "sink", "--principal", "sink"], "must be User:NAME"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "acl", *arguments]) == WRONG_USE
    assert told in capsys.readouterr().err


class Broker:
    """Tells what the asker may do: everything, but for what ``less`` says of a resource; None: it may not even look."""

    def __init__(self, less: dict[str, set[AclOperation] | None]) -> None:
        self._less = less

    def _told(self, names: list[str]) -> dict[str, Future[Any]]:
        return {name: self._one(name) for name in names}

    def _one(self, name: str) -> Future[Any]:
        answer: Future[Any] = Future()
        less = self._less.get(name, set())
        if less is None:
            answer.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
        else:
            answer.set_result(SimpleNamespace(authorized_operations=sorted(set(AclOperation) - less)))
        return answer

    def describe_topics(self, asked: Any, **_: Any) -> dict[str, Future[Any]]:
        return self._told(asked.topic_names)

    def describe_consumer_groups(self, names: list[str], **_: Any) -> dict[str, Future[Any]]:
        return self._told(names)


def lacking(**less: set[AclOperation] | None) -> set[str]:
    named = {name.replace("__", ".").replace("_", "-"): operations for name, operations in less.items()}
    found = rights.lacking(ANY.model_copy(update={"sort_group": "group"}), "sort", cast(AdminClient, Broker(named)))
    return {str(acl) for acl in found}


def test_what_is_lacking_is_found_on_each_topic_of_a_prefix_and_on_groups() -> None:
    assert lacking() == set()
    assert lacking(p__sorted__events={AclOperation.WRITE}) == {"Write on topic p.sorted.*"}
    assert lacking(p__sorted__events={AclOperation.READ}) == set()
    assert lacking(p__deadletter=None, group={AclOperation.READ}) == {
        "Write on topic p.deadletter",
        "Read on group group",
    }


def test_a_transactional_id_that_may_not_even_be_seen_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def refused(settings: Settings, ids: set[str], seconds: float) -> set[str]:
        asked.append(ids)
        return ids

    monkeypatch.setattr(transactions, "refused", refused)
    found = rights.lacking(ANY.model_copy(update={"sink_group": "g"}), "sink", cast(AdminClient, Broker({})))
    assert {str(acl) for acl in found} == {"Write on transactional-id g-*"}
    assert asked == [{"g-"}]


def test_only_a_secured_kafka_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = acls(ANY, ["sort"])[:1]
    monkeypatch.setattr(check, "lacking", lambda *_: missing)
    rights.require(ANY, "sort")
    with pytest.raises(Misconfigured, match=re.escape(f"lacks\n  {missing[0]} ({missing[0].why})")):
        rights.require(ANY.model_copy(update={"kafka_security_protocol": "SSL"}), "sort")
