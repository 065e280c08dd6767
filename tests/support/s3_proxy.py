"""A proxy before an S3 server that does to chosen requests what networks and services do.

``with s3_proxy(s3.endpoint) as proxy: proxy.on("PutObject", answer(503), times=3)``; then use ``proxy.endpoint``. Rules
are tried in the order they were given; a request that none wants passes. One connection a request.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import parse_qs, unquote, urlsplit

_PASS_SECONDS = 60.0
_PIECE = 64 << 10
_TIME = re.compile(rb"(?im)^((?:date|last-modified): *)([^\r]+)")


@dataclass
class Exchange:
    """One request as it came, with the means to pass it on."""

    proxy: S3Proxy
    client: socket.socket
    head: bytes
    received: bytes
    """Of the body, what came along with the head."""
    length: int
    method: str
    path: str
    """Bucket and key, unquoted, with a slash before."""
    operation: str
    """As S3 calls it: ``PutObject``, ``HeadObject``, ``UploadPart``, ``CompleteMultipartUpload`` …"""
    outcome: str = "passed"
    """What was done to it: ``passed`` or the fault's name."""

    def body(self, count: int | None = None, bytes_per_second: float = 0.0) -> bytes:
        """Read the body, or ``count`` bytes of it; ``ConnectionError`` when the client goes away before."""
        wanted = self.length if count is None else min(count, self.length)
        found = bytearray(self.received[:wanted])
        piece = max(1, int(bytes_per_second / 10)) if bytes_per_second else _PIECE
        while len(found) < wanted:
            part = self.client.recv(min(piece, wanted - len(found)))
            if not part:
                raise ConnectionError("the client is gone")
            found += part
            if bytes_per_second and self.proxy.ending.wait(len(part) / bytes_per_second):
                raise ConnectionError("the proxy ends")
        return bytes(found)

    def ask(self, body: bytes) -> bytes:
        """Send request and ``body``, whole or not, to the server, and return its whole answer, if it gives one."""
        with socket.create_connection(self.proxy.server, _PASS_SECONDS) as server:
            server.sendall(self.head + body)
            if len(body) < self.length:
                return b""
            answer = bytearray()
            while part := server.recv(_PIECE):
                answer += part
            return _of_another_clock(bytes(answer), self.proxy.ahead)

    def reply(self, answer: bytes) -> None:
        """Give the client an answer; it may be gone."""
        with suppress(OSError):
            self.client.sendall(answer)


@dataclass(frozen=True)
class Fault:
    """What is done to a request instead of passing it on."""

    name: str
    apply: Callable[[Exchange], None]


@dataclass
class Rule:
    """A fault for the next ``left`` requests of one operation."""

    operation: str
    fault: Fault
    left: float


class Held(Fault):
    """Holds a request after its whole body has come, until ``release``; then it goes to the server, however late.

    ``arrived`` is set when there is one.
    """

    def __init__(self) -> None:
        super().__init__("held", self._hold)
        object.__setattr__(self, "arrived", threading.Event())
        object.__setattr__(self, "done", threading.Event())
        object.__setattr__(self, "_released", threading.Event())

    arrived: threading.Event
    done: threading.Event
    """Set when the server has answered the late request."""
    _released: threading.Event

    def release(self) -> None:
        """Let what is held, and whatever comes after it, pass."""
        self._released.set()

    def _hold(self, exchange: Exchange) -> None:
        body = exchange.body()
        self.arrived.set()
        while not self._released.wait(0.05):
            if exchange.proxy.ending.is_set():
                return
        answer = exchange.ask(body)
        self.done.set()
        exchange.reply(answer)


def answer(status: int, code: str = "", headers: str = "") -> Fault:
    """Take the request and answer with an error of the service's instead: 500, 503, 429, 404 and ``NoSuchBucket`` …"""

    def apply(exchange: Exchange) -> None:
        exchange.body()
        text = f"<Error><Code>{code or 'Injected'}</Code><Message>by the proxy</Message></Error>".encode()
        head = f"HTTP/1.1 {status} Injected\r\nContent-Length: {len(text)}\r\nConnection: close\r\n{headers}\r\n"
        exchange.reply(head.encode() + (b"" if exchange.method == "HEAD" else text))

    return Fault(f"answered {status}", apply)


def slow(bytes_per_second: float) -> Fault:
    """Take the body no faster than this, then pass it on."""
    return Fault("slow", lambda exchange: exchange.reply(exchange.ask(exchange.body(None, bytes_per_second))))


def _cut_body(exchange: Exchange) -> None:
    exchange.ask(exchange.body(exchange.length // 2))


def _hang(exchange: Exchange) -> None:
    exchange.body()
    exchange.proxy.ending.wait()


def _drop_answer(exchange: Exchange) -> None:
    exchange.ask(exchange.body())


def _cut_answer(exchange: Exchange) -> None:
    given = exchange.ask(exchange.body())
    exchange.reply(given[: given.index(b"\r\n") + 10])


CUT_BODY = Fault("body cut", _cut_body)
"""Half of the body reaches the server, then both connections end."""
HANG = Fault("hung", _hang)
"""The request is taken, goes nowhere, and is never answered."""
DROP_ANSWER = Fault("answer dropped", _drop_answer)
"""The server does what was asked, and its answer is lost."""
CUT_ANSWER = Fault("answer cut", _cut_answer)
"""As before, after the status line."""


@dataclass
class S3Proxy:
    """A running proxy. Safe for threads."""

    server: tuple[str, int]
    endpoint: str = ""
    seen: list[Exchange] = field(default_factory=list)
    """Every request, in the order of arrival."""
    ending: threading.Event = field(default_factory=threading.Event)
    ahead: timedelta = timedelta()
    """By how much the server's clock seems to be ahead of what it is."""
    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, operation: str, fault: Fault, times: float = 1) -> None:
        """Do ``fault`` to the next ``times`` requests (``math.inf``: all) of this operation (``*``: of any)."""
        with self._lock:
            self._rules.append(Rule(operation, fault, times))

    def heal(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def operations(self) -> list[tuple[str, str]]:
        """Return operation and outcome of every request so far."""
        with self._lock:
            return [(exchange.operation, exchange.outcome) for exchange in self.seen]

    def _fault(self, exchange: Exchange) -> Fault | None:
        with self._lock:
            self.seen.append(exchange)
            for rule in self._rules:
                if rule.left > 0 and rule.operation in ("*", exchange.operation):
                    rule.left -= 1
                    exchange.outcome = rule.fault.name
                    return rule.fault
        return None

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            exchange = self._read(client)
            if exchange is None:
                return
            fault = self._fault(exchange)
            if fault is not None:
                fault.apply(exchange)
            else:
                exchange.reply(exchange.ask(exchange.body()))

    def _read(self, client: socket.socket) -> Exchange | None:
        raw = b""
        while b"\r\n\r\n" not in raw:
            part = client.recv(_PIECE)
            if not part:
                return None
            raw += part
        head, _, received = raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        if re.search(rb"(?i)\r\nexpect: *100-continue", head):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        kept = [line for line in lines if not line.lower().startswith((b"expect:", b"connection:"))]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        method, target, _ = lines[0].decode().split(" ")
        return Exchange(
            self,
            client,
            b"\r\n".join([*kept, b"Connection: close", b"", b""]),
            received,
            int(length[1]) if length else 0,
            method,
            unquote(urlsplit(target).path),
            _operation(method, target),
        )


def _of_another_clock(answer: bytes, ahead: timedelta) -> bytes:
    """The same answer by a server whose clock is ahead by so much: when it answered, when an object was written."""
    if not ahead:
        return answer
    head, between, body = answer.partition(b"\r\n\r\n")

    def told(time: re.Match[bytes]) -> bytes:
        return time[1] + format_datetime(parsedate_to_datetime(time[2].decode()) + ahead, usegmt=True).encode()

    return _TIME.sub(told, head) + between + body


def _operation(method: str, target: str) -> str:
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "uploadId" in query:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return names.get(method, "ListParts")
    if "list-type" in query or parts.path.count("/") < 2:
        return "List" if method == "GET" else f"{method.title()}Bucket"
    return f"{method.title()}Object"


@contextmanager
def s3_proxy(endpoint: str) -> Iterator[S3Proxy]:
    """Run a proxy before the server at ``endpoint``, until all is closed."""
    parts = urlsplit(endpoint)
    assert parts.hostname is not None
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        proxy = S3Proxy((parts.hostname, parts.port or 80), f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not proxy.ending.is_set():
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.settimeout(_PASS_SECONDS)
                threads.append(threading.Thread(target=proxy._serve, args=(client,), daemon=True))
                threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            proxy.ending.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            deadline = time.monotonic() + 5
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
