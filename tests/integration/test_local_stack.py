"""``logflume local`` as a user runs it: real Kafka, real S3, real workers, real crashes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from logflume.local import family
from logflume.local.process import TEST_PORTS, Process
from logflume.local.record import Record
from logflume.settings import PREFIX
from tests.conftest import SharedKafka
from tests.support.services import Run
from tests.support.waiting import until


@dataclass(frozen=True)
class Machine:
    """A user's machine: a state folder, and the command."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The user's variables: no settings but these."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name == TEST_PORTS}
        return kept | {"LOGFLUME_STATE_DIR": str(self.folder)} | self.variables

    def logflume(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder that is not the checkout."""
        return subprocess.run(
            [sys.executable, "-m", "logflume", *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    def up(self) -> dict[str, dict[str, Any]]:
        """``local up``: the parts by name."""
        done = self.logflume("local", "up", "--json")
        assert done.returncode == 0, done.stderr
        return {part["name"]: part for part in json.loads(done.stdout)["parts"]}

    def status(self) -> dict[str, dict[str, Any]]:
        """``local status``: the parts by name."""
        return {p["name"]: p for p in json.loads(self.logflume("local", "status", "--json").stdout)["parts"]}

    @property
    def token(self) -> str:
        """What marks the stack's processes."""
        record = Record.read(self.folder)
        assert record is not None
        return record.token


def make(run: Run, **variables: str) -> Iterator[Machine]:
    """A machine in the run's folder, which is on a real disk; whatever is left there is ended."""
    folder = run.folder / f"a stack 100% {secrets.token_hex(3)}"  # names that users give
    folder.mkdir()
    machine = Machine(folder, variables)
    yield machine
    if Record.read(folder) is not None:
        family.end(machine.token, 1)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machine(run: Run) -> Iterator[Machine]:
    yield from make(run)


@pytest.fixture
def services_only(run: Run) -> Iterator[Machine]:
    none = {f"LOGFLUME_LOCAL_{kind}": "0" for kind in ("SORTERS", "SINKS", "WATCHES", "CARERS")}
    yield from make(run, **none)


@pytest.mark.timeout(600)
def test_up_joins_restarts_what_dies_and_down_stops_it_all(machine: Machine) -> None:
    stranger = Process.start([sys.executable, "-c", "import time; time.sleep(600)"], machine.folder / "stranger.log")
    first = machine.up()
    assert {name: part["state"] for name, part in first.items()} == dict.fromkeys(
        ("kafka", "seaweedfs", "sort-1", "sink-1", "watch-1", "care-1", "explore-1"), "RUNNING"
    )
    assert {name: part["pid"] for name, part in machine.up().items()} == {n: p["pid"] for n, p in first.items()}

    # Another command finds the stack with no settings but its folder.
    differences = machine.logflume("topics", "diff", "--json")
    assert differences.returncode == 0, differences.stderr
    assert json.loads(differences.stdout) == []

    os.kill(first["sort-1"]["pid"], signal.SIGKILL)
    again = until(lambda: _running_again(machine, first["sort-1"]["pid"]), 30, "the killed sorter runs again")
    assert again["restarts"] == 1

    done = machine.logflume("local", "down")
    assert done.returncode == 0, done.stderr
    assert not any(psutil.pid_exists(part["pid"]) for part in [*first.values(), again])
    assert family.members(machine.token) == []
    assert stranger.alive()
    stranger.kill()
    assert machine.logflume("local", "status").returncode == 1
    assert "not set" in machine.logflume("lag").stderr
    assert machine.logflume("local", "down").stdout.startswith("Nothing runs")


def _running_again(machine: Machine, killed: int) -> dict[str, Any] | None:
    sorter = machine.status()["sort-1"]
    return sorter if sorter["state"] == "RUNNING" and sorter["pid"] != killed else None


@pytest.mark.timeout(600)
def test_after_a_kill_of_supervisord_up_begins_anew_with_its_data_and_addresses(services_only: Machine) -> None:
    machine = services_only
    first = machine.up()
    topic = _topic_id(first["kafka"]["address"])
    supervisord = next(each for each in family.members(machine.token) if family.name(each) == family.SUPERVISORD)
    supervisord.kill()
    orphans = until(lambda: _orphans(machine), 10, "orphans are shown")
    assert orphans["kafka"]["pid"] == first["kafka"]["pid"]

    second = machine.up()
    assert second["kafka"]["pid"] != first["kafka"]["pid"]
    assert not psutil.pid_exists(first["kafka"]["pid"])
    assert {n: p["address"] for n, p in second.items()} == {n: p["address"] for n, p in first.items()}
    assert _topic_id(second["kafka"]["address"]) == topic


def _orphans(machine: Machine) -> dict[str, dict[str, Any]] | None:
    parts = machine.status()
    return parts if parts.get("kafka", {}).get("state") == "ORPHAN" else None


def _topic_id(bootstrap: str) -> str:
    from confluent_kafka import TopicCollection

    admin = AdminClient({"bootstrap.servers": bootstrap})
    name = "logflume.deadletter"
    return str(admin.describe_topics(TopicCollection([name]))[name].result(20).topic_id)


def test_down_ends_what_a_killed_up_had_started(services_only: Machine) -> None:
    machine = services_only
    going = Process.start(
        [sys.executable, "-m", "logflume", "local", "up"], machine.folder / "up.log", machine.environment()
    )
    until(lambda: Record.read(machine.folder) and _has_java(machine.token), 60, "Kafka is starting")
    going.kill()
    assert family.members(machine.token)
    done = machine.logflume("local", "down")
    assert done.returncode == 0, done.stderr
    assert family.members(machine.token) == []


def _has_java(token: str) -> bool:
    return any(family.name(each) == "kafka" for each in family.members(token))


def test_a_given_kafka_and_store_are_used_and_neither_started_nor_stopped(run: Run, kafka: SharedKafka) -> None:
    prefix = f"given{secrets.token_hex(3)}."
    folder = run.folder / f"objects-{secrets.token_hex(3)}"
    variables = {
        "LOGFLUME_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "LOGFLUME_STORE_URL": folder.as_uri(),
        "LOGFLUME_TOPIC_PREFIX": prefix,
        "LOGFLUME_TOPICS_PROFILE": "local",
        "LOGFLUME_LOCAL_SORTERS": "0",
        "LOGFLUME_LOCAL_SINKS": "0",
        "LOGFLUME_LOCAL_WATCHES": "0",
        "LOGFLUME_LOCAL_EXPLORERS": "0",
        "LOGFLUME_LOCAL_CARERS": "0",
    }
    for machine in make(run, **variables):
        parts = machine.up()
        assert {name: part["state"] for name, part in parts.items()} == {
            "kafka_bootstrap": "GIVEN",
            "store_url": "GIVEN",
        }
        assert not (machine.folder / "kafka").exists()
        with_no_variables = Machine(machine.folder)
        assert json.loads(with_no_variables.logflume("topics", "diff", "--json").stdout) == []
        applied = json.loads(with_no_variables.logflume("config", "show", "--json").stdout)
        assert (applied["generation"], [each["tenant"] for each in applied["tenants"]]) == (1, ["acme", "globex"])
        refused = with_no_variables.logflume("local", "up")
        assert refused.returncode == 2
        assert "logflume local down" in refused.stderr
        assert machine.logflume("local", "down").returncode == 0
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    ours = [name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)]
    assert ours, "the given Kafka still runs and keeps its topics"
    for future in admin.delete_topics(ours).values():
        future.exception(30)
