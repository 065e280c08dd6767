"""An S3 server that takes ``If-None-Match`` and ignores it, as some real ones do, and reads as slowly as it is told.

It knows PUT, HEAD, DELETE and multipart uploads.
"""

from __future__ import annotations

import math
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    uploads: dict[str, dict[int, bytes]]
    pace: float

    def do_PUT(self) -> None:
        left, parts = int(self.headers.get("Content-Length", 0)), []
        while left:
            parts.append(self.rfile.read(min(left, 64 << 10)))
            if not parts[-1]:
                return  # the client is gone, and only a part came
            left -= len(parts[-1])
            time.sleep(len(parts[-1]) / self.pace)
        query = parse_qs(urlsplit(self.path).query)
        if "uploadId" in query:
            self.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = b"".join(parts)
        else:
            self.objects[self.path] = b"".join(parts)
        self._answer(200, ETag='"etag"')

    def do_DELETE(self) -> None:
        upload = parse_qs(urlsplit(self.path).query).get("uploadId")
        if upload:
            self.uploads.pop(upload[0], None)
        else:
            self.objects.pop(self.path, None)
        self._answer(204)

    def do_POST(self) -> None:
        """CreateMultipartUpload, CompleteMultipartUpload, DeleteObjects."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urlsplit(self.path)
        query = parse_qs(address.query, keep_blank_values=True)
        if "uploads" in query:
            upload = secrets.token_hex(8)
            self.uploads[upload] = {}
            return self._answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        if "uploadId" in query:
            parts = self.uploads.pop(query["uploadId"][0])
            self.objects[address.path] = b"".join(parts[number] for number in sorted(parts))
            return self._answer(200, b"<R><ETag>etag</ETag></R>")
        keys = re.findall(rb"<Key>.*?</Key>", body)
        deleted = b"".join(b"<Deleted>%s</Deleted>" % key for key in keys)
        return self._answer(200, b"<DeleteResult>%s</DeleteResult>" % deleted)

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


class Endpoint(str):
    """The server's address, which also shows what it holds."""

    objects: dict[str, bytes]
    uploads: dict[str, dict[int, bytes]]

    def below(self, prefix: str) -> dict[str, bytes]:
        """The objects below ``/bucket/prefix/``, by name."""
        found = {unquote(path): data for path, data in self.objects.items()}
        return {path.removeprefix(prefix): data for path, data in found.items() if path.startswith(prefix)}


@contextmanager
def careless_store(bytes_per_second: float = math.inf) -> Iterator[Endpoint]:
    """Run the server; gives its endpoint."""
    held: dict[str, dict[str, Any]] = {"objects": {}, "uploads": {}}
    handler = type("Handler", (_Handler,), {**held, "pace": bytes_per_second})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}")
        endpoint.objects, endpoint.uploads = held["objects"], held["uploads"]
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
