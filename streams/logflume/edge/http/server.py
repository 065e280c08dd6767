"""The HTTP edge as a listener: uvicorn with our connections and our application.

SE1  After ``start`` requests are answered at ``addresses``; ``Misconfigured`` when port or certificate won't do.
SE2  ``stop`` takes no new connections, lets requests in work end, for ``_DRAIN_SECONDS`` at most, and returns then.
     What was answered is durable; the client is its owner's to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn

from logflume.clock import Clock
from logflume.config import Source
from logflume.edge.http.connection import ConnectionLimits, protocol
from logflume.edge.http.exchange import Route
from logflume.edge.http.gateway import Gateway
from logflume.edge.http.landing import Core, Landing
from logflume.edge.http.routes import ROUTES
from logflume.edge.rates import Pacing
from logflume.errors import Fatal, Misconfigured
from logflume.model import Datasets
from logflume.settings import Settings

_DRAIN_SECONDS: Final = 40  # supervisors give 60 s and more; a request waits for Kafka for 30
_LOOK_SECONDS: Final = 0.005


class HttpListener:
    """See SE1 and SE2. ``start`` and ``stop`` once each, on one event loop."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        source: Source,
        core: Core,
        clock: Clock,
        routes: Sequence[Route] = ROUTES,
        pacing: Pacing | None = None,
    ) -> None:
        """Read the certificate; ``Misconfigured`` when it won't do. ``pacing`` as ``Gateway``."""
        self._threads = ThreadPoolExecutor(settings.edge_http_threads, thread_name_prefix="logflume-http-read")
        self.gateway = Gateway(settings, datasets, source, Landing(core, self._threads), clock, pacing)
        self._settings = settings
        self._server = _Server(_config(settings, self.gateway, routes))
        self._task: asyncio.Task[None] | None = None
        self.addresses: list[str] = []
        """Where it listens: ``http://127.0.0.1:8080``."""

    async def start(self) -> None:
        """Listen (SE1)."""
        host, port = self._settings.edge_http_host, self._settings.edge_http_port
        try:
            listening = socket.create_server((host, port), backlog=1024, family=_family(host))
        except OSError as error:
            raise Misconfigured(f"edge_http_host, edge_http_port: cannot listen on {host}:{port}: {error}") from error
        scheme = "https" if self._settings.edge_http_certificate else "http"
        name = f"[{host}]" if ":" in host else host
        self.addresses.append(f"{scheme}://{name}:{listening.getsockname()[1]}")
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise Fatal("the HTTP server ended before it began")
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """End (SE2)."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        await asyncio.to_thread(self._threads.shutdown)


class _Server(uvicorn.Server):
    """uvicorn's, but for signals: they are the process's, which has more than this listener to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _config(settings: Settings, gateway: Gateway, routes: Sequence[Route]) -> uvicorn.Config:
    limits = ConnectionLimits(
        header_bytes=settings.edge_http_header_bytes,
        header_seconds=settings.edge_http_header_seconds,
        most_connections=settings.edge_http_connections,
    )
    config = uvicorn.Config(
        gateway.application(routes),
        http=protocol(limits),
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.edge_http_idle_seconds,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        ssl_certfile=settings.edge_http_certificate or None,
        ssl_keyfile=settings.edge_http_key or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        files = f"{settings.edge_http_certificate}, {settings.edge_http_key}"
        raise Misconfigured(f"edge_http_certificate, edge_http_key: {files}: {error}") from error
    return config


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
