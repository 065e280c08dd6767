"""Stages that may do in Kafka what the table of rights says, and nothing else."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import AclOperation
from textual.widgets import DataTable

from logflume.cli.main import FAILED, WRONG_USE
from logflume.cli.top_app import Top
from logflume.clock import SystemClock
from logflume.kafka import client, rights, status, topics
from logflume.kafka.rights import Acl, Kind
from logflume.settings import Settings
from logflume.watch import looking
from logflume.watch.causes import Limits
from logflume.watch.look import Look
from tests.conftest import SettingsFor
from tests.support.oracle import TENANTS
from tests.support.pipeline import KILLED, SHORT, Pipeline, StartWorker
from tests.support.secured import SecuredKafka
from tests.support.services import Run
from tests.support.waiting import until
from tests.support.ways import binding

pytestmark = pytest.mark.timeout(400)

STAGES = ("config", "edge", "sort", "sink", "care", "serve", "watch")


@dataclass
class Staged:
    """A pipeline whose stages are principals of their own, with the least rights."""

    pipeline: Pipeline
    secured: SecuredKafka
    folder: Path
    users: dict[str, str] = field(default_factory=dict)

    def principal(self, stage: str, **more: Any) -> Settings:
        """Make the stage's principal, and give it its rights."""
        user = self.users[stage] = f"{stage}-{secrets.token_hex(4)}"
        given = self.secured.scram(user, self.folder) | {
            "tenants_dir": "",
            "status_seconds": 1.0,
            "state_dir": str(self.folder / user),
            "edge_spool_dir": str(self.folder / f"{user}-spool") if stage == "edge" else "",
            "worker_id": stage,
            **more,
        }
        self.pipeline.given = {**self.pipeline.given, stage: given}
        self.secured.allow([binding(acl, user) for acl in self.rights(stage)])
        return self.of(stage)

    def of(self, stage: str) -> Settings:
        return self.pipeline.of(stage)

    def rights(self, stage: str) -> list[Acl]:
        return rights.acls(self.of(stage), [stage], needed=True)

    def done(self, stage: str, command: str, code: int = 0) -> None:
        """Run a command as a stage's principal to its end."""
        worker = self.pipeline.start(command, self.of(stage), {})
        assert worker.wait() == code, worker.output()

    def configure(self) -> None:
        """Put the tenants in force, as the principal of `config`."""
        self.done("config", f"config apply {self.pipeline.settings.tenants_dir} --yes")


@pytest.fixture
def staged(
    secured: SecuredKafka, settings_for: SettingsFor, worker: StartWorker, run: Run, tmp_path: Path
) -> Iterator[Staged]:
    pipeline = Pipeline(settings_for(secured).model_copy(update=SHORT), run, tmp_path, worker)
    yield Staged(pipeline, secured, tmp_path)
    pipeline.close()


def poison(settings: Settings) -> None:
    """Send what can't be read, and wait until it is a dead letter."""
    producer = Producer(client.producer_config(settings))
    producer.produce(topics.ingest_topic(settings, "events"), b"{no end", TENANTS[0].encode())
    assert producer.flush(30) == 0


def test_the_main_job_is_done_by_stages_that_may_do_no_more_than_they_must(staged: Staged, tmp_path: Path) -> None:
    pipeline = staged.pipeline
    for stage in (*STAGES, "deadletter", "lag", "status"):
        staged.principal(stage)
    staged.configure()
    watch = pipeline.start("watch", staged.of("watch"), {})
    serve = pipeline.start("serve", staged.of("serve").model_copy(update={"serve_port": 0}), {})
    other = {"edge_spool_dir": str(tmp_path / "other-spool"), "edge_http_port": 0}
    edge = pipeline.start("edge serve", staged.of("edge").model_copy(update=other), {})
    care = pipeline.start("care", staged.of("care"), {})
    sorter, sink = pipeline.sort(), pipeline.sink()
    killed = pipeline.send(LOGFLUME_CRASH_AT="edge.produced:3")  # it leaves a spool whose end must be looked for
    assert killed.process.wait(120) == KILLED, killed.process.tail()
    pipeline.sent(2000)
    pipeline.assert_exactly_once()
    poison(staged.of("edge"))
    staged.done("deadletter", "deadletter list")
    staged.done("deadletter", "deadletter replay --yes")
    staged.done("lag", "lag")
    staged.done("status", "status")
    staged.done("watch", "watch --once")
    staged.done("serve", f"find m1 --tenant {TENANTS[0]} --live", 1)
    workers = [edge, sorter, sink, care, serve, watch]
    for each in workers:
        each.wait_ready()
    assert [each.stop() for each in workers] == [0] * len(workers)
    pipeline.judge.assert_drained()
    assert {stage: denied for stage, user in staged.users.items() if (denied := staged.secured.denied(user))} == {}


class One:
    """A stage alone: its topics are there and its principal; nothing runs."""

    def __init__(self, secured: SecuredKafka, base: Settings, stage: str, folder: Path, **given: Any) -> None:
        self.stage = stage
        self.user = f"{stage}-{secrets.token_hex(4)}"
        self.secured = secured
        more = {"tenants_dir": "", "status_seconds": 1.0, "edge_spool_dir": str(folder / "spool"), "serve_port": 0}
        self.settings = base.model_copy(update=secured.scram(self.user, folder) | more | given)
        self.acls = rights.acls(self.settings, [stage], needed=True)
        secured.allow([binding(acl, self.user) for acl in self.acls])

    def lacks(self) -> list[Acl]:
        return rights.lacking(self.settings, self.stage)

    def without(self, acl: Acl) -> Settings:
        self.secured.take([binding(acl, self.user)])
        return self.settings


@pytest.fixture(scope="module")
def base(secured: SecuredKafka, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Topics that nobody writes to."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "tenants").mkdir()
    (folder / "tenants" / "acme.yaml").write_text(
        "name: acme\nprincipal: acme-producers\nrates: {bytes_per_second: 1000000}\ndatasets:\n  events:\n"
    )
    name = f"t{secrets.token_hex(4)}"
    settings = Settings(
        kafka_bootstrap=secured.bootstrap,
        topics_profile="local",
        topic_prefix=f"{name}.",
        sort_group=f"{name}-sort",
        sink_group=f"{name}-sink",
        care_group=f"{name}-care",
        store_url=f"file://{folder}/store",
        tenants_dir=str(folder / "tenants"),
        state_dir=folder / "state",
    )
    topics.apply(settings)
    return settings


@pytest.mark.parametrize("stage", rights.STAGES)
def test_each_right_that_is_missing_is_named(secured: SecuredKafka, base: Settings, stage: str, tmp_path: Path) -> None:
    one = One(secured, base, stage, tmp_path)
    until(lambda: one.lacks() == [], 120, "all rights known")
    for acl in one.acls:
        if acl.kind is Kind.CLUSTER:
            continue  # Kafka tells nobody; see below
        one.without(acl)
        until(lambda lost=acl: lost in one.lacks(), 120, f"{acl} named")
        assert {each.resource for each in one.lacks()} == {acl.resource}
        secured.allow([binding(acl, one.user)])
        until(lambda: one.lacks() == [], 120, "all rights known")


TAKEN = {
    "edge": ("", "ingest.events deadletter status"),
    "edge with a spool": ("ingest.events", "ingest.events deadletter status"),
    "sort": ("ingest.events", "sorted.events deadletter status"),
    "sink": ("sorted.events", "cursors deadletter status"),
    "care": ("", "status"),
    "serve": ("sorted.events deadletter", "ingest.audit_logs status"),
    "watch": ("", "status"),
    "config": ("", "config ingest.audit_logs ingest.events"),
    "deadletter": ("deadletter", "deadletter ingest.audit_logs ingest.events"),
}
"""As SECURITY.md says: what of records a taken principal reads, and which topics it writes."""
RECORDS = ("ingest.events", "sorted.events", "deadletter")
TOPICS = (*RECORDS, "ingest.audit_logs", "cursors", "config", "status")


@pytest.mark.parametrize("stage", TAKEN)
def test_a_taken_principal_gives_what_security_md_says_and_no_more(
    secured: SecuredKafka, base: Settings, stage: str, tmp_path: Path
) -> None:
    spool = {"edge_spool_dir": "" if stage == "edge" else str(tmp_path / "spool"), "serve_audit_spool_dir": ""}
    one = One(secured, base, stage.split()[0], tmp_path, **spool)
    reads, writes = (set(names.split()) for names in TAKEN[stage])
    writes |= {"ingest.audit_logs"} if "ingest.events" in writes else set()
    until(lambda: one.lacks() == [], 120, "all rights known")
    names = [f"{base.topic_prefix}{name}" for name in TOPICS]
    admin = client.admin(one.settings)  # a client that nobody holds would take its requests along
    asked = admin.describe_topics(TopicCollection(names), include_authorized_operations=True, request_timeout=30)
    may: dict[str, set[AclOperation]] = {}
    for name, future in asked.items():
        failure = future.exception(60)
        if failure is None:
            may[name.removeprefix(base.topic_prefix)] = set(future.result().authorized_operations)
        else:
            assert failure.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert {name for name in RECORDS if AclOperation.READ in may.get(name, ())} == reads
    assert {name for name, operations in may.items() if AclOperation.WRITE in operations} == writes
    harmful = {AclOperation.DELETE, AclOperation.ALTER, AclOperation.ALTER_CONFIGS, AclOperation.CREATE}
    assert {name for name, operations in may.items() if operations & harmful} == set()


COMMANDS = {
    "edge": "edge serve",
    "config": "config apply {tenants} --yes",
    "topics": "topics apply",
    "deadletter": "deadletter replay --yes",
}


@pytest.mark.parametrize("stage", rights.STAGES)
def test_a_process_without_its_rights_ends_and_says_which(
    secured: SecuredKafka, base: Settings, worker: StartWorker, stage: str, tmp_path: Path
) -> None:
    one = One(secured, base, stage, tmp_path)
    told = (Kind.TOPIC, Kind.GROUP, Kind.TRANSACTIONAL_ID)
    lost = [acl for kind in told for acl in [a for a in one.acls if a.kind is kind][:1]]
    for acl in lost:
        one.without(acl)
    process = worker(COMMANDS.get(stage, stage).format(tenants=base.tenants_dir), one.settings)
    assert process.wait() == WRONG_USE, process.output()
    for acl in lost:
        assert f"  {acl} ({acl.why})" in process.output()


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (Kind.TRANSACTIONAL_ID, WRONG_USE, "config: .* the right Write on that transactional-id is missing"),
        # Quotas come last, when the generation is in force.
        (Kind.CLUSTER, FAILED, "the right AlterConfigs on the cluster is missing"),
    ],
)
def test_a_right_that_kafka_does_not_tell_of_is_named_when_it_is_missed(
    secured: SecuredKafka, base: Settings, worker: StartWorker, kind: Kind, code: int, told: str, tmp_path: Path
) -> None:
    one = One(secured, base, "config", tmp_path)
    lost = next(acl for acl in one.acls if acl.kind is kind)
    one.without(lost)
    secured.allow([binding(replace(lost, operation="Describe"), one.user)])
    process = worker(COMMANDS["config"].format(tenants=base.tenants_dir), one.settings)
    assert process.wait() == code, process.output()
    assert re.search(told, process.output()), process.output()


def test_a_producer_without_any_right_hears_which_it_lacks(
    secured: SecuredKafka, base: Settings, tmp_path: Path
) -> None:
    user = f"nobody-{secrets.token_hex(4)}"
    settings = base.model_copy(update=secured.scram(user, tmp_path))
    producer = Producer(client.producer_config(settings))

    def refused() -> KafkaException | None:
        try:
            producer.poll(0.1)
        except KafkaException as fatal:
            return fatal
        return None

    told = str(client.typed(until(refused, 120, "its refusal"), "a producer"))
    assert "a right on the cluster is missing: a producer's is IdempotentWrite, or Write on any topic" in told


def test_top_shows_all_of_it_to_a_principal_with_its_rights_and_is_refused_nothing(
    secured: SecuredKafka, base: Settings, tmp_path: Path
) -> None:
    one = One(secured, base, "top", tmp_path)
    until(lambda: one.lacks() == [], 120, "all rights known")
    topic = topics.ingest_topic(base, "events")
    producer = Producer(client.producer_config(base))
    producer.produce(topic, b'{"message":"waits"}', TENANTS[0].encode())
    assert producer.flush(30) == 0
    teller = base.model_copy(update={"status_seconds": 0.5, "worker_id": "told-of"})
    shown: dict[str, list[Any]] = {}

    async def look_at_it(look: Callable[[], Look]) -> None:
        app = Top(look, Limits.of(one.settings), 0.2)
        async with app.run_test(size=(140, 40)) as pilot:
            for key, wanted in (("1", topic), ("3", "told-of")):
                await pilot.press(key)
                table = app.query_one("#rows", DataTable)
                async with asyncio.timeout(60):
                    while wanted not in str(shown.get(key)):
                        await pilot.pause(0.05)
                        shown[key] = [table.get_row_at(at) for at in range(table.row_count)]

    with (
        closing(looking.Renewed(one.settings, SystemClock())) as made,
        status.Reporter(teller, "sink", status.Condition),
    ):
        asyncio.run(look_at_it(made.look))
    assert secured.denied(one.user) == set()


def test_a_sink_that_may_begin_no_transaction_ends_and_says_so(staged: Staged) -> None:
    for stage in ("config", "edge", "sort", "sink"):
        staged.principal(stage)
    [lost] = [acl for acl in staged.rights("sink") if acl.kind is Kind.TRANSACTIONAL_ID]
    staged.secured.take([binding(lost, staged.users["sink"])])
    staged.secured.allow([binding(replace(lost, operation="Describe"), staged.users["sink"])])
    staged.configure()
    sink = staged.pipeline.sink()
    staged.pipeline.sort()
    staged.pipeline.sent(200)
    assert sink.wait() == WRONG_USE, sink.output()
    assert f"transactional-id {lost.name}" in sink.output()
    assert "the right Write on that transactional-id is missing" in sink.output()
