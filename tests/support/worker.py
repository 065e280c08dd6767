"""A worker of Logflume as the process that a user would run, for tests that kill, stop and restart it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from logflume.local.process import Process, free_ports
from logflume.settings import PREFIX, SETTINGS_VARIABLE, TEST_PREFIX, Settings
from tests.support.schedules import LONG
from tests.support.services import Run
from tests.support.waiting import until

LOGFLUME = str(Path(sys.executable).parent / "logflume")


@dataclass(frozen=True)
class Worker:
    """A started ``logflume <command>``."""

    name: str
    process: Process
    http_port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> Path:
        """The file of its output."""
        return Path(self.process.log)

    def output(self) -> str:
        """What it wrote so far, both streams."""
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether it still runs (a paused one does)."""
        return self.process.alive()

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self.process.kill()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.process.signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it keeps its sockets but does nothing."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.signal(signal.SIGCONT)

    def wait(self, seconds: float = 90) -> int | None:
        """Its exit code once it has ended (negative: the signal); Retryable when it still runs after ``seconds``."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = 90) -> int | None:
        """SIGTERM and wait: its exit code; Retryable when it still runs after ``seconds``."""
        self.terminate()
        return self.wait(seconds)

    def wait_ready(self, seconds: float = 60) -> None:
        """Until its ``/ready`` says yes; AssertionError when it ends or does not in time."""

        def ready() -> bool:
            assert self.alive(), f"{self.name} ended:\n{self.process.tail(40)}"
            return self.get("/ready")[0] == 200

        until(ready, seconds, f"{self.name} ready:\n{self.process.tail(40)}")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of its ``/metrics``, ``/live`` or ``/ready``; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error, contextlib.suppress(OSError, HTTPException):
                return error.code, error.read().decode()
            return error.code, ""
        except (OSError, HTTPException) as error:  # the latter of one that was killed while it answered
            return 0, str(error)


def start(run: Run, folder: Path, number: int, command: str, settings: Settings, env: Mapping[str, str]) -> Worker:
    """Start ``logflume <command>`` with exactly these settings, and ``env`` on top."""
    [port] = free_ports(1)
    # The tests' own settings file and folders stay out of it: everything is in the variables.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    kept = {name: value for name, value in os.environ.items() if name.startswith(TEST_PREFIX)}
    own = settings.environment() | {f"{PREFIX}HTTP_PORT": str(port), SETTINGS_VARIABLE: os.devnull}
    name = f"{command.split()[0]}-{number}"
    log, environment, arguments = folder / f"{name}.log", clean | kept | own | dict(env), command.split()
    if LONG:
        return Worker(name, run.start([LOGFLUME, *arguments], log, environment), port)
    return Worker(name, run.fork(arguments, log, environment), port)
