"""A process that we started, known by pid *and* start time: a pid that passed to another is never signalled."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from logflume.errors import Retryable
from logflume.settings.names import TEST_PREFIX

_FIRST_PORT: Final = 10_000
TEST_PORTS: Final = TEST_PREFIX + "PORTS"
_CLIENTS_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: Final[set[int]] = set()
STARTED_SLACK_SECONDS = 0.05  # a start time survives a JSON file no more exactly than this


@dataclass(frozen=True)
class Process:
    """A running or ended process. ``started`` is seconds since 1970, as the system tells it."""

    pid: int
    started: float
    log: str

    @classmethod
    def start(
        cls, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> Process:
        """Start ``command`` in a session of its own (Ctrl-C here does not reach it), its output appended to ``log``.

        It stands in ``folder``, or where we do.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        # It is stopped by pid, perhaps by another process than this one; Popen would warn that nobody waited for it.
        child.returncode = 0
        return cls(child.pid, psutil.Process(child.pid).create_time(), str(log))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self._running() is not None

    def signal(self, number: int) -> None:
        """Send a signal, when it still runs."""
        running = self._running()
        if running is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                running.send_signal(number)

    def kill(self) -> None:
        """End it without warning (SIGKILL), and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(30)

    def stop(self, seconds: float = 90) -> None:
        """Ask it to end (SIGTERM), and kill it when it has not within ``seconds``."""
        self.signal(signal.SIGTERM)
        try:
            self.wait(seconds)
        except Retryable:
            self.kill()

    def wait(self, seconds: float) -> int | None:
        """Until it has ended: its exit code (negative: the signal), None when it was not a child of ours.

        Retryable when it still runs after ``seconds``.
        """
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > STARTED_SLACK_SECONDS:
                return None
            return process.wait(timeout=seconds)
        except psutil.NoSuchProcess:
            return None
        except psutil.TimeoutExpired:
            raise Retryable(f"Process {self.pid} still runs after {seconds:.0f} s.") from None

    def tail(self, lines: int = 20) -> str:
        """The last lines that it logged."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _running(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > STARTED_SLACK_SECONDS:
                return None
            if process.status() == psutil.STATUS_ZOMBIE:  # ended; ``wait`` fetches its exit code
                return None
        except psutil.NoSuchProcess:
            return None
        return process


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on; they are different from each other, and from those given before
    as long as there are others.

    Below those that the system gives to outgoing connections: a port that was free when it was looked at would be some
    client's when its server starts. ``LOGFLUME_TEST_PORTS``, as ``12000-13000``, names others to choose from: of who
    starts many servers at once, none shall choose what another has chosen and does not listen on yet.
    """
    first, end = ports()
    if end - first - len(_given) < 2 * count:
        _given.clear()
    open_ = sorted(set(range(first, end)) - _given)
    candidates = random.SystemRandom().sample(open_, k=min(count + 200, len(open_)))
    found = list(itertools.islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise Retryable(f"this machine has no {count} free ports between {first} and {end}")
    _given.update(found)
    return found


def ports() -> tuple[int, int]:
    """Where ports are chosen from: the first, and the first that is none any more."""
    first, _, end = os.environ.get(TEST_PORTS, "").partition("-")
    return (int(first), int(end)) if first and end else (_FIRST_PORT, _first_for_clients())


def _first_for_clients() -> int:
    """The first port that outgoing connections may get (Linux: ``man 7 ip``, ip_local_port_range)."""
    try:
        return max(int(_CLIENTS_PORTS.read_text().split()[0]), _FIRST_PORT + 2000)
    except (OSError, ValueError, IndexError):
        return 32_768


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of this machine."""
    with socket.socket() as probe:
        # As servers do, or a connection of the last server in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
