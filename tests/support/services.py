"""Real Kafka and real S3 for one pytest run, started when first asked for and shared by all its xdist workers.

V1  The process that the user started (xdist's controller) owns the run's folder and stops what is recorded there.
V2  A process is recorded before anybody waits for it, with its start time, so that the next run ends what a crashed
    run left behind, and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from logflume.local import process as processes
from logflume.local.kafka import Broker
from logflume.local.process import Process
from logflume.local.store import ObjectStore
from logflume.settings import cache_home
from tests.support import java
from tests.support.zygote import Zygote

RUNS = Path(__file__).parents[2] / "build" / "tests"
BUCKET = "logflume-tests"
_ZYGOTE = Zygote()


@dataclass(frozen=True)
class Run:
    """The folder of one pytest run."""

    folder: Path

    @classmethod
    def begin(cls) -> Run:
        """A folder for this run, after ending what crashed runs left. The logs of the last run stay until then."""
        me = psutil.Process()
        RUNS.mkdir(parents=True, exist_ok=True)
        with (RUNS / "lock").open(
            "w"
        ) as lock:  # another run that begins would take this one's folder for a crashed one's
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in RUNS.glob("run-*"):
                if not _owner_lives(folder):
                    Run(folder).end()
                    shutil.rmtree(folder, ignore_errors=True)
            run = cls(RUNS / f"run-{me.pid}")
            shutil.rmtree(run.folder, ignore_errors=True)
            (run.folder / "processes").mkdir(parents=True)
            (run.folder / "owner.json").write_text(json.dumps(asdict(Process(me.pid, me.create_time(), ""))))
        return run

    def end(self) -> None:
        """Kill everything that was started in this run and free its space; logs stay."""
        for record in self.folder.glob("processes/*.json"):
            Process(**json.loads(record.read_text())).kill()
            record.unlink()
        for data in self.folder.glob("*/data"):
            shutil.rmtree(data, ignore_errors=True)

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
        """Start a process and record it."""
        return self._recorded(Process.start(command, log, environment))

    def fork(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start ``logflume ARGUMENTS`` by the zygote, and record it."""
        return self._recorded(_ZYGOTE.start(arguments, log, environment))

    def _recorded(self, process: Process) -> Process:
        record = self.folder / "processes" / f"{process.pid}.json"
        record.write_text(json.dumps(asdict(process)))
        return process

    @contextlib.contextmanager
    def once(self, name: str) -> Iterator[Path]:
        """Hold the lock of ``name`` among all workers; gives the file in which the first one leaves what it made."""
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.folder / f"{name}.json"


@dataclass(frozen=True)
class S3:
    """The run's S3 server."""

    endpoint: str
    access_key: str
    secret_key: str

    def new_bucket(self) -> str:
        """A store URL of its own: a fresh prefix, since SeaweedFS takes seven volumes for every bucket."""
        return f"s3://{BUCKET}/{secrets.token_hex(4)}"


ALONE = {
    # On its way out it would name no broker to whoever asks, itself neither, and now and then lose a client for good
    # (logflume.kafka.lost). Not everybody here is started again, as an application is. It comes back some seconds later
    # for it: until then its former self counts as alive.
    "controlled.shutdown.enable": "false",
}
"""Settings of a broker that a test stops, kills and starts."""


class Kafka:
    """A broker under a test's control: it keeps its data and its port over restarts."""

    def __init__(self, run: Run, broker: Broker) -> None:
        self._run = run
        self.process: Process | None = None
        self.broker = broker
        self.bootstrap = broker.bootstrap
        self.log = broker.log

    def start(self) -> None:
        """Start it, and wait until clients are served."""
        self.broker.prepare()
        self.process = self._run.start(self.broker.command(), self.broker.log)
        self.broker.wait_ready(self.process)

    def stop(self) -> None:
        """Shut it down in order."""
        if self.process is not None:
            self.process.stop(30)

    def kill(self) -> None:
        """End it without warning."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()


def take_ports(worker: int, workers: int) -> None:
    """Have the servers of this one of xdist's workers, and of what it starts, on ports that no other one chooses."""
    first, end = processes.ports()
    share = (end - first) // workers
    os.environ[processes.TEST_PORTS] = f"{first + worker * share}-{first + (worker + 1) * share}"


def own_kafka(run: Run, folder: Path) -> Kafka:
    """A broker beside the shared one, not yet started, in a copy of one formatted folder: formatting takes seconds."""
    template = run.folder / "formatted"
    with run.once("formatted") as made:
        if not made.exists():
            Broker.new(template, cache_home()).prepare()
            shutil.copytree(template / "data", (learning := run.folder / "learning") / "data")
            java.learn(Broker.new(learning, cache_home()), run.start)
            made.write_text("true")
    shutil.copytree(template / "data", folder / "data")
    return Kafka(run, Broker.new(folder, cache_home(), more=ALONE))


def shared_kafka(run: Run) -> str:
    """Where the run's broker is; the first who asks starts it."""
    with run.once("kafka") as made:
        if not made.exists():
            kafka = own_kafka(run, run.folder / "kafka")
            kafka.start()
            made.write_text(json.dumps(kafka.bootstrap))
    return str(json.loads(made.read_text()))


def shared_s3(run: Run) -> S3:
    """The run's S3 server; the first who asks starts it."""
    with run.once("s3") as made:
        if not made.exists():
            store = ObjectStore.new(run.folder / "s3")
            store.prepare()
            process = run.start(store.command(), store.log)
            store.wait_ready(BUCKET, process)
            made.write_text(json.dumps(asdict(S3(store.endpoint, store.access_key, store.secret_key))))
    return S3(**json.loads(made.read_text()))


def _owner_lives(folder: Path) -> bool:
    try:
        return Process(**json.loads((folder / "owner.json").read_text())).alive()
    except FileNotFoundError:
        return False
