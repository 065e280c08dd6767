"""The HTTP edge without a network, or on a port of its own; behind it the real client, on a fake producer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx

from logflume import contract, model
from logflume.clock import ManualClock, SystemClock
from logflume.edge import Client
from logflume.edge.http.exchange import Route
from logflume.edge.http.gateway import Gateway
from logflume.edge.http.landing import Landing
from logflume.edge.http.routes import ROUTES
from logflume.edge.http.server import HttpListener
from logflume.errors import LogflumeError
from logflume.model import Configuration, Tenant, TenantDataset, Token
from logflume.model.token import digest, text_of
from logflume.settings import Settings
from tests.support.producer import FakeProducer

DATASETS = model.load(contract.find())
TOKEN = text_of("k1", bytes(32))
OTHER_TOKEN = text_of("k2", bytes([1]) * 32)


class FixedSource:
    """``acme`` (TOKEN) wants events and http_requests, ``other`` (OTHER_TOKEN) events; until ``now`` is another."""

    def __init__(self) -> None:
        tenants = {"acme": ("k1", TOKEN, ("events", "http_requests")), "other": ("k2", OTHER_TOKEN, ("events",))}
        self.now = Configuration(
            1,
            "hash",
            {
                name: Tenant(name, {d: TenantDataset(d, 7) for d in wanted}, tokens=(Token(id, digest(text)),))
                for name, (id, text, wanted) in tenants.items()
            },
        )

    def current(self) -> Configuration:
        return self.now

    def change(self, tenant: str, **changes: Any) -> None:
        """Put a generation in force in which ``tenant`` is another."""
        tenants = dict(self.now.tenants)
        tenants[tenant] = replace(tenants[tenant], **changes)
        self.now = Configuration(self.now.generation + 1, "hash", tenants)


def settings(**overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "kafka_bootstrap": "nowhere:1",
        "edge_id": "here",
        "edge_linger_seconds": 0.01,
        "edge_http_port": 0,
        "edge_timeout_seconds": 20.0,
    }
    return Settings(**(values | overrides))


class HttpEdge:
    """A gateway asked without a network; ``producer.log`` is what Kafka holds."""

    def __init__(
        self, chosen: Settings, producer: FakeProducer, routes: Sequence[Route], *, by_hand: bool = False
    ) -> None:
        self.producer = producer
        self.client = Client(chosen, datasets=DATASETS, make_producer=producer)
        self.runner = asyncio.Runner()
        self.runner.get_loop()
        self._threads = ThreadPoolExecutor(2)
        landing = Landing(self.client, self._threads)
        self.source = FixedSource()
        self.clock = ManualClock() if by_hand else SystemClock()
        self.gateway = Gateway(chosen, DATASETS, self.source, landing, self.clock)
        transport = httpx.ASGITransport(self.gateway.application(routes))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=None)

    def request(self, method: str, path: str, *, token: str = TOKEN, **options: Any) -> httpx.Response:
        """Ask, and wait for the answer."""
        return self.runner.run(self.ask(method, path, token=token, **options))

    async def ask(self, method: str, path: str, *, token: str = TOKEN, **options: Any) -> httpx.Response:
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | dict(options.pop("headers", {}))
        return await self.http.request(method, path, headers=headers, **options)

    def post(self, content: Any, dataset: str = "events", query: str = "", **options: Any) -> httpx.Response:
        """Send a body by our own protocol."""
        return self.request("POST", f"/v1/ingest/{dataset}{query}", content=content, **options)

    def close(self) -> None:
        self.producer.back()
        self.runner.run(self.http.aclose())
        self._threads.shutdown()
        with contextlib.suppress(LogflumeError):
            self.client.close()
        self.runner.close()


@contextlib.contextmanager
def http_edge(
    producer: FakeProducer | None = None, routes: Sequence[Route] = ROUTES, *, by_hand: bool = False, **overrides: Any
) -> Iterator[HttpEdge]:
    """An ``HttpEdge`` with these settings; the gateway's clock moves only ``by_hand``."""
    edge = HttpEdge(settings(**overrides), producer or FakeProducer(), routes, by_hand=by_hand)
    try:
        yield edge
    finally:
        edge.close()


class Serving:
    """A listener on its own port, its loop in a thread."""

    def __init__(self, chosen: Settings, producer: FakeProducer, routes: Sequence[Route]) -> None:
        self.producer = producer
        self.client = Client(chosen, datasets=DATASETS, make_producer=producer)
        self.listener = HttpListener(chosen, DATASETS, FixedSource(), self.client, SystemClock(), routes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.listener.start(), self._loop).result(30)
        self.url = self.listener.addresses[0]
        self.port = int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A raw connection; reads and writes fail after 20 s."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self) -> None:
        """As at SIGTERM."""
        asyncio.run_coroutine_threadsafe(self.listener.stop(), self._loop).result(60)

    def close(self) -> None:
        self.producer.back()
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        with contextlib.suppress(LogflumeError):
            self.client.close()


@contextlib.contextmanager
def serving(
    producer: FakeProducer | None = None, routes: Sequence[Route] = ROUTES, **overrides: Any
) -> Iterator[Serving]:
    """A ``Serving`` with these settings."""
    server = Serving(settings(**overrides), producer or FakeProducer(), routes)
    try:
        yield server
    finally:
        server.close()
