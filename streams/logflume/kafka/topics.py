"""Logflume's topics: their names, what the contract declares of them, and Kafka brought in line with it.

``diff`` only looks. ``apply`` creates, alters and (ingest topics only) grows, may be repeated, and never deletes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    TopicDescription,
)

from logflume import contract
from logflume.errors import LogflumeError, Misconfigured, Refused, Retryable
from logflume.kafka import client
from logflume.model.dataset import load
from logflume.settings import Settings

_PER_DATASET = ".<dataset>"
_TEMPLATES = ("ingest.<dataset>", "sorted.<dataset>", "deadletter", "config", "cursors", "status", "ledger")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")  # what Kafka allows in a topic's name


def ingest_topic(settings: Settings, dataset: str) -> str:
    """Return the name of the topic that a dataset's blocks and plain records come in on."""
    return f"{settings.topic_prefix}ingest.{dataset}"


def sorted_topic(settings: Settings, dataset: str) -> str:
    """Return the name of the topic of a dataset's sorted blocks."""
    return f"{settings.topic_prefix}sorted.{dataset}"


def deadletter_topic(settings: Settings) -> str:
    """Return the name of the topic of what can never be read."""
    return f"{settings.topic_prefix}deadletter"


def config_topic(settings: Settings) -> str:
    """Return the name of the topic of the tenants' configuration; it has one partition."""
    return f"{settings.topic_prefix}config"


def cursors_topic(settings: Settings) -> str:
    """Return the name of the topic of positions, cursors and intents."""
    return f"{settings.topic_prefix}cursors"


@dataclass(frozen=True)
class Topic:
    """A topic as the contract declares it for one profile. ``grows``: partitions may be added in place."""

    name: str
    template: str
    dataset: str | None
    partitions: int
    replication: int
    grows: bool
    config: Mapping[str, str]
    description: str


class Action(StrEnum):
    """What ``apply`` does about a difference."""

    CREATE = "create"
    ALTER = "alter"
    GROW = "grow"
    LEAVE = "leave"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Difference:
    """What Kafka has otherwise than declared; ``what``: topic, partitions, replication, or a config's name."""

    topic: str
    what: str
    actual: str
    declared: str
    action: Action
    note: str = ""


# --- what is declared -------------------------------------------------------------------------------------------------


def declared(settings: Settings) -> list[Topic]:
    """Return every topic of the contract, for the profile and with the prefix of ``settings``; no Kafka is asked."""
    if not _PREFIX.fullmatch(settings.topic_prefix):
        raise Misconfigured(f"topic_prefix: {settings.topic_prefix!r}: only letters, digits and . _ - (100 at most)")
    folder = contract.find(settings.topics_dir)
    return read(folder, settings.topics_profile, settings.topic_prefix, load(folder))


def read(folder: Path, profile: str, prefix: str, datasets: Iterable[str]) -> list[Topic]:
    """Read ``topics.yaml`` of a contract folder, templates filled in for each dataset."""
    root = contract.read_yaml(folder / "topics.yaml")
    root.only(("profiles", "topics"))
    profiles = root.section("profiles")
    if profile not in profiles:
        raise Misconfigured(f"topics_profile: {profile!r} is none of {', '.join(profiles)} ({profiles.path})")
    chosen = profiles.section(profile)
    chosen.only(("replication", "config"))
    replication = chosen.integer("replication", least=1, most=10)
    shared = _config(chosen)
    section = root.section("topics")
    section.only(_TEMPLATES)
    names = list(datasets)
    return [
        topic
        for template in _TEMPLATES
        for topic in _fill(section, template, profile, prefix, names, replication, shared)
    ]


def _fill(
    section: contract.Section,
    template: str,
    profile: str,
    prefix: str,
    datasets: list[str],
    replication: int,
    shared: Mapping[str, str],
) -> list[Topic]:
    """Return one topic, or one a dataset, of a template."""
    entry = section.section(template)
    entry.only(("description", "partitions", "partitions_grow", "config"))
    config = dict(shared) | _config(entry)
    grows = entry.flag("partitions_grow", False)
    partitions = entry.section("partitions").integer(profile, least=1, most=10_000)
    description = entry.text("description")
    if "delete" in config.get("cleanup.policy", "delete") and config.get("message.timestamp.type") != "LogAppendTime":
        # By CreateTime a producer with a slow clock has its records deleted before anyone reads them.
        raise entry.mistake("config", "a topic that deletes by time needs message.timestamp.type: LogAppendTime")
    if grows and not template.startswith("ingest."):
        raise entry.mistake("partitions_grow", "only ingest topics may: everywhere else the partition has a meaning")

    def topic(dataset: str | None) -> Topic:
        name = prefix + (template.removesuffix(_PER_DATASET) + f".{dataset}" if dataset else template)
        return Topic(name, template, dataset, partitions, replication, grows, config, description)

    return [topic(dataset) for dataset in datasets] if template.endswith(_PER_DATASET) else [topic(None)]


def _config(entry: contract.Section) -> dict[str, str]:
    section = entry.section("config")
    return {key: _spelled(section.value(key)) for key in section}


def _spelled(value: str | int | float | bool | None) -> str:
    """Return a value as Kafka spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# --- what Kafka has ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Present:
    """A topic as Kafka has it. ``id``: 22 characters of URL-safe base64, as Kafka spells it, fit for a path."""

    id: str
    partitions: int


def present(admin: AdminClient, names: Collection[str]) -> dict[str, Present]:
    """Return those of the named topics that exist; raises ``Retryable`` when Kafka does not answer."""
    return {name: Present(id_of(topic), len(topic.partitions)) for name, topic in _describe(admin, names).items()}


def topic_ids(admin: AdminClient, names: Collection[str]) -> dict[str, str]:
    """Return Kafka's id of each topic (see ``Present``).

    Raises ``Misconfigured`` for a topic that is not there, ``Retryable`` when Kafka does not answer.
    """
    found = present(admin, names)
    missing = sorted(set(names) - set(found))
    if missing:
        raise Misconfigured(f"Kafka has no topic {', '.join(missing)}; `logflume topics apply` makes it")
    return {name: topic.id for name, topic in found.items()}


def partitions(admin: AdminClient, names: Collection[str]) -> dict[str, int]:
    """Return the partition count of each topic that is there; those that are not are left out."""
    return {name: topic.partitions for name, topic in present(admin, names).items()}


def diff(settings: Settings) -> list[Difference]:
    """Return what Kafka has otherwise than declared, in the order of the declaration; changes nothing."""
    # A client of its own: one that has asked for a topic that is not there finds no leaders of it for half a minute.
    admin = client.admin(settings)
    topics = declared(settings)
    found = _describe(admin, [topic.name for topic in topics])
    configs = _configs(admin, list(found))
    differences: list[Difference] = []
    for topic in topics:
        if topic.name in found and topic.name in configs:
            differences += _compare(topic, found[topic.name], configs[topic.name])
        else:
            text = f"{topic.partitions} partitions, {topic.replication} replicas"
            differences.append(Difference(topic.name, "topic", "missing", text, Action.CREATE))
    return differences + _undeclared(settings, admin, {topic.name for topic in topics})


def apply(settings: Settings) -> list[Difference]:
    """Bring Kafka in line with the declaration and return what was done; a second call returns an empty list.

    When it returns, Kafka shows the topics as declared. ``Refused``, before anything is changed, when a partition
    count would have to change that must not, and ``Retryable`` when Kafka does not answer or does not show the changes.
    """
    admin = client.admin(settings)
    differences = diff(settings)

    def of(action: Action) -> list[Difference]:
        return [difference for difference in differences if difference.action is action]

    if refused := of(Action.REFUSE):
        raise Refused("nothing was changed:\n" + "\n".join(f"{item.topic}: {item.note}" for item in refused))
    topics = {topic.name: topic for topic in declared(settings)}
    _create(admin, [topics[item.topic] for item in of(Action.CREATE)])
    _grow(admin, [topics[item.topic] for item in of(Action.GROW)])
    _alter(admin, of(Action.ALTER))
    done = [difference for difference in differences if difference.action is not Action.LEAVE]
    if done:
        _await(settings)
    return done


def _compare(topic: Topic, found: TopicDescription, config: Mapping[str, ConfigEntry]) -> list[Difference]:
    differences = []
    actual = len(found.partitions)
    if actual != topic.partitions:
        action, note = _about_partitions(topic, actual)
        differences.append(Difference(topic.name, "partitions", str(actual), str(topic.partitions), action, note))
    replicas = min(len(partition.replicas) for partition in found.partitions)
    if replicas != topic.replication:
        note = "kafka-reassign-partitions.sh changes it"
        differences.append(
            Difference(topic.name, "replication", str(replicas), str(topic.replication), Action.LEAVE, note)
        )
    for key, wanted in topic.config.items():
        entry = config.get(key)
        if entry is None:
            raise Misconfigured(f"topics.yaml: {topic.template}: this Kafka knows no topic configuration {key}")
        own = ConfigSource(entry.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG
        if not own or entry.value != wanted:  # equal by the broker's default is not kept: the default may change
            value = str(entry.value) if own else f"{entry.value} (the broker's)"
            differences.append(Difference(topic.name, key, value, wanted, Action.ALTER))
    for key, entry in sorted(config.items()):
        if ConfigSource(entry.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG and key not in topic.config:
            note = "set by someone else"
            differences.append(Difference(topic.name, key, str(entry.value), "undeclared", Action.LEAVE, note))
    return differences


def _about_partitions(topic: Topic, actual: int) -> tuple[Action, str]:
    counts = f"it has {actual} partitions, {topic.partitions} are declared"
    if topic.grows and topic.partitions > actual:
        return Action.GROW, ""
    if topic.grows:
        return Action.REFUSE, f"{counts}, and Kafka can't take partitions away; declare {actual} or more"
    return Action.REFUSE, (
        f"{counts}, and what stands in which partition depends on their number, so it never changes in place. "
        f"Declare {actual} again, or move to new topics: give topic_prefix, sort_group and sink_group new values, run "
        "`logflume topics apply`, start edges and workers with them, and let the old workers run until `logflume lag` "
        "shows 0 with the old values. Tables know topics by their ids, so nothing is stored twice"
    )


def _undeclared(settings: Settings, admin: AdminClient, names: Collection[str]) -> list[Difference]:
    """Return topics under our prefix that nothing declares (a dataset whose file was taken away)."""
    if not settings.topic_prefix:
        return []
    try:
        present = admin.list_topics(timeout=client.REQUEST_SECONDS).topics
    except KafkaException as error:
        raise client.typed(error, "listing topics") from error
    extra = sorted(name for name in present if name.startswith(settings.topic_prefix) and name not in names)
    return [Difference(name, "topic", "present", "undeclared", Action.LEAVE, "never deleted") for name in extra]


def id_of(topic: TopicDescription) -> str:
    """Return its id as ``Present`` has it: plain base64, as librdkafka spells it, has "/", which splits paths."""
    return str(topic.topic_id).translate(str.maketrans("+/", "-_"))


def _describe(admin: AdminClient, names: Collection[str]) -> dict[str, TopicDescription]:
    """Return the topics that exist, described."""
    if not names:
        return {}
    return _existing(admin.describe_topics(TopicCollection(list(names)), request_timeout=client.REQUEST_SECONDS))


def _existing(asked: Mapping[str, Future[Any]]) -> dict[str, Any]:
    """Return the answers about topics that exist; one broker may not know yet what another does."""
    found = {}
    for name, future in asked.items():
        try:
            found[name] = client.answer(future, name)
        except LogflumeError as error:
            cause = error.__cause__
            if not isinstance(cause, KafkaException) or cause.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return found


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, ConfigEntry]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    asked = admin.describe_configs(resources, request_timeout=client.REQUEST_SECONDS)
    return _existing({resource.name: future for resource, future in asked.items()})


def _create(admin: AdminClient, topics: list[Topic]) -> None:
    if not topics:
        return
    new = [NewTopic(topic.name, topic.partitions, topic.replication, config=dict(topic.config)) for topic in topics]
    asked = admin.create_topics(new, operation_timeout=client.REQUEST_SECONDS, request_timeout=client.REQUEST_SECONDS)
    for name, future in asked.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # someone else applied at the same moment
                raise client.typed(error, name) from error
    _await_leaders(admin, topics)


def _await_leaders(admin: AdminClient, topics: list[Topic]) -> None:
    """Return when every partition serves: Kafka (KRaft) says "created" before its brokers know."""
    waiting = {TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)}
    deadline = time.monotonic() + client.REQUEST_SECONDS
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    while True:
        asked = admin.list_offsets(dict.fromkeys(waiting, latest), request_timeout=client.REQUEST_SECONDS)
        failed = {at: error for at, future in asked.items() if (error := future.exception()) is not None}
        if not failed:
            return
        at, error = next(iter(failed.items()))
        if time.monotonic() > deadline:
            raise Retryable(f"{at.topic}[{at.partition}] was created and does not serve yet: {error}") from error
        waiting = set(failed)
        time.sleep(0.05)


def _await(settings: Settings) -> None:
    """Wait until Kafka shows what was done: brokers hear of it from the controller a moment after it answered."""
    deadline = time.monotonic() + client.REQUEST_SECONDS
    while any(difference.action is not Action.LEAVE for difference in diff(settings)):
        if time.monotonic() > deadline:
            raise Retryable("Kafka took the changes and does not show them yet; see `logflume topics diff`")
        time.sleep(0.05)


def _grow(admin: AdminClient, topics: list[Topic]) -> None:
    if topics:
        more = [NewPartitions(topic.name, topic.partitions) for topic in topics]
        for name, future in admin.create_partitions(more, operation_timeout=client.REQUEST_SECONDS).items():
            _result(future, name)


def _alter(admin: AdminClient, differences: list[Difference]) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for item in differences:
        entry = ConfigEntry(item.what, item.declared, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(item.topic, []).append(entry)
    if entries:
        resources = [
            ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=changes)
            for name, changes in entries.items()
        ]
        for resource, future in admin.incremental_alter_configs(resources).items():
            _result(future, resource.name)


def _result(future: Future[Any], about: str) -> Any:
    try:
        return future.result()
    except KafkaException as error:
        raise client.typed(error, about) from error
