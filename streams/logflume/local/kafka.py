"""One real Kafka broker (KRaft, one node) from Maven's jars: fetched once a version, formatted once, run as a process.

The broker's port stays the same over restarts, so that clients find it again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from logflume.errors import Misconfigured, Retryable
from logflume.local.process import Process, free_ports

VERSION = "4.1.0"
"""As in pom.xml; a test compares them."""

JAVA = 17  # the least that a broker of Kafka 4 runs on
BRIEF = ("-Xmx128m", "-XX:TieredStopAtLevel=1")
"""For a command that ends within seconds: what Java's second compiler takes for it, it never gives back."""

READY_SECONDS = 180.0

_SILENT = logging.getLogger(__name__ + ".silent")
_SILENT.disabled = True

BROKER = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A group on one machine starts at once, and may notice a dead member within a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed sink's open transaction is aborted soon after its time-out; the default looks every 10 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # Rows past their retention go within seconds, as a test of old timestamps needs; the default looks every 5 min.
    "log.retention.check.interval.ms": "10000",
}
"""Broker settings that docker-compose.yml has as well; a test compares them."""

SMALL = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    # Two index files a partition are mapped at this size; the default of 10 MB is for large segments.
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "file.delete.delay.ms": "1000",
    # Retention and cleaning begin with the broker; the default leaves it half a minute.
    "log.initial.task.delay.ms": "1000",
}
"""Settings that keep a broker with hundreds of small topics in 512 MB."""


@dataclass(frozen=True)
class Broker:
    """A broker whose data, configuration and log lie in ``folder``; nothing is started by making one."""

    folder: Path
    port: int
    controller_port: int
    cache_dir: Path
    heap_megabytes: int = field(default=512, kw_only=True)
    more: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Settings of the broker besides; they come last, and so count."""

    @classmethod
    def new(
        cls, folder: Path, cache_dir: Path, heap_megabytes: int = 512, more: Mapping[str, str] = MappingProxyType({})
    ) -> Broker:
        """A broker on free ports."""
        port, controller_port = free_ports(2)
        return cls(folder, port, controller_port, cache_dir, heap_megabytes=heap_megabytes, more=more)

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker logs."""
        return self.folder / "kafka.log"

    def prepare(self) -> None:
        """Write the configuration and format the data folder, once. Fetches the jars when they are missing."""
        if "," in str(self._data):
            raise Misconfigured(f"Kafka would take {self._data} for two folders: there must be no comma in its name.")
        libraries = jars(self.cache_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log4j.write_text(resources.files(__package__).joinpath("log4j2.xml").read_text())
        self._properties.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in self._settings().items()))
        if (self._data / "meta.properties").is_file():
            return
        command = [*_java(libraries, self._log4j, *BRIEF), "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*command, "-t", "logflume-local-kafka00", "-c", str(self._properties)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Misconfigured(f"Kafka could not format {self._data}:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        """The command line of the broker; it runs in the foreground and ends cleanly on SIGTERM."""
        heap = (f"-Xms{self.heap_megabytes}m", f"-Xmx{self.heap_megabytes}m")
        return [*_java(jars(self.cache_dir), self._log4j, *heap), "kafka.Kafka", str(self._properties)]

    def start(self) -> Process:
        """Prepare, start and wait until clients are served."""
        self.prepare()
        process = Process.start(self.command(), self.log)
        self.wait_ready(process)
        return process

    def wait_ready(self, process: Process | None = None, seconds: float = READY_SECONDS) -> None:
        """Until the broker answers; Retryable when it has ended or does not in time."""
        deadline = time.monotonic() + seconds
        while not answers(self.bootstrap):
            if process is not None and not process.alive():
                raise Retryable(f"Kafka ended while starting; its log is {self.log}:\n{process.tail()}")
            if time.monotonic() > deadline:
                raise Retryable(
                    f"Kafka at {self.bootstrap} did not answer within {seconds:.0f} s; its log is {self.log}."
                )

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _log4j(self) -> Path:
        return self.folder / "log4j2.xml"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._data),
            **BROKER,
            **SMALL,
            **self.more,
        }


def answers(bootstrap: str, seconds: float = 1.0) -> bool:
    """Whether a Kafka broker at ``bootstrap`` serves clients; waits ``seconds`` at most."""
    # librdkafka writes every refused connection to stderr otherwise.
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}, logger=_SILENT)
    try:
        return bool(client.list_topics(timeout=seconds).brokers)
    except KafkaException:
        return False


def jars(cache_dir: Path) -> Path:
    """The folder of Kafka's jars, fetched by Maven on first use; safe for many processes at once.

    Misconfigured when Java or Maven is missing, with the command that installs them.
    """
    folder = cache_dir / f"kafka-{VERSION}"
    libraries = folder / "libs"
    require_java()
    if libraries.is_dir():
        return libraries
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not libraries.is_dir():
            _fetch(folder, libraries)
    return libraries


def require_java() -> None:
    """Misconfigured when no Java that runs a broker is on the path."""
    if not shutil.which("java"):
        raise Misconfigured("Kafka needs Java, and there is none. On Debian: sudo apt-get install -y maven")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if not found or int(found[1]) < JAVA:
        raise Misconfigured(f"Kafka {VERSION} needs Java {JAVA} or later, here is: {said.strip() or 'none that runs'}")


def _fetch(folder: Path, libraries: Path) -> None:
    """Let Maven copy the jars into a folder beside, which takes its name only when it is whole."""
    if not shutil.which("mvn"):
        raise Misconfigured("Kafka's jars come by Maven, and there is none. On Debian: sudo apt-get install -y maven")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        pom = Path(work) / "pom.xml"
        pom.write_text(resources.files(__package__).joinpath("pom.xml").read_text())
        copied = Path(work) / "libs"
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={copied}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not list(copied.glob("kafka_*.jar")):
            raise Retryable(f"Maven could not fetch Kafka {VERSION}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        copied.replace(libraries)


def _escaped(value: str) -> str:
    """A value of a Java properties file, which is Latin-1 with the escapes that JSON has too."""
    return json.dumps(value)[1:-1]


def _java(libraries: Path, log4j: Path, *heap: str) -> list[str]:
    return ["java", *heap, f"-Dlog4j2.configurationFile={log4j.as_uri()}", "-cp", f"{libraries}/*"]
