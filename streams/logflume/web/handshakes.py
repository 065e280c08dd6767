"""TLS handshakes, counted and bounded like the connections that they become.

asyncio tells a protocol of its connection only after the handshake, and uvicorn gives that a minute: who never ends it
would be counted nowhere. So connections are accepted here, and handed to the loop one by one.

HS1  A handshake has ``seconds``, however it drips; then its connection is cut off.
HS2  Connections and handshakes together are ``most``, and one more at most. Of too many the oldest handshake is cut
     off, as an honest one takes milliseconds. Where all are connections, one newcomer at a time gets through to be told
     (CO5).
HS3  After ``close`` nobody is accepted, and no handshake goes on.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sized
from typing import Final

import structlog

_AGAIN_SECONDS: Final = 1.0
"""After an accept that failed for want of file descriptors."""

_log = structlog.get_logger(__name__)


class Handshakes:
    """See HS1 to HS3. Stands for an ``asyncio.Server`` where ``uvicorn.Server`` has one. One event loop's."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        made: Callable[[], asyncio.Protocol],
        connections: Sized,
        *,
        most: int,
        seconds: float,
    ) -> None:
        """Begin. ``made`` makes the protocol of one that has shaken hands, which is in ``connections`` from then on."""
        listening.setblocking(False)
        self._listening = listening
        self._context = context
        self._made = made
        self._connections = connections
        self._most = most
        self._seconds = seconds
        self._shaking: dict[asyncio.Task[None], socket.socket] = {}  # the oldest first
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """End (HS3); the socket is whose it was."""
        self._accepting.cancel()
        for task in list(self._shaking):
            self._cut(task)

    async def wait_closed(self) -> None:
        """Return at once: nothing is left."""

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                _log.warning("accepting a connection failed", error=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if self._has_room():
                task = loop.create_task(self._shake(connection))
                self._shaking[task] = connection
                task.add_done_callback(self._shaken)
            else:
                connection.close()

    def _has_room(self) -> bool:
        """Whether one more may shake hands; makes room for it (HS2)."""
        if len(self._connections) + len(self._shaking) < self._most:
            return True
        if self._shaking:
            self._cut(next(iter(self._shaking)))
            return True
        return len(self._connections) <= self._most

    async def _shake(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(
            self._made, connection, ssl=self._context, ssl_handshake_timeout=self._seconds
        )

    def _shaken(self, task: asyncio.Task[None]) -> None:
        connection = self._shaking.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and connection is not None:
            connection.close()
            _log.debug("a TLS handshake broke off", error=str(error))

    def _cut(self, task: asyncio.Task[None]) -> None:
        connection = self._shaking.pop(task)
        task.cancel()
        connection.close()
