"""Fixtures that every folder of tests may use: real Kafka, real S3, settings of one's own, worker processes.

``kafka`` and ``s3`` are started once a pytest run, by the first test that asks, and shared by xdist's workers.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from logflume.settings import PREFIX, SETTINGS_VARIABLE, TEST_PREFIX, Settings
from tests.support import java, services
from tests.support import worker as workers
from tests.support.contracts import contract_with_partitions
from tests.support.order import dealt, measured
from tests.support.secured import SecuredKafka, secured_kafka
from tests.support.services import S3, Kafka, Run
from tests.support.worker import Worker

RUN = pytest.StashKey[Run]()
RUN_VARIABLE = TEST_PREFIX + "RUN"  # how xdist's workers learn of the controller's folder


def pytest_configure(config: pytest.Config) -> None:
    """Begin the run, and keep the user's own settings out of it."""
    if hasattr(config, "workerinput"):
        run = Run(Path(os.environ[RUN_VARIABLE]))
        services.take_ports(int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"])
    else:
        run = Run.begin()
        os.environ[RUN_VARIABLE] = str(run.folder)
    config.stash[RUN] = run
    _start_fast()
    # A busy machine is no failure: a slow example is caught by pytest-timeout, if it never ends.
    hypothesis.settings.register_profile(
        "logflume", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("logflume")
    for name in list(os.environ):
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX):
            del os.environ[name]
    os.environ[PREFIX + "STATE_DIR"] = str(run.folder / "state")
    os.environ[PREFIX + "STATUS_SECONDS"] = "0"  # a consumer and a producer more in every process; tests of it ask
    os.environ[SETTINGS_VARIABLE] = os.devnull


def _start_fast() -> None:
    """For processes that live for seconds: what is compiled or loaded is kept. It halves the CPU of a start."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault(java.OPTIONS, java.options())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist, begin with what takes long."""
    if hasattr(config, "workerinput"):
        items[:] = dealt(items, config.workerinput["workercount"], measured())


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controller outlives its workers: it stops what the run started."""
    if not hasattr(config, "workerinput") and RUN in config.stash:
        config.stash[RUN].end()


class KafkaAddress(Protocol):
    """What ``settings_for`` needs of a broker."""

    bootstrap: str


class SharedKafka:
    """The run's broker. It is everybody's: a test that stops or restarts a broker takes ``own_kafka``."""

    def __init__(self, bootstrap: str, log: Path) -> None:
        self.bootstrap = bootstrap
        self.log = log


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Run:
    """The folder of this pytest run, and the record of its processes."""
    return request.config.stash[RUN]


@pytest.fixture(scope="session")
def kafka(run: Run) -> SharedKafka:
    """A real Kafka broker: ``.bootstrap``, ``.log``."""
    return SharedKafka(services.shared_kafka(run), run.folder / "kafka" / "kafka.log")


@pytest.fixture(scope="session")
def s3(run: Run) -> S3:
    """A real S3 server: ``.endpoint``, ``.access_key``, ``.secret_key``, ``.new_bucket()`` (a store URL)."""
    return services.shared_s3(run)


@pytest.fixture(scope="session")
def secured(run: Run) -> SecuredKafka:
    """A real broker with TLS, SASL and ACLs; ``.bootstrap`` is its operator's plain listener."""
    return secured_kafka(run)


@pytest.fixture
def own_kafka(run: Run, request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A started broker for this test alone, with ``.stop()``, ``.kill()``, ``.start()``, ``.restart()``.

    The end of its log is shown when the test fails.
    """
    kafka = services.own_kafka(run, run.folder / f"kafka-{secrets.token_hex(3)}")
    kafka.start()
    yield kafka
    if kafka.process is not None:
        print(f"--- the test's broker, {kafka.log}\n{kafka.process.tail(60)}")
    kafka.kill()


SettingsFor = Callable[..., Settings]


@pytest.fixture(scope="session")
def few_topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract with fewer partitions, 54 in all."""
    return contract_with_partitions(tmp_path_factory.mktemp("contract"), coming_in=4, sorted=4)


@pytest.fixture
def settings_for(s3: S3, tmp_path: Path, few_topics: Path) -> Iterator[SettingsFor]:
    """``settings_for(kafka, **overrides)``: settings that share no topic, group, store or folder with another test.

    Topics made with them are deleted after the test, when the broker still runs.
    """
    made: list[Settings] = []

    def build(kafka: KafkaAddress, **overrides: Any) -> Settings:
        name = f"t{secrets.token_hex(4)}"
        tenants = tmp_path / "tenants"
        tenants.mkdir(exist_ok=True)
        values: dict[str, Any] = {
            "kafka_bootstrap": kafka.bootstrap,
            "topics_profile": "local",
            "topics_dir": str(few_topics),
            "topic_prefix": f"{name}.",
            "sort_group": f"{name}-sort",
            "sink_group": f"{name}-sink",
            "store_url": s3.new_bucket(),
            "store_endpoint": s3.endpoint,
            "store_access_key": s3.access_key,
            "store_secret_key": s3.secret_key,
            "tenants_dir": str(tenants),
            "state_dir": str(tmp_path / "state"),
            "sink_flush_age_seconds": 1.0,
        }
        made.append(Settings(**(values | overrides)))
        return made[-1]

    yield build
    for settings in made:
        _delete_topics(settings)


@pytest.fixture
def settings(kafka: SharedKafka, settings_for: SettingsFor) -> Settings:
    """Settings for the shared Kafka and S3 that no other test has."""
    return settings_for(kafka)


class StartWorker(Protocol):
    """``worker("sort", settings, env={…})``."""

    def __call__(self, command: str, settings: Settings, env: Mapping[str, str] | None = None) -> Worker: ...


@pytest.fixture
def worker(run: Run, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts ``logflume <command>`` processes; what still runs after the test is killed, and its log's end shown."""
    started: list[Worker] = []

    def start(command: str, settings: Settings, env: Mapping[str, str] | None = None) -> Worker:
        started.append(workers.start(run, tmp_path, len(started), command, settings, env or {}))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        print(f"--- {each.name} (pid {each.pid}), {each.log}\n{each.process.tail(30)}")


def _delete_topics(settings: Settings) -> None:
    """Keeps the shared broker small; topics of a broker that is gone are gone with it."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        names = [name for name in admin.list_topics(timeout=2).topics if name.startswith(settings.topic_prefix)]
    except Exception:
        return
    if names:
        for future in admin.delete_topics(names).values():
            future.exception(timeout=30)
