"""System calls that the process of a query gives up: the ways out that Landlock leaves open (seccomp, BPF).

Landlock bounds what is opened by path and what TCP connects to. Without this a process could still fork and outlive its
query, run a program, send UDP, connect to any port by MPTCP or TCP Fast Open, talk to a Unix socket by its path, change
the mode of files, raise its own limits as root, or hold memory that no limit counts. A list of what is denied, not of
what is allowed: the engine's next release may need calls that this one does not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final

# By name its number on x86-64 and on aarch64, which lacks some.
_DENIED: Final[dict[str, tuple[int, int | None]]] = {
    # processes that outlive the query, other programs
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "setns": (308, 268),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # callers: Landlock knows of ports that are bound, not of those that the kernel chooses
    "bind": (49, 200),
    "listen": (50, 201),
    # the kernel; io_uring makes calls that no filter sees
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    # limits, and memory that they do not count
    "setrlimit": (160, 164),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # what files are like: Landlock has no right for it
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
}
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_SOCKET: Final = (41, 198)
_MMAP: Final = (9, 222)
_PRLIMIT: Final = (302, 261)
_KILL: Final = {"kill": (62, 129), "tgkill": (234, 131)}
_SEND: Final = {"sendto": (44, 206, 3), "sendmsg": (46, 211, 2), "sendmmsg": (307, 269, 3)}  # and where its flags stand

_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32: Final = 0x40000000  # another table of calls behind the same architecture

_CLONE_THREAD: Final = 0x10000
_MAP_SHARED: Final = 0x01
_FAST_OPEN: Final = 0x20000000
_AF_INET: Final = 2
_TYPE: Final = 0xF
_SOCK_STREAM: Final = 1
_PROTOCOLS: Final = (0, 6)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_FAIL: Final = 0x00050000
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

_Step = tuple[int, int, int, int]
"""One instruction: code, steps to skip if so, steps to skip if not, operand."""


def known() -> bool:
    """Whether this processor's calls are known here."""
    return os.uname().machine in _ARCHITECTURES


def deny() -> None:
    """Give the calls up, for this thread and those that it makes; after ``PR_SET_NO_NEW_PRIVS``. Raises ``OSError``."""
    steps = list(_program(*_ARCHITECTURES[os.uname().machine], os.getpid()))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _program(column: int, architecture: int, me: int) -> Iterator[_Step]:
    refuse = _give(_FAIL | errno.EPERM)
    yield from (_load(_ARCHITECTURE), (_EQUAL, 1, 0, architecture), _give(_KILL_PROCESS))
    yield from (_load(_NUMBER), (_AT_LEAST, 0, 1, _X32), refuse)
    for numbers in _DENIED.values():
        if numbers[column] is not None:
            yield from _call(numbers[column], [refuse])
    yield from _call(_CLONE3[column], [_give(_FAIL | errno.ENOSYS)])  # its flags can't be seen; libc takes clone then
    yield from _call(_CLONE[column], [_load(_low(0)), (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse])
    yield from _call(_MMAP[column], [_load(_low(3)), (_ANY_BIT, 0, 1, _MAP_SHARED), refuse])
    for number in _SEND.values():
        yield from _call(number[column], [_load(_low(number[2])), (_ANY_BIT, 0, 1, _FAST_OPEN), refuse])
    for numbers in _KILL.values():  # abort() signals itself
        yield from _call(numbers[column], [_load(_low(0)), (_EQUAL, 1, 0, me), refuse])
    limits = [_load(_low(2)), (_EQUAL, 0, 2, 0), _load(_low(2) + 4), (_EQUAL, 1, 0, 0), refuse]
    yield from _call(_PRLIMIT[column], limits)  # it may look
    yield from _call(_SOCKET[column], [*_tcp(refuse)])
    yield _give(_ALLOW)


def _tcp(refuse: _Step) -> Iterator[_Step]:
    """Of sockets only TCP's, without MPTCP and the like."""
    yield from (_load(_low(0)), (_EQUAL, 1, 0, _AF_INET), refuse)
    yield from (_load(_low(1)), (_AND, 0, 0, _TYPE), (_EQUAL, 1, 0, _SOCK_STREAM), refuse)
    yield from (_load(_low(2)), (_EQUAL, 2, 0, _PROTOCOLS[0]), (_EQUAL, 1, 0, _PROTOCOLS[1]), refuse)


def _call(number: int | None, then: Sequence[_Step]) -> Iterator[_Step]:
    """``then`` for this call, which is allowed at its end; otherwise go on, with the number still loaded."""
    assert number is not None
    yield (_EQUAL, 0, len(then) + 1, number)
    yield from then
    yield _give(_ALLOW)


def _load(offset: int) -> _Step:
    return (_LOAD, 0, 0, offset)


def _low(argument: int) -> int:
    """Where the lower half of an argument stands."""
    return 16 + 8 * argument


def _give(verdict: int) -> _Step:
    return (_RETURN, 0, 0, verdict)
