"""An S3 server that takes ``If-None-Match`` and ignores it, as some real ones do, and reads as slowly as it is told."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    pace: float

    def do_PUT(self) -> None:
        left, parts = int(self.headers.get("Content-Length", 0)), []
        while left:
            parts.append(self.rfile.read(min(left, 64 << 10)))
            left -= len(parts[-1])
            time.sleep(len(parts[-1]) / self.pace)
        self.objects[self.path] = b"".join(parts)
        self._answer(200, ETag='"etag"')

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204)

    def do_POST(self) -> None:
        """DeleteObjects."""
        keys = re.findall(rb"<Key>.*?</Key>", self.rfile.read(int(self.headers.get("Content-Length", 0))))
        deleted = b"".join(b"<Deleted>%s</Deleted>" % key for key in keys)
        self._answer(200, b"<DeleteResult>%s</DeleteResult>" % deleted)

    def do_HEAD(self) -> None:
        self._answer(200 if self.path in self.objects else 404)

    def do_GET(self) -> None:
        self._answer(404)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def careless_store(bytes_per_second: float = math.inf) -> Iterator[str]:
    """Run the server; gives its endpoint."""
    handler = type("Handler", (_Handler,), {"objects": {}, "pace": bytes_per_second})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
