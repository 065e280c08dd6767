"""supervisord as the parent of a stack's processes: its configuration, and its XML-RPC interface."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ProtocolError, ServerProxy

from logflume.errors import Retryable

WORKERS = "workers"
DRAIN_SECONDS = 90
"""Given to a worker to finish: SIGTERM during a pending join of its group was seen to take 51 s."""


@dataclass(frozen=True)
class Program:
    """A process to keep running. ``worker``: stopped before the services, all workers at once."""

    name: str
    command: Sequence[str]
    stop_seconds: int
    worker: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its name in supervisord's interface."""
        return f"{WORKERS}:{self.name}" if self.worker else self.name


@dataclass(frozen=True)
class State:
    """How a program is, as supervisord tells: ``state`` is RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL …"""

    name: str
    state: str
    pid: int
    uptime_seconds: int
    log: str


@dataclass(frozen=True)
class Supervisor:
    """The supervisord of the stack in ``folder``, at a local port with a password; nothing is started by making one."""

    folder: Path
    port: int
    password: str = field(repr=False)

    @property
    def log(self) -> Path:
        """What supervisord logs; it begins anew with every ``up``."""
        return self.folder / "logs" / "supervisord.log"

    def command(self) -> list[str]:
        """The command line of supervisord, in the foreground; it must stand in ``folder``."""
        return [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._configuration)]

    def configure(self, programs: Sequence[Program]) -> None:
        """Write the configuration. Nothing starts by itself: services come before topics, topics before workers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        sections = [
            ("supervisord", self._daemon()),
            ("inet_http_server", {"port": f"127.0.0.1:{self.port}", "username": "logflume", "password": self.password}),
            (
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
            *((f"program:{program.name}", self._program(program)) for program in programs),
        ]
        workers = ",".join(program.name for program in programs if program.worker)
        if workers:
            sections.append((f"group:{WORKERS}", {"programs": workers, "priority": "300"}))
        lines = []
        for title, values in sections:
            lines += [f"[{title}]", *(f"{name}={_escaped(value)}" for name, value in values.items()), ""]
        self._configuration.touch(mode=0o600)
        self._configuration.write_text("\n".join(lines))

    def answers(self) -> bool:
        """Whether this supervisord runs and takes our password; something else may have its port by now."""
        try:
            with self._rpc() as rpc:
                return str(rpc.getState()["statename"]) in ("RUNNING", "RESTARTING", "SHUTDOWN")
        except Retryable:
            return False

    def states(self) -> list[State]:
        """Every program, in the order of stopping reversed."""
        with self._rpc() as rpc:
            return [
                State(
                    name=info["name"],
                    state=info["statename"],
                    pid=info["pid"],
                    uptime_seconds=max(0, info["now"] - info["start"]) if info["pid"] else 0,
                    log=info["stdout_logfile"],
                )
                for info in rpc.getAllProcessInfo()
            ]

    def start(self, program: Program) -> None:
        """Start a program, unless it runs; it is kept running from then on."""
        running = {state.name for state in self.states() if state.state in ("RUNNING", "STARTING", "BACKOFF")}
        if program.name not in running:
            with self._rpc() as rpc:
                rpc.startProcess(program.address, False)

    def shut_down(self) -> None:
        """Ask supervisord to stop everything, workers first, and to end; returns at once."""
        with self._rpc() as rpc:
            rpc.shutdown()

    def restarts(self) -> dict[str, int]:
        """How often each program was started again since ``up``."""
        counts: dict[str, int] = {}
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else ():
            _, spawned, rest = line.partition(" spawned: '")
            if spawned:
                name = rest.partition("'")[0]
                counts[name] = counts.get(name, -1) + 1
        return counts

    @property
    def _configuration(self) -> Path:
        return self.folder / "supervisord.conf"

    def _daemon(self) -> dict[str, str]:
        # Paths are relative to the folder, where it is started: a % in them would be expanded twice.
        values = {
            "logfile": "logs/supervisord.log",
            "logfile_maxbytes": "0",  # restarts are counted in it
            "silent": "true",  # or every line came twice: -n logs to the output too
            "pidfile": "supervisord.pid",
            "childlogdir": "logs",
        }
        return values | ({"user": "root"} if os.getuid() == 0 else {})  # else it warns of running as root

    def _program(self, program: Program) -> dict[str, str]:
        environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
        values = {
            "command": shlex.join(program.command),
            "autostart": "false",
            "autorestart": "true",
            # A worker whose Kafka is away ends and is started again, 1, 2, 3 … s later: for more than an hour.
            "startretries": "100",
            "stopwaitsecs": str(program.stop_seconds),
            "redirect_stderr": "true",
            "stdout_logfile": f"logs/{program.name}.log",
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "2",
            "priority": "300" if program.worker else "100",
        }
        return values | ({"environment": environment} if environment else {})

    @contextlib.contextmanager
    def _rpc(self) -> Iterator[Any]:
        url = f"http://logflume:{self.password}@127.0.0.1:{self.port}/RPC2"
        with ServerProxy(url) as proxy:
            try:
                yield proxy.supervisor
            except (OSError, HTTPException, ExpatError, Error) as error:
                raise Retryable(f"supervisord at port {self.port}: {_told(error)}") from None


def _told(error: Exception) -> str:
    """What went wrong, without the URL that a ProtocolError shows: the password is in it."""
    if isinstance(error, ProtocolError):
        return f"HTTP {error.errcode} {error.errmsg}"
    return error.faultString if isinstance(error, Fault) else f"{type(error).__name__}: {error}"


def _escaped(value: str) -> str:
    return value.replace("%", "%%")
