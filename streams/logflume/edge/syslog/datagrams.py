"""Syslog over UDP: one datagram, one message. What the socket had no room for is lost, and counted."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.edge.syslog.feed import Feed
from logflume.edge.syslog.framing import Frame
from logflume.edge.syslog.listen import Transport

_MOST_BYTES = 65_535
_TURN = 256  # datagrams read before the loop serves others
_LAST_TURNS = 64  # at the end: what a full buffer holds, but no flood for ever
_SO_RXQ_OVFL = 40  # Linux: each datagram tells how many were dropped before it
_COUNT = struct.Struct("=I")
_BLANK = b" \t\r\n\0"

_log = structlog.get_logger(__name__)


class Datagrams:
    """A bound UDP socket that is read until ``close``. Of its loop alone, ``refuse`` apart.

    While paused nothing is read: the socket's buffer fills, and then the kernel drops, as it does when datagrams come
    faster than they are read. ``logflume_edge_syslog_lost_messages_total`` counts both, with the next one that is read.
    """

    transport = Transport.UDP
    waits = False

    def __init__(self, bound: socket.socket, tenant: str | None, feed: Feed, *, limit: int, clock: Clock) -> None:
        self.tenant = tenant
        self._socket = bound
        self._feed = feed
        self._limit = limit
        self._clock = clock
        self._lost = 0
        self._loop = asyncio.get_running_loop()
        bound.setblocking(False)
        try:
            bound.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        except OSError:
            _log.warning("this system does not count lost datagrams, so neither do we")

    def refuse(self) -> None:
        """A datagram's address proves nothing and holds nothing: there is no one to shut out."""

    def slow(self, wait: Callable[[], float]) -> None:
        """Nobody waits: a datagram that is not read is lost all the same, and others' are behind it."""

    def resume(self) -> None:
        """Read what comes."""
        self._loop.add_reader(self._socket, self._read)

    def pause(self) -> None:
        """Leave it to the socket's buffer."""
        self._loop.remove_reader(self._socket)

    def close(self) -> None:
        """Read what is there, and free the port."""
        self.pause()
        for _ in range(_LAST_TURNS):
            if not self._read():
                break
        self._socket.close()

    def _read(self) -> bool:
        """Read one turn's datagrams; True: there may be more."""
        now = self._clock.now_ns()
        found: dict[str, list[Frame]] = {}
        more = False
        for _ in range(_TURN):
            try:
                data, about, _, address = self._socket.recvmsg(_MOST_BYTES, socket.CMSG_SPACE(_COUNT.size))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # such as a port that a peer's kernel called unreachable
                _log.debug("reading datagrams", error=str(error))
                break
            if about:
                self._count_lost(about)
            if data.strip(_BLANK):
                frame = Frame(data[: self._limit], max(0, len(data) - self._limit))
                found.setdefault(plain_host(address[0]), []).append(frame)
        else:
            more = True
        for host, frames in found.items():
            self._feed.put(self, host, frames, now)
        return more

    def _count_lost(self, about: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in about:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(value) == _COUNT.size:
                lost = _COUNT.unpack(value)[0]
                metrics.EDGE_SYSLOG_LOST_MESSAGES.inc((lost - self._lost) & 0xFFFF_FFFF)
                self._lost = lost


def plain_host(address: str) -> str:
    """An address as people write it: IPv4 in IPv6's clothes is IPv4."""
    return address.removeprefix("::ffff:")
