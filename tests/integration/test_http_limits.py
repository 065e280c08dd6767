"""Every HTTP server of the product, as the process that a user runs, with TLS: what strangers and slow clients get.

By raw sockets, all at once, so that the test takes as long as the longest of them. That nobody holds a connection by
not reading is shown in test_web_listener.py and tests/unit/test_health.py: here it would take more than a minute.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from logflume.kafka import topics
from logflume.model.token import digest, text_of
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.waiting import until
from tests.support.web import Keys, keys
from tests.support.worker import Worker

TOKEN = text_of("k1", bytes(32))
CONNECTIONS = 40
"""Of each server that has a setting for it; more than the attacks below take."""
CUT = 0
"""In place of a status: the connection is ended without an answer."""
HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
"""How a TLS handshake begins."""


@dataclass(frozen=True)
class Server:
    """One of them: its port, a request that is answered 200, and a path that reads a body."""

    port: int
    tls: ssl.SSLContext
    honest: tuple[str, bytes]
    post: str

    def bare(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def connect(self) -> socket.socket:
        return self.tls.wrap_socket(self.bare(), server_hostname="127.0.0.1")

    def head(self, first: str) -> bytes:
        return f"{first} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {TOKEN}\r\n".encode()

    def ask(self, connection: socket.socket) -> int:
        """Ask as somebody honest; the status of the answer."""
        first, body = self.honest
        connection.sendall(self.head(first) + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return status(connection)

    def is_well(self) -> bool:
        """Whether somebody honest is answered now."""
        with self.connect() as connection:
            return self.ask(connection) == 200


def status(connection: socket.socket) -> int:
    """The first answer's, or ``CUT``."""
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while len(data) < 12 and (part := connection.recv(4096)):
            data += part
    return int(data[9:12] or CUT)


@dataclass
class Attack:
    """Somebody who connects, sends ``first``, and drips ``more`` for ever."""

    name: str
    expected: set[int]
    first: bytes
    more: bytes = b""
    handshake: bool = True
    connection: socket.socket = field(init=False)

    def begin(self, server: Server) -> None:
        self.connection = server.connect() if self.handshake else server.bare()
        with contextlib.suppress(OSError):
            self.connection.sendall(self.first)

    def drip(self) -> None:
        if self.more:
            with contextlib.suppress(OSError):
                self.connection.sendall(self.more)

    def came_to(self) -> int | None:
        """The status, once it is there."""
        self.connection.settimeout(0.01)
        try:
            return status(self.connection)
        except TimeoutError:
            return None


def attacks(server: Server) -> list[Attack]:
    get, post = server.head("GET /"), server.head(f"POST {server.post}")
    return [
        Attack("a handshake that never begins", {CUT}, b"", handshake=False),
        Attack("a handshake that drips", {CUT}, HELLO, b"\x01", handshake=False),
        Attack("one that says nothing after it", {CUT}, b""),
        Attack("a head that drips", {408, CUT}, get + b"X: ", b"y"),
        Attack("a head of 40 kB", {431}, get + b"X: " + b"y" * 40_000 + b"\r\n\r\n"),
        Attack("a head of 200 fields", {431}, get + b"X: y\r\n" * 200 + b"\r\n"),
        Attack("a body without end", {413, 501}, post + b"Content-Length: 900000000000\r\n\r\n", b"y" * 64_000),
        Attack("a chunked body without end", {413, 501}, post + b"Transfer-Encoding: chunked\r\n\r\n", chunk(64_000)),
        Attack("a body that drips", {408, 501}, post + b"Content-Length: 5000\r\n\r\n", b"y"),
    ]


def chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"y" * size)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


Start = Callable[[str], list[Server]]


@pytest.fixture
def start(settings: Settings, worker: StartWorker, files: Keys) -> Start:
    """Starts a process; its servers: the front, and that for ``/metrics``, which every worker has."""
    (Path(settings.tenants_dir) / "acme.yaml").write_text(
        "name: acme\ndatasets: {events: }\n"
        f'tokens:\n  - {{id: k1, sha256: "{digest(TOKEN)}", scopes: [ingest, query]}}\n'
    )
    topics.apply(settings)
    more: dict[str, Any] = {
        "http_certificate": files.certificate,
        "http_key": files.key,
        "edge_http_port": 0,
        "edge_http_connections": CONNECTIONS,
        "edge_http_body_bytes": 60_000,
        "edge_http_certificate": files.certificate,
        "edge_http_key": files.key,
        "serve_port": 0,
        "serve_connections": CONNECTIONS,
        "serve_audit": "off",
        "serve_certificate": files.certificate,
        "serve_key": files.key,
    }

    def started(command: str) -> list[Server]:
        process = worker(command, settings.model_copy(update=more))
        port = listening(process)
        front = {
            "edge serve": Server(
                port, files.trusting, ("POST /v1/ingest/events", b'{"message": "one"}'), "/v1/ingest/events"
            ),
            "serve": Server(port, files.trusting, ("GET /api/v1/datasets", b""), "/api/v1/query"),
        }
        return [front[command], Server(process.http_port, files.trusting, ("GET /metrics", b""), "/metrics")]

    return started


def listening(process: Worker) -> int:
    """The port of its front, once it is open."""

    def port() -> int:
        assert process.alive(), process.output()
        found = re.search(r"started.*https://127\.0\.0\.1:(\d+)", process.output())
        return int(found[1]) if found else 0

    return until(port, 90, "its address")


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("command", ["edge serve", "serve"])
def test_the_servers_of_a_process_let_go_who_is_slow_or_endless_and_bound_their_connections(
    command: str, start: Start, held: contextlib.ExitStack
) -> None:
    front, own = start(command)
    going_on = [(server, attack) for server in (front, own) for attack in attacks(server)]
    for server, attack in going_on:
        attack.begin(server)
        held.callback(attack.connection.close)
    assert front.is_well()
    assert own.is_well()
    wrong = []
    deadline = time.monotonic() + 120
    while going_on and time.monotonic() < deadline:
        for server, attack in list(going_on):
            attack.drip()
            if (what := attack.came_to()) is not None:
                going_on.remove((server, attack))
                if what not in attack.expected:
                    wrong.append((server.post, attack.name, what))
    assert (wrong, [(server.post, attack.name) for server, attack in going_on]) == ([], [])
    for server in (front, own):
        bounds_its_connections(server, held)
    held.close()
    until(lambda: takes_so_many_and_tells_the_next(front), 60, "the bound of whole connections")


def bounds_its_connections(server: Server, held: contextlib.ExitStack) -> None:
    silent = [held.enter_context(server.bare()) for _ in range(CONNECTIONS + 10)]
    assert server.is_well(), "strangers who never shake hands take no honest one's place"
    assert {status(each) for each in silent[:10]} == {CUT}
    for each in silent:
        each.close()


def takes_so_many_and_tells_the_next(server: Server) -> bool:
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):
        whole = [held.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        return {server.ask(each) for each in whole} == {200} and server.ask(held.enter_context(server.connect())) == 503
    return False
