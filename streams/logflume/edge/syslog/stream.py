"""One syslog connection, TCP or TLS: bytes to messages, and messages to the feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from logflume.clock import Clock
from logflume.edge.syslog.feed import Feed
from logflume.edge.syslog.framing import Framer
from logflume.edge.syslog.listen import Transport

_LOOK_SECONDS = 1.0  # after so long a slowed stream asks again: the tenant may have other rates now


class Stream(asyncio.Protocol):
    """A connection from when it is accepted until it is lost. Of its loop alone, ``refuse`` and ``slow`` apart.

    Syslog has no acknowledgement: nothing is ever written. What the end cuts off is a message as it stands.
    """

    def __init__(
        self,
        transport: Transport,
        host: str,
        tenant: str | None,
        feed: Feed,
        *,
        limit: int,
        clock: Clock,
        opened: Callable[[Stream], bool],
        lost: Callable[[Stream], None],
    ) -> None:
        """``opened`` says whether messages may come, and sets ``tenant``; ``lost`` is called once, at the end."""
        self.transport = transport
        self.host = host
        self.tenant = tenant
        self.waits = True
        self.heard = clock.monotonic()
        """Monotonic time of the last bytes."""
        self._feed = feed
        self._framer = Framer(limit)
        self._clock = clock
        self._opened, self._lost = opened, lost
        self._loop = asyncio.get_running_loop()
        self._wire: asyncio.Transport | None = None
        self._refused = False
        self._paused = False  # by the server, for everybody
        self._slowed = False  # by its tenant's rate
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, its handshake over."""
        self._wire = cast(asyncio.Transport, transport)
        if not self._opened(self):
            self._refused = True
            self._wire.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the sender was refused."""
        self.heard = self._clock.monotonic()
        if not self._refused:
            self._feed.put(self, self.host, self._framer.feed(data), self._clock.now_ns())

    def connection_lost(self, error: Exception | None) -> None:
        """Take what the end cut off."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._refused:
            self._feed.put(self, self.host, self._framer.end(), self._clock.now_ns())
        self._lost(self)

    def certificate(self) -> dict[str, object]:
        """Return the client's certificate as ``ssl`` tells it; empty: it showed none that was asked for."""
        assert self._wire is not None
        tls = self._wire.get_extra_info("ssl_object")
        return (tls.getpeercert() if tls is not None else None) or {}

    def pause(self) -> None:
        """Read no more: the sender's bytes wait in the sockets, then in the sender."""
        self._paused = True
        self._read_or_not()

    def resume(self) -> None:
        """Read on, unless it is slowed down."""
        self._paused = False
        self._read_or_not()

    def slow(self, wait: Callable[[], float]) -> None:
        """Read nothing as long as ``wait`` gives any seconds."""
        self._loop.call_soon_threadsafe(self._slow, wait)

    def close(self) -> None:
        """End the connection; ``connection_lost`` follows."""
        if self._wire is not None:
            self._wire.abort()

    def refuse(self) -> None:
        """End the connection and take nothing more from it."""
        self._loop.call_soon_threadsafe(self._shut)

    def _slow(self, wait: Callable[[], float]) -> None:
        seconds = wait()
        self._slowed = seconds > 0
        self._read_or_not()
        if self._slowed and self._timer is None and not self._refused:
            self._timer = self._loop.call_later(min(seconds, _LOOK_SECONDS), self._look_again, wait)

    def _look_again(self, wait: Callable[[], float]) -> None:
        self._timer = None
        if self._wire is not None and not self._wire.is_closing():
            self._slow(wait)

    def _read_or_not(self) -> None:
        self.heard = self._clock.monotonic()  # it is we who do not listen
        if self._wire is None or self._wire.is_closing():  # uvloop refuses to pause one that closes
            return
        reading = not (self._paused or self._slowed)
        if reading and not self._reading:
            self._wire.resume_reading()
        elif self._reading and not reading:
            self._wire.pause_reading()
        self._reading = reading

    def _shut(self) -> None:
        self._refused = True
        self.close()
