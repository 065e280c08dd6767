"""The HTTP edge as a listener: our application on a port.

SE1  After ``start`` requests are answered at ``addresses``; ``Misconfigured`` when port or certificate won't do.
SE2  ``stop`` takes no new connections, lets requests in work end, for ``_DRAIN_SECONDS`` at most, and returns then.
     What was answered is durable; the client is its owner's to close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from logflume import metrics
from logflume.clock import Clock
from logflume.config import Source
from logflume.edge.http.exchange import Route
from logflume.edge.http.gateway import Gateway
from logflume.edge.http.landing import Core, Landing
from logflume.edge.http.routes import ROUTES
from logflume.edge.rates import Pacing
from logflume.model import Datasets
from logflume.settings import Settings
from logflume.web.connection import ConnectionLimits
from logflume.web.listener import Listener, Place

_DRAIN_SECONDS: Final = 40  # supervisors give 60 s and more; a request waits for Kafka for 30


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
        place = Place(
            "edge_http_",
            settings.edge_http_host,
            settings.edge_http_port,
            settings.edge_http_certificate,
            settings.edge_http_key,
        )
        limits = ConnectionLimits(
            header_bytes=settings.edge_http_header_bytes,
            header_seconds=settings.edge_http_header_seconds,
            most_connections=settings.edge_http_connections,
            open=metrics.EDGE_HTTP_CONNECTIONS,
        )
        self._listener = Listener(
            self.gateway.application(routes),
            place,
            limits,
            idle_seconds=settings.edge_http_idle_seconds,
            drain_seconds=_DRAIN_SECONDS,
        )
        self.addresses: list[str] = []
        """Where it listens: ``http://127.0.0.1:8080``."""

    async def start(self) -> None:
        """Listen (SE1)."""
        await self._listener.start()
        self.addresses.append(self._listener.address)

    async def stop(self) -> None:
        """End (SE2)."""
        await self._listener.stop()
        await asyncio.to_thread(self._threads.shutdown)
