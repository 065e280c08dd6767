"""An ASGI application on a port: uvicorn with our connections, on the loop of whoever starts it.

L1  After ``start`` requests are answered at ``address``; ``Misconfigured`` when port or certificate won't do.
L2  ``stop`` takes no new connections, lets requests in work end, for ``drain_seconds`` at most, and returns then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import uvicorn

from logflume.errors import Fatal, Misconfigured
from logflume.web.connection import ConnectionLimits, protocol
from logflume.web.handshakes import Handshakes

_LOOK_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and the files (PEM) of the certificate and its key; empty: without TLS.

    ``settings``: what these settings begin with, for messages.
    """

    settings: str
    host: str
    port: int
    certificate: str = ""
    key: str = ""


class Listener:
    """See L1 and L2. ``start`` and ``stop`` once each."""

    def __init__(
        self, application: Any, place: Place, limits: ConnectionLimits, *, idle_seconds: int, drain_seconds: int
    ) -> None:
        """Read the certificate; ``Misconfigured`` when it won't do."""
        self._place = place
        config = uvicorn.Config(
            application,
            http=protocol(limits),
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=idle_seconds,
            timeout_graceful_shutdown=drain_seconds,
            ssl_certfile=place.certificate or None,
            ssl_keyfile=place.key or None,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            files = f"{place.certificate}, {place.key}"
            raise Misconfigured(f"{place.settings}certificate, {place.settings}key: {files}: {error}") from error
        self._server = _Server(config, limits)
        self._task: asyncio.Task[None] | None = None
        self.address = ""
        """Where it listens, as a URL."""

    async def start(self) -> None:
        """Listen (L1)."""
        place = self._place
        try:
            listening = socket.create_server((place.host, place.port), backlog=1024, family=_family(place.host))
        except OSError as error:
            raise Misconfigured(
                f"{place.settings}host, {place.settings}port: cannot listen on {place.host}:{place.port}: {error}"
            ) from error
        name = f"[{place.host}]" if ":" in place.host else place.host
        scheme = "https" if place.certificate else "http"
        self.address = f"{scheme}://{name}:{listening.getsockname()[1]}"
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise Fatal("the HTTP server ended before it began")
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """End (L2)."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Server(uvicorn.Server):
    """uvicorn's, but for TLS (``Handshakes``), and for signals: they are the process's, which has more to end."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self._limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; as uvicorn's, which has no bound for handshakes."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        assert sockets
        made = partial(self.config.http_protocol_class, self.config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]
        self.servers: list[Any] = [
            Handshakes(
                listening,
                self.config.ssl,
                made,
                self.server_state.connections,
                most=self._limits.most_connections,
                seconds=self._limits.header_seconds,
            )
            for listening in sockets
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
