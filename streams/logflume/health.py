"""A worker's own small HTTP server: ``/metrics`` for Prometheus, ``/live`` and ``/ready`` for whoever runs it.

H1  A connection lasts ``_CLIENT_SECONDS`` at most, its TLS handshake included, however it drips and whatever it does
    not read; it has one request without a body.
H2  Of more than ``_MOST_CONNECTIONS`` the oldest is cut off: who holds many can't keep a probe from its answer. A burst
    waits its turn.
H3  With a certificate it speaks TLS alone.
H4  A request's head has ``_HEAD_BYTES`` at most, and a hundred fields; else 431.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from logflume import metrics
from logflume.errors import Misconfigured
from logflume.settings import Settings

Check = Callable[[], str | None]
"""Returns why the worker is not live (or ready), or None when it is; called from another thread, must not block."""

_CLIENT_SECONDS = 10.0
_MOST_CONNECTIONS = 32
"""Each is a thread; a worker is asked by a Prometheus or two, and by whoever runs it."""
_HEAD_BYTES = 32_000
"""Python's server alone would take 6 MB of each."""
_log = structlog.get_logger(__name__)


class Server:
    """The running server. ``address`` is ``host:port`` as bound; ``close`` frees the port and may be called again."""

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self._http = http
        host, port = http.server_address[:2]
        self.address = f"{host!s}:{port}"
        # poll_interval bounds how long close() takes
        self._thread = threading.Thread(target=http.serve_forever, args=(0.1,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def serve(settings: Settings, live: Check, ready: Check) -> Server:
    """Serve in a thread of its own until closed. Port 0 takes any free one (``address`` tells).

    ``/live`` and ``/ready`` answer 200, or 503 with the reason as text. ``Misconfigured``: the port is taken, or the
    certificate won't do.
    """
    host, port, tls = settings.http_host, settings.http_port, _tls(settings.http_certificate, settings.http_key)
    checks = {"/live": live, "/ready": ready}

    class Handler(_Handler):
        def answer(self, path: str) -> tuple[int, str, bytes]:
            return _answer(path, checks)

    try:
        return Server(_Http((host, port), Handler, tls))
    except (OSError, OverflowError) as error:
        raise Misconfigured(
            f"http_host, http_port: cannot listen on {host}:{port}: {error}. "
            f"Give each worker of a host a LOGFLUME_HTTP_PORT of its own, or 0 for none."
        ) from error


def _tls(certificate: str, key: str) -> ssl.SSLContext | None:
    if not certificate and not key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"http_certificate, http_key: {certificate}, {key}: {error}") from None
    return context


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # With the library's 5 the others of a burst ask again, after a second or more.
    request_queue_size = 2 * _MOST_CONNECTIONS

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, handler)
        if tls:  # each connection's thread shakes hands: who is slow at it holds up nobody
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection (H2)."""
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _cut(oldest)
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Look now and then for connections whose time is over (H1)."""
        over = time.monotonic() - _CLIENT_SECONDS
        with self._lock:
            for connection, since in self._open.items():
                if since <= over:
                    _cut(connection)

    def shutdown_request(self, request: Any) -> None:
        """A connection is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is no event of ours."""
        _log.debug("health request broke off", client=client_address, exc_info=True)


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread uses: it sees its end. Below TLS, whose state is that thread's."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _answer(path: str, checks: dict[str, Check]) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    text = "text/plain; charset=utf-8"
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest(metrics.REGISTRY)
    if path not in checks:
        return 404, text, b"here are /metrics, /live and /ready\n"
    try:
        reason = checks[path]()
    except Exception as error:  # a check that fails is itself the reason; the probe must get an answer
        _log.exception("health check failed", path=path)
        reason = f"the check itself failed: {error}"
    return (200, text, b"ok\n") if reason is None else (503, text, f"{reason}\n".encode())


class _Head:
    """Lines of a client, which end where a head must (H4)."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.left = _HEAD_BYTES
        self.close = file.close

    def readline(self, size: int) -> bytes:
        line = self._file.readline(min(size, self.left))
        self.left -= len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS

    def version_string(self) -> str:
        """Name no versions."""
        return "logflume"

    def setup(self) -> None:
        super().setup()
        self._head = _Head(self.rfile)
        self.rfile = cast(BufferedIOBase, self._head)

    def parse_request(self) -> bool:
        """Read the head (H4)."""
        if not super().parse_request():
            return False
        if self._head.left <= 0:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        return True

    def answer(self, path: str) -> tuple[int, str, bytes]:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def _respond(self, *, with_body: bool) -> None:
        status, kind, body = self.answer(urlsplit(self.path).path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a probe asks every few seconds."""
