"""What code in the process of a query might try: run as a program, it tries all of it and prints what came of each.

``python -m tests.support.confined on|off PORT OTHER PID FILE NAME``: after it has confined itself to ``PORT``, or not;
``OTHER``: a port where somebody listens, ``PID``: a process of the same user, ``FILE`` of the store, ``NAME`` of a
socket at that path and of an abstract one.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 – imported later it could not be opened
import json
import mmap
import os
import platform
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from logflume.explore.engine import sandbox

_MPTCP = 262
_FAST_OPEN = 0x20000000
_SEIZE = 0x4206
_IO_URING_SETUP = 425
_PTRACE = {"x86_64": 101, "aarch64": 117}[platform.machine()]
_HUGE = 3 << 30
_libc = ctypes.CDLL(None, use_errno=True)


def main(confined: bool, port: int, other: int, pid: int, file: str, name: str) -> dict[str, str]:
    """Try everything; returns ``ok`` or the error by what was tried."""
    sandbox.bound(500_000_000, 20)
    if confined:
        sandbox.confine(port)
    local = ("127.0.0.1", other)
    tries: dict[str, Callable[[], object]] = {
        "read a file": Path("/etc/passwd").read_bytes,
        "read the store": Path(file).read_bytes,
        "list the store": lambda: list(Path(file).parent.iterdir()),
        "write to the store": lambda: Path(file).with_name("new").write_bytes(b"x"),
        "rename in the store": lambda: Path(file).with_name("new").rename(f"{file}er"),
        "change a file's mode": lambda: Path(file).chmod(0o600),
        "change a file's times": lambda: os.utime(file),
        "read another's keys": lambda: Path(f"/proc/{pid}/environ").read_bytes(),
        "open another's memory": lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY)),
        "trace another": lambda: _call(_PTRACE, _SEIZE, pid, 0, 0),
        "signal another": lambda: os.kill(pid, 0),
        "signal a group": lambda: os.kill(0, 0),
        "signal another by a handle": lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0),
        "connect to another port": lambda: _connected(socket.socket(), local),
        "connect by MPTCP": lambda: _connected(socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP), local),
        "connect by Fast Open": lambda: socket.socket().sendto(b"x", _FAST_OPEN, local),
        "send UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", local),
        "connect by IPv6": lambda: socket.socket(socket.AF_INET6).close(),
        "take a port": lambda: socket.socket().bind(("127.0.0.1", 0)),
        "listen at any port": lambda: socket.socket().listen(),
        "connect to a socket by its path": lambda: _connected(socket.socket(socket.AF_UNIX), name),
        "connect to an abstract socket": lambda: _connected(socket.socket(socket.AF_UNIX), f"\0{name}"),
        "fork": _fork,
        "share memory": lambda: mmap.mmap(-1, 4096),
        "make a file in memory": lambda: os.memfd_create("x"),
        "make calls by a ring": lambda: _call(_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)),
        # What it may.
        "connect to its port": lambda: _connected(socket.socket(), ("127.0.0.1", port)),
        "start a thread": _thread,
        "look at its limits": lambda: resource.getrlimit(resource.RLIMIT_DATA),
        # What is bounded whether it is confined or not.
        "allocate": lambda: bytearray(_HUGE),
        "open many": lambda: [os.dup(0) for _ in range(200)],
    }
    if confined:  # last: it would succeed in ending this program
        tries["run a program"] = lambda: os.execv("/bin/true", ["true"])
        tries["raise its limits"] = lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))
    return {what: _outcome(each) for what, each in tries.items()}


def _outcome(each: Callable[[], object]) -> str:
    try:
        each()
    except (OSError, MemoryError, ValueError) as error:
        return type(error).__name__
    return "ok"


def _call(*arguments: object) -> int:
    found = int(_libc.syscall(*arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), "call")
    return found


def _connected(made: socket.socket, to: object) -> None:
    with made:
        made.connect(to)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _thread() -> None:
    made = threading.Thread(target=int)
    made.start()
    made.join()


if __name__ == "__main__":
    mode, port, other, pid, file, name = sys.argv[1:]
    print(json.dumps(main(mode == "on", int(port), int(other), int(pid), file, name)))
