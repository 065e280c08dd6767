"""What the process of a query gives up before it sees the query. It can't be undone, and threads made later inherit it.

SB1 No file, folder or device can be opened or changed any more: neither other tenants' data in a store that is a
    folder, nor ``/proc/<pid>/environ`` with a worker's keys.
SB2 Of the network it reaches one TCP port, that of the gateway. It can signal and trace nobody outside, nor reach a
    Unix socket.
SB3 Its memory, CPU time and descriptors end at limits that it can't raise; it makes no process, and ends with the one
    that made it.

By Landlock (Linux 5.13; ports since 6.7: ``man 7 landlock``), called by number, as Python has no module for it, and by
a filter of system calls (``calls``).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path
from typing import Final

from logflume.errors import Misconfigured
from logflume.explore.engine import calls

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_NET_PORT: Final = 2
_CONNECT_TCP: Final = 1 << 1
_BIND_TCP: Final = 1 << 0
_SCOPES: Final = 0b11  # abstract sockets, signals
_NO_NEW_PRIVILEGES: Final = 38
_DEATH_SIGNAL: Final = 1
_OPEN_FILES: Final = 128
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""Rights over files that each version of the interface knows: as many lowest bits."""
_PORTS_SINCE: Final = 4
_SCOPES_SINCE: Final = 6

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of Landlock's interface; 0 where the kernel has none, or does not let it be used."""
    found = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    return max(0, int(found))


def require() -> None:
    """Raise ``Misconfigured`` where the kernel can't confine a process."""
    if not version() or not calls.known():
        raise Misconfigured(
            "this machine does not confine processes (Landlock: Linux 5.13 or later on x86-64 or aarch64, not switched "
            "off by a seccomp profile). LOGFLUME_EXPLORE_SANDBOX=off runs queries without it: if the checks of SQL "
            "failed, a query could then read what this user can, such as the files of a store that is a folder"
        )


def confine(port: int) -> None:
    """SB1 and SB2, for this thread and those that it makes; after ``require``. Raises ``OSError``."""
    interface = version()
    rights = (1 << _RIGHTS[max(known for known in _RIGHTS if known <= interface)]) - 1
    ports = _CONNECT_TCP | _BIND_TCP if interface >= _PORTS_SINCE else 0
    scopes = _SCOPES if interface >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", rights, ports, scopes)[: 24 if scopes else 16 if ports else 8]
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        if ports:
            _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)
        if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _call(_RESTRICT_SELF, ruleset, 0)
        calls.deny()
    finally:
        os.close(ruleset)


def bound(memory_bytes: int, cpu_seconds: int) -> None:
    """SB3; ``memory_bytes`` beyond what the process has now."""
    if _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    most = _data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _data_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()
    return int(pages[5]) * os.sysconf("SC_PAGE_SIZE")


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock's call {number}: {os.strerror(ctypes.get_errno())}")
    return result
