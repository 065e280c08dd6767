"""The parent's end of the zygote: makes a process for each query, by its own handle, so that it can be ended.

F1  A child inherits no variable of this process but those that name code and locale: no key, no secret.
F2  A zygote that died is started anew by the next query.
F3  Who is ended is known by a pidfd: never another process that got its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Final

from logflume.errors import Retryable

_KEPT: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_OWN: Final = {
    # Allocators that reserve a gigabyte at once would make a limit of memory meaningless.
    "MIMALLOC_ARENA_RESERVE": "32768",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",  # threads do not survive a fork
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of an allocator that Arrow starts, and is not used here
}
_STARTS_SECONDS: Final = 60.0


@dataclass
class Child:
    """A query's process: the stream to it, and its pidfd."""

    stream: socket.socket
    handle: int

    def kill(self) -> None:
        """Kill it, if it still runs; its stream ends by that. May be called again."""
        if self.handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, and let go of what is held of it; nobody may be reading from it any more. May be called again."""
        self.kill()
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        self.stream.close()


def _unwanted(making: asyncio.Future[Child]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().end()


class Forks:
    """See F1 to F3. Safe for threads; ``close`` ends the zygote and all its children."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def child(self) -> Child:
        """Make a process that waits for its task. Raises ``Retryable``."""
        making = asyncio.ensure_future(asyncio.to_thread(self.make))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_unwanted)  # the thread goes on
            raise

    def make(self) -> Child:
        """``child``, for those who may block: milliseconds, and half a second the first time."""
        with self._lock:
            for last in (False, True):
                ours, theirs = socket.socketpair()
                try:
                    return Child(ours, self._fork(theirs))
                except (OSError, EOFError) as error:
                    ours.close()
                    self._stop()
                    if last:
                        raise Retryable(f"no process for a query could be started: {error}") from error
                finally:
                    theirs.close()
        raise AssertionError

    def start(self) -> None:
        """Start the zygote now rather than with the first query."""
        self.make().end()

    def close(self) -> None:
        """End the zygote; its children die with it."""
        with self._lock:
            self._stop()

    def _fork(self, theirs: socket.socket) -> int:
        control = self._running()
        socket.send_fds(control, [b"q"], [theirs.fileno()])
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message or not descriptors:
            raise EOFError("it has ended")
        return descriptors[0]

    def _running(self) -> socket.socket:
        if self._control is not None and self._zygote is not None and self._zygote.poll() is None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "logflume.explore.engine.zygote", str(theirs.fileno())],
                env=_OWN | {name: os.environ[name] for name in _KEPT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a command's is its answer
                pass_fds=[theirs.fileno()],
                cwd="/",
            )
        ours.settimeout(_STARTS_SECONDS)
        self._control = ours
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None
