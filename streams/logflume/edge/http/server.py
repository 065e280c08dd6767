"""The HTTP edge as a listener: uvicorn with our connections and our application, on a loop in a thread of its own.

SE1  After ``start`` requests are answered at ``address``; ``Misconfigured`` when the port or the certificate won't do.
SE2  ``stop`` takes no new connections, lets requests in work end, for ``_DRAIN_SECONDS`` at most, and returns then.
     What was answered is durable; the client is its owner's to close.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
import uvicorn

from logflume.clock import Clock
from logflume.config import Source
from logflume.edge.http.connection import ConnectionLimits, protocol
from logflume.edge.http.exchange import Route
from logflume.edge.http.gateway import Gateway
from logflume.edge.http.landing import Core, Landing
from logflume.edge.http.routes import ROUTES
from logflume.errors import Misconfigured
from logflume.model import Datasets
from logflume.settings import Settings

_DRAIN_SECONDS: Final = 40  # supervisors give 60 s and more; a request waits for Kafka for 30
_START_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class HttpListener:
    """See SE1 and SE2. ``start`` and ``stop`` once each, from one thread."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        source: Source,
        core: Core,
        clock: Clock,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        self._threads = ThreadPoolExecutor(settings.edge_http_threads, thread_name_prefix="logflume-http-read")
        self.gateway = Gateway(settings, datasets, source, Landing(core, self._threads), clock)
        self._settings = settings
        self._server = uvicorn.Server(_config(settings, self.gateway, routes))
        self._thread = threading.Thread(target=self._run, name="logflume-http", daemon=True)
        self._socket: socket.socket | None = None
        self._failure: BaseException | None = None
        self.address = ""
        """``host:port`` as bound."""

    @property
    def name(self) -> str:
        """What it listens to, for the log."""
        return "https" if self._settings.edge_http_certificate else "http"

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen (SE1)."""
        host, port = self._settings.edge_http_host, self._settings.edge_http_port
        try:
            self._socket = socket.create_server((host, port), backlog=1024, family=_family(host))
        except OSError as error:
            raise Misconfigured(f"edge_http_host, edge_http_port: cannot listen on {host}:{port}: {error}") from error
        bound = self._socket.getsockname()
        self.address = f"{bound[0]}:{bound[1]}"
        self._thread.start()

    def stop(self) -> None:
        """End (SE2)."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._threads.shutdown()
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        except Exception as failure:  # the thread's end; the owner looks at ``alive``
            _log.exception("edge.http.ended")
            self._failure = failure


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
        loop="uvloop",
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
