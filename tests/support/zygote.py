"""Workers as forks of a process that has imported what they import: half a second of CPU less for each start, three
quarters for a sorter's, and there are hundreds of them in a run.

Such a worker is a process as any other: its own pid, session, environment, folder and log, killed or stopped as one,
and its interpreter ends as usual. Two things it has not done: find the command, and import. Those who start the command
as users do try that: the local stack, the demo, the drills, the wheel; and `make soak`, which forks nothing.

Z1  No thread is lost by a fork: the zygote has none but jemalloc's, which that begins anew in a child.
Z2  How a worker ended is in a file before its pid is free (``Forked.wait``): it is no child of the test's process.
Z3  The zygote ends when the test's process does.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, reload
from pathlib import Path

import psutil

from logflume import crash
from logflume.cli import main as cli
from logflume.local.process import Process

_IMPORTED = (
    "logflume.api.serve",
    "logflume.cli.care",
    "logflume.cli.config",
    "logflume.cli.sink",
    "logflume.cli.table",
    "logflume.cli.watch",
    "logflume.edge.serve",
    "logflume.kafka.renewal",
    "logflume.kafka.rights",
    "logflume.page.app",
    "logflume.sort.worker",
)
_ROOT = Path(__file__).parents[2]
_MESSAGE_BYTES = 1 << 20
_STARTS_SECONDS = 60.0
_TOLD_SECONDS = 10.0


@dataclass(frozen=True)
class Forked(Process):
    """A process of the zygote's."""

    def wait(self, seconds: float) -> int | None:
        """Until it has ended: its exit code (negative: the signal). Retryable when it still runs after ``seconds``."""
        super().wait(seconds)
        told, deadline = _ended(Path(self.log), self.pid), time.monotonic() + _TOLD_SECONDS
        while not told.exists():
            assert time.monotonic() < deadline, f"nobody knows how process {self.pid} ended"
            time.sleep(0.01)
        return int(told.read_text())


class Zygote:
    """The test's end of it. It is started by the first who asks."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """Start ``logflume ARGUMENTS`` as ``Process.start`` would."""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()  # may be read at once
        wanted = {"arguments": arguments, "log": str(log), "environment": dict(environment), "folder": str(Path.cwd())}
        with self._lock:
            if self._control is None:
                self._control = self._begun()
            self._control.send(json.dumps(wanted).encode())
            pid = int(self._control.recv(64) or 0)
        assert pid, "the zygote has ended"
        return Forked(pid, psutil.Process(pid).create_time(), str(log))

    def _begun(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Threads do not survive a fork.
        alone = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
        with theirs:
            began = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=os.environ | alone,
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        began.returncode = 0  # it ends by itself (Z3); Popen would warn that nobody waited for it
        ours.settimeout(_STARTS_SECONDS)
        return ours


def _ended(log: Path, pid: int) -> Path:
    """The file that says how a process ended."""
    return log.with_name(f"{log.name}.{pid}.ended")


# --- the zygote's end -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    arguments: list[str]
    log: str
    environment: dict[str, str]
    folder: str


def _serve(control: socket.socket) -> _Wanted | None:
    """Fork for each that asks; returns what is wanted in a child, and None when nobody can ask any more."""
    logs: dict[int, Path] = {}

    def told(*_: object) -> None:
        while logs and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            signalled = ended.si_code != os.CLD_EXITED
            part = (whole := _ended(logs.pop(ended.si_pid), ended.si_pid)).with_suffix(".part")
            if part.parent.exists():  # a test's folder may be gone before its last worker
                part.write_text(str(-ended.si_status if signalled else ended.si_status))
                part.replace(whole)
            os.waitpid(ended.si_pid, 0)

    signal.signal(signal.SIGCHLD, told)
    while message := control.recv(_MESSAGE_BYTES):
        wanted = _Wanted(**json.loads(message))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if pid := os.fork():
            logs[pid] = Path(wanted.log)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            control.send(str(pid).encode())
            continue
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return wanted
    return None


def _become(wanted: _Wanted) -> None:
    """Have what the worker would have, had it been started as a command."""
    os.setsid()
    output = os.open(wanted.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.environment)
    random.seed()
    reload(crash)  # reads the environment when it is imported
    sys.argv = ["logflume", *wanted.arguments]


def _main() -> None:
    for name in _IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        _become(wanted)
        cli.main()


if __name__ == "__main__":
    _main()
