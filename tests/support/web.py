"""A small application behind our listener, on a port, by either event loop, with TLS or without."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import uvloop
from prometheus_client import Gauge

from logflume.web.connection import ConnectionLimits
from logflume.web.listener import Listener, Place

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
OPEN = Gauge("tests_web_connections", "Open connections.", registry=None)
_PIECE = bytes(64 * 1024)


@dataclass(frozen=True)
class Keys:
    """A server's files, and what a client trusts it by."""

    certificate: str
    key: str
    trusting: ssl.SSLContext


def keys(folder: Path) -> Keys:
    """Write them."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    (folder / "chain.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return Keys(str(folder / "chain.pem"), str(folder / "key.pem"), trusting)


class Web:
    """``GET /`` is answered at once, ``GET /endless`` for ever; ``endless`` counts those that still are."""

    def __init__(self, loop: str, tls: Keys | None, limits: ConnectionLimits, *, idle_seconds: int) -> None:
        self.endless = 0
        self.tls = tls
        place = Place("web_", "127.0.0.1", 0, tls.certificate if tls else "", tls.key if tls else "")
        self._listener = Listener(self, place, limits, idle_seconds=idle_seconds, drain_seconds=1)
        self._loop = LOOPS[loop]()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listener.start())
        self.port = int(self._listener.address.rpartition(":")[2])

    @property
    def connections(self) -> int:
        """How many have shaken hands, and are there."""
        return len(self._listener._server.server_state.connections)

    def bare(self) -> socket.socket:
        """A connection that has said nothing yet; reads and writes fail after 30 s."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def connect(self) -> socket.socket:
        """One that has shaken hands, where there is TLS."""
        bare = self.bare()
        try:
            return self.tls.trusting.wrap_socket(bare, server_hostname="127.0.0.1") if self.tls else bare
        except BaseException:
            bare.close()
            raise

    def stop(self) -> None:
        """As at SIGTERM."""
        self._run(self._listener.stop())

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/endless":
            self.endless += 1
            try:
                await self._go_on(receive, send)
            finally:
                self.endless -= 1
        await send({"type": "http.response.body", "body": b"{}"})

    async def _go_on(self, receive: Any, send: Any) -> None:
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
            await asyncio.sleep(0)


@contextlib.contextmanager
def web(
    loop: str = "asyncio",
    tls: Keys | None = None,
    *,
    header_bytes: int = 32_000,
    header_seconds: float = 300.0,
    connections: int = 100,
    idle_seconds: int = 300,
) -> Iterator[Web]:
    """A ``Web`` with these limits."""
    limits = ConnectionLimits(header_bytes, header_seconds, connections, OPEN)
    made = Web(loop, tls, limits, idle_seconds=idle_seconds)
    try:
        yield made
    finally:
        made.close()
