"""The stack of one machine: services and workers under supervisord, all in one folder (``state_dir``).

L1  A process belongs to the stack when its environment carries the stack's token; nothing else is ever signalled.
L2  The token is on disk before the first process starts, so that ``down`` finds them all after a crash of anything.
L3  At most one ``up`` or ``down`` works in a folder at a time, and an ``up`` joins a stack that runs.
L4  ``stack.toml`` is there while the stack is: other commands take its addresses from it (see ``settings``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from logflume.errors import Misconfigured, Retryable
from logflume.local import family, prometheus
from logflume.local.kafka import VERSION, Broker
from logflume.local.process import Process, free_ports, is_free
from logflume.local.prometheus import Prometheus
from logflume.local.record import Record, fingerprints, write_toml
from logflume.local.store import PORTS, STOP_SECONDS, ObjectStore
from logflume.local.supervisor import DRAIN_SECONDS, Program, Supervisor
from logflume.settings import PREFIX, SETTINGS_VARIABLE, STACK_FILE, STACK_VARIABLE, GivenSettings, Settings, variable

BUCKET = "logflume"
READY_SECONDS = 180.0
KAFKA_STOP_SECONDS = 30
END_SECONDS = 5.0  # for what a crash left, which cannot drain in order any more
_COMMANDS = {"edge": ["edge", "serve"], "explore": ["serve"]}
"""Where a worker's command is not its kind."""

Say = Callable[[str], None]


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Part:
    """A line of ``status``."""

    name: str
    state: str
    pid: int | None
    uptime_seconds: int
    restarts: int
    address: str
    log: str
    health: str = ""
    """Of a worker: where its ``/metrics``, ``/live`` and ``/ready`` are."""


class Stack:
    """The stack in the folder of some settings. ``given``: what the user set, without what a running stack says."""

    def __init__(self, given: GivenSettings) -> None:
        self._given = given
        self.folder = given.state_dir

    def up(self, say: Say = _quiet, *, declare: bool = False, watch: bool = False) -> Settings:
        """Start what does not run yet, and return when everything is ready: the settings to use it with.

        ``watch``: Prometheus as well, where it is installed.

        Files of ``tenants_dir`` are put in force. Without it those in the stack's folder are, as long as nothing else
        was applied, or with ``declare``, also if they are many more tenants than before.

        Misconfigured: another Kafka or store is given than the running stack has, or a tool is missing. Retryable:
        something did not become ready; what runs is left for a look, until ``down``.
        """
        with self._alone():
            record = Record.read(self.folder)
            if record is None or not self._supervisor(record).answers():
                if record is not None:
                    family.end(record.token, END_SECONDS)  # what a crashed stack left; its ports are wanted again
                record = self._new(record)
                record.write(self.folder)
                self._launch(record, say)
            else:
                self._refuse_others(record)
            settings = self._bring_up(record, say, declare=declare)
            if watch:
                self._watch(record, settings, say)
            return settings

    def down(self, say: Say = _quiet) -> list[str]:
        """Stop everything that ``up`` started here, workers first, and return the names of what ran; data stay."""
        with self._alone():
            record = Record.read(self.folder)
            if record is None:
                return []
            names = [part.name for part in self._parts(record) if part.pid]
            supervisor = self._supervisor(record)
            if supervisor.answers():
                say(f"Stopping; workers have {DRAIN_SECONDS} s to drain.")
                supervisor.shut_down()
                family.wait(record.token, DRAIN_SECONDS + KAFKA_STOP_SECONDS + STOP_SECONDS + 10)
            left = family.end(record.token, END_SECONDS)
            (self.folder / STACK_FILE).unlink(missing_ok=True)
            return names + [name for name in left if name not in names]

    def delete(self) -> None:
        """Delete the data of a stack that is down: topics, objects, keys, logs; not the files of tenants."""
        with self._alone():
            if Record.read(self.folder) is None:
                return  # not a folder of ours
            for name in ("kafka", "seaweedfs", "objects", "logs", "spool", "config", "prometheus"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            for name in ("stack.json", "supervisord.conf", "supervisord.pid"):
                (self.folder / name).unlink(missing_ok=True)

    def status(self) -> list[Part]:
        """Every part of the stack, or nothing when it does not run."""
        record = Record.read(self.folder)
        return [] if record is None else self._parts(record)

    # --- what it is made of ---------------------------------------------------------------------------------------

    def _outside(self) -> dict[str, str]:
        """Kafka and the store as the user gave them."""
        pairs = {"kafka_bootstrap": self._given.kafka_bootstrap, "store_url": self._given.store_url}
        return {name: value for name, value in pairs.items() if value}

    def _refuse_others(self, record: Record) -> None:
        """The workers keep the Kafka and store they were started with; a second ``up`` can't give them others."""
        if record.given != self._outside():
            raise Misconfigured(
                f"The stack in {self.folder} runs with {record.given or 'its own Kafka and store'}, "
                f"now given is {self._outside() or 'neither'}. Stop it first: logflume local down"
            )
        now = fingerprints(self._settings(record), record.token)
        if changed := [variable(name) for name in now if now[name] != record.fingerprints.get(name)]:
            raise Misconfigured(
                f"The stack in {self.folder} was started with another {', '.join(changed)} than is given now. "
                f"Stop it first: logflume local down"
            )

    def _new(self, old: Record | None) -> Record:
        """Keys and ports of the folder's last stack, where they are still free; else fresh ones."""
        given = self._outside()
        names = [f"sort-{n + 1}" for n in range(self._given.local_sorters)]
        names += [f"sink-{n + 1}" for n in range(self._given.local_sinks)]
        edges = [f"edge-{n + 1}" for n in range(self._given.local_edges)]
        names += edges
        names += [f"watch-{n + 1}" for n in range(self._given.local_watches)]
        names += [f"care-{n + 1}" for n in range(self._given.local_carers)]
        explorers = [f"explore-{n + 1}" for n in range(self._given.local_explorers)]
        names += explorers
        old_pages = tuple(old.explore_ports.values()) if old else ()
        record = Record(
            token=secrets.token_hex(16),
            password=secrets.token_hex(16),
            supervisor_port=free_ports(1)[0],
            kafka_ports=() if "kafka_bootstrap" in given else _again(old.kafka_ports if old else (), 2),
            store_ports=() if "store_url" in given else _again(old.store_ports if old else (), len(PORTS)),
            worker_ports=dict(zip(names, free_ports(len(names)), strict=True)),
            access_key=old.access_key if old else secrets.token_hex(10),
            secret_key=old.secret_key if old else secrets.token_hex(20),
            given=given,
            edge_ports=dict(zip(edges, free_ports(len(edges)), strict=True)),
            # The same again where they can be: a page that was looked at is found there after a restart.
            explore_ports=dict(zip(explorers, _again(old_pages, len(explorers)), strict=True)),
            prometheus_port=_again((old.prometheus_port,) if old else (), 1)[0] if prometheus.program() else 0,
        )
        return replace(record, fingerprints=fingerprints(self._settings(record), record.token))

    def _settings(self, record: Record) -> Settings:
        """The given settings with the addresses of this stack."""
        return self._given.model_copy(update=self._addresses(record))

    def _addresses(self, record: Record) -> dict[str, Any]:
        found: dict[str, Any] = {}
        broker, store = self._broker(record), self._store(record)
        if broker is not None:
            found |= {"kafka_bootstrap": broker.bootstrap, "topics_profile": "local"}
        if store is not None:
            found |= {"store_url": f"s3://{BUCKET}", "store_endpoint": store.endpoint}
            found |= {"store_access_key": store.access_key, "store_secret_key": SecretStr(store.secret_key)}
        # Workers follow Kafka; the files are put in force when the stack comes up, and by `logflume config apply`.
        return found | {"tenants_dir": ""}

    def _broker(self, record: Record) -> Broker | None:
        if not record.kafka_ports:
            return None
        port, controller_port = record.kafka_ports
        return Broker(self.folder / "kafka", port, controller_port, self._given.cache_dir)

    def _store(self, record: Record) -> ObjectStore | None:
        if not record.store_ports:
            return None
        return ObjectStore(self.folder / "seaweedfs", record.store_ports, record.access_key, record.secret_key)

    def _prometheus(self, record: Record) -> Prometheus | None:
        return Prometheus(self.folder / "prometheus", record.prometheus_port) if record.prometheus_port else None

    def _supervisor(self, record: Record) -> Supervisor:
        return Supervisor(self.folder, record.supervisor_port, record.password)

    def _services(self, record: Record) -> list[Program]:
        found = []
        broker, store = self._broker(record), self._store(record)
        if broker is not None:
            found.append(Program("kafka", broker.command(), KAFKA_STOP_SECONDS))
        if store is not None:
            found.append(Program("seaweedfs", store.command(), int(STOP_SECONDS)))
        return found

    def _watching(self, record: Record) -> list[Program]:
        """What is started on demand only."""
        server = self._prometheus(record)
        return [Program("prometheus", server.command(), prometheus.STOP_SECONDS)] if server is not None else []

    def _workers(self, record: Record) -> list[Program]:
        return [
            Program(
                name,
                [sys.executable, "-m", "logflume", *_COMMANDS.get(kind := name.partition("-")[0], [kind])],
                DRAIN_SECONDS,
                worker=True,
                environment={f"{PREFIX}HTTP_PORT": str(port), **self._own_environment(record, name)},
            )
            for name, port in record.worker_ports.items()
        ]

    def _own_environment(self, record: Record, name: str) -> dict[str, str]:
        """What each edge and explorer has for itself: its port, and an edge its name and its spool."""
        if name in record.explore_ports:
            return {f"{PREFIX}SERVE_PORT": str(record.explore_ports[name])}
        if name not in record.edge_ports:
            return {}
        return {
            f"{PREFIX}EDGE_HTTP_PORT": str(record.edge_ports[name]),
            f"{PREFIX}EDGE_ID": name,
            f"{PREFIX}EDGE_SPOOL_DIR": f"spool/{name}",  # workers stand in our folder
        }

    # --- starting and stopping ------------------------------------------------------------------------------------

    def _launch(self, record: Record, say: Say) -> None:
        """Prepare the services and start supervisord, in a session of its own, with exactly these settings."""
        broker, store, supervisor = self._broker(record), self._store(record), self._supervisor(record)
        if broker is not None:
            say(f"Preparing Kafka {VERSION} (its jars are fetched once, into {self._given.cache_dir}).")
            broker.prepare()
        if store is not None:
            store.prepare()
        supervisor.configure([*self._services(record), *self._workers(record), *self._watching(record)])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        own = {SETTINGS_VARIABLE: os.devnull, STACK_VARIABLE: record.token}
        environment = inherited | self._settings(record).environment() | own
        process = Process.start(supervisor.command(), supervisor.log, environment, self.folder)
        deadline = time.monotonic() + READY_SECONDS
        while not supervisor.answers():
            if not process.alive() or time.monotonic() > deadline:
                raise Retryable(f"supervisord did not start; its log is {supervisor.log}:\n{process.tail()}")
            time.sleep(0.05)

    def _bring_up(self, record: Record, say: Say, *, declare: bool) -> Settings:
        """Start what does not run, in order, each when what it needs is ready."""
        from logflume.kafka import topics  # with pyarrow, for which `status` and `down` need not wait

        settings, supervisor = self._settings(record), self._supervisor(record)
        services, workers = self._services(record), self._workers(record)
        for program in services:
            supervisor.start(program)
        broker, store = self._broker(record), self._store(record)
        if store is not None:
            say(f"Waiting for the object store at {store.endpoint}.")
            store.wait_ready(BUCKET)
        if broker is not None:
            say(f"Waiting for Kafka at {broker.bootstrap}.")
            broker.wait_ready()
        say("Creating topics.")
        topics.apply(settings)
        say("Putting the tenants in force.")
        self._apply_tenants(settings, declare=declare)
        write_toml(self.folder, settings)
        for program in workers:
            supervisor.start(program)
        say(f"Waiting for {len(workers)} workers.")
        for program in workers:
            self._wait_ready(supervisor, program, record.worker_ports[program.name])
        return settings

    def _watch(self, record: Record, settings: Settings, say: Say) -> None:
        server = self._prometheus(record)
        if server is None:
            say("Prometheus was not installed when this stack was started; on Debian: sudo apt-get install prometheus")
            return
        say(f"Waiting for Prometheus at {server.address}.")
        server.prepare(settings, record.worker_ports)
        for program in self._watching(record):
            self._supervisor(record).start(program)
        server.wait_ready()

    def _wait_ready(self, supervisor: Supervisor, program: Program, port: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (reason := _not_ready(port)) is not None:
            state = next(state for state in supervisor.states() if state.name == program.name)
            if state.state == "FATAL" or time.monotonic() > deadline:
                raise Retryable(
                    f"{program.name} is not ready ({state.state}): {reason}. Its log, {state.log}:\n"
                    f"{_tail(self.folder / state.log)}"
                )
            time.sleep(0.1)

    def _apply_tenants(self, settings: Settings, *, declare: bool) -> None:
        from logflume.local import tenants

        given = self._given.tenants_dir
        folder = Path(given) if given else tenants.folder_of(self.folder)
        if not given:
            tenants.write_samples(folder, settings.topics_dir)
        tenants.apply(settings, folder, always=bool(given) or declare, growing=declare)

    # --- what is on disk ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _parts(self, record: Record) -> list[Part]:
        supervisor = self._supervisor(record)
        if not supervisor.answers():
            # supervisord is gone; what it started may still run, and ``down`` or ``up`` ends it.
            left = [each for each in family.members(record.token) if family.name(each) != family.SUPERVISORD]
            return [Part(family.name(each), "ORPHAN", each.pid, 0, 0, "", "") for each in left]
        restarts = supervisor.restarts()
        health = {name: f"http://127.0.0.1:{port}" for name, port in record.worker_ports.items()}
        fronts = record.edge_ports | record.explore_ports
        addresses = health | {name: f"http://127.0.0.1:{port}" for name, port in fronts.items()}
        broker, store = self._broker(record), self._store(record)
        addresses["kafka"] = broker.bootstrap if broker is not None else ""
        addresses["seaweedfs"] = store.endpoint if store is not None else ""
        server = self._prometheus(record)
        addresses["prometheus"] = server.address if server is not None else ""
        given = [Part(name, "GIVEN", None, 0, 0, value, "") for name, value in record.given.items()]
        return given + [
            Part(
                name=state.name,
                state=state.state,
                pid=state.pid or None,
                uptime_seconds=state.uptime_seconds,
                restarts=restarts.get(state.name, 0),
                address=addresses[state.name],
                log=state.log,
                health=health.get(state.name, ""),
            )
            for state in supervisor.states()
            if state.pid or state.name != "prometheus" or state.state != "STOPPED"  # nobody asked for it
        ]


def _not_ready(port: int) -> str | None:
    """Why the worker at ``port`` is not ready."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
    except urllib.error.HTTPError as error:
        with error, contextlib.suppress(OSError, HTTPException):
            return error.read().decode(errors="replace").strip() or str(error)
        return str(error)
    except (OSError, HTTPException) as error:
        return f"nobody answers at port {port} ({error})"
    return None


def _again(ports: Sequence[int], count: int) -> tuple[int, ...]:
    """The same ports when all are free, so that addresses outlive a restart; else fresh ones."""
    return tuple(ports) if len(ports) == count and all(map(is_free, ports)) else tuple(free_ports(count))


def _tail(log: Path, lines: int = 20) -> str:
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
