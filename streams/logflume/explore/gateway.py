"""What queries may read: objects handed over one by one, by a read-only S3 on this machine's loopback.

G1  A key opens the objects of its pass and no others, under names that the pass gives them; without a key, with
    another, or after ``dismiss`` there is nothing. A key is 256 random bits.
G2  Nothing is written, and what is not GET, HEAD or a listing is refused.
G3  It counts what each pass has read.

The processes of queries have no keys of the store: whatever they were made to do, they can't read what another tenant
has. It also keeps small pieces of files (footers, indexes, Bloom filters) for the next query: objects never change.
What lies within the end of a file that was read for its footer, as a small file's Bloom filter does, is not read again.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import obstore
import structlog
import uvicorn
from obstore.exceptions import BaseError

from logflume.explore.engine.frames import BUCKET
from logflume.table.bucket import said
from logflume.table.store import Store

_TOKEN: Final = b"x-amz-security-token"
_RANGE: Final = re.compile(rb"bytes=([0-9]{0,18})-([0-9]{0,18})")
_PART_BYTES: Final = 8 << 20
"""Of an answer that are read from the store at once: what one request may hold in memory here."""
_PIECE_BYTES: Final = 256_000
_KEPT_BYTES: Final = 64_000_000
_AHEAD_BYTES: Final = 4 << 20
"""Of an object that is read ahead, by one request: several at once are quicker."""
_START_SECONDS: Final = 10.0

Send = Callable[[dict[str, Any]], Awaitable[None]]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Object:
    """An object of the store: its path below the store's URL, and how many bytes it has.

    ``data``: the bytes themselves, of one that is in no store; it is not counted (G3).
    """

    path: str
    size: int
    data: memoryview | None = field(default=None, repr=False)


_Reading = asyncio.Task[bytes | None]


@dataclass
class Pass:
    """What one query may read, by the names it knows, and what it has read so far."""

    objects: Mapping[str, Object]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    bytes: int = 0
    opened: set[str] = field(default_factory=set)
    lacking: str = ""
    """A path that the store did not have: the snapshot is older than a vacuum, or the table was deleted."""
    failed: str = ""
    """What the store last failed with."""
    ahead: dict[str, _Reading] = field(default_factory=dict)
    """Objects that are read whole, before the query asks for a piece of them."""


class Pieces:
    """Small pieces of objects, those used last. For one event loop."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._pieces: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._ends: dict[str, tuple[str, int, int]] = {}

    def get(self, piece: tuple[str, int, int]) -> bytes | None:
        """Return a piece (path, start, end): itself, or out of the end of its object."""
        path, start, end = piece
        if piece not in self._pieces:
            piece = self._ends.get(path, piece)
        if piece not in self._pieces or start < piece[1]:
            return None
        self._pieces.move_to_end(piece)
        return self._pieces[piece][start - piece[1] : end - piece[1]]

    def put(self, piece: tuple[str, int, int], data: bytes, *, last: bool = False) -> None:
        """Keep a piece, if it is small. ``last``: it reaches to the end of its object."""
        if len(data) > _PIECE_BYTES or piece in self._pieces:
            return
        self._pieces[piece] = data
        self._held += len(data)
        if last:
            self._ends[piece[0]] = piece
        while self._held > self._most:
            old, dropped = self._pieces.popitem(last=False)
            self._held -= len(dropped)
            if self._ends.get(old[0]) == old:
                del self._ends[old[0]]


class Gateway:
    """See G1 to G3. ``start`` and ``close`` once each, or a ``with`` block; ``admit`` and ``dismiss`` by any thread."""

    def __init__(self, store: Store) -> None:
        self._objects = store.objects
        self._passes: dict[str, Pass] = {}
        self._pieces = Pieces()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                host="127.0.0.1",
                port=0,
                http="httptools",
                loop="uvloop",
                interface="asgi3",
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                log_level="warning",  # its own words would name an address that is nobody's
                access_log=False,
                server_header=False,
                date_header=False,
            )
        )
        self._thread = threading.Thread(target=self._run, name="logflume-gateway", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self.port = 0

    def start(self) -> Gateway:
        """Listen; returns itself."""
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise RuntimeError("the gateway does not start")
        return self

    def close(self) -> None:
        """Stop listening; queries that still run fail."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(_START_SECONDS)

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def admit(self, objects: Mapping[str, Object]) -> Pass:
        """Return a new pass for ``objects``, which stands until ``dismiss``."""
        made = Pass(objects)
        self._passes[made.key] = made
        return made

    def dismiss(self, made: Pass) -> None:
        """Let a pass open nothing any more."""
        self._passes.pop(made.key, None)
        if made.ahead:
            self._loop.call_soon_threadsafe(_forget, made)

    def read_ahead(self, made: Pass) -> None:
        """Read the objects of a pass whole, at once, and hold them until ``dismiss``; before anything is read by it.

        For a query that looks for little in few files: it asks for one piece after another, and waits for each.
        """
        for object in made.objects.values():
            if object.data is None:
                self._loop.call_soon_threadsafe(self._begin, made, object)

    def _begin(self, made: Pass, object: Object) -> None:
        if made.key in self._passes:
            made.ahead[object.path] = asyncio.create_task(self._whole(object))

    async def _whole(self, object: Object) -> bytes | None:
        """An object's bytes; None when they can't be read, which who asks for a piece will find out as well."""
        pieces = [(start, min(object.size, start + _AHEAD_BYTES)) for start in range(0, object.size, _AHEAD_BYTES)]
        reading = [
            asyncio.ensure_future(obstore.get_range_async(self._objects, object.path, start=start, end=end))
            for start, end in pieces
        ]
        try:
            return b"".join(map(memoryview, await asyncio.gather(*reading)))
        except (BaseError, OSError):
            return None

    def _run(self) -> None:
        async def serve() -> None:
            serving = asyncio.create_task(self._server.serve())
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.001)
            if self._server.started:
                self._loop = asyncio.get_running_loop()
                self.port = self._server.servers[0].sockets[0].getsockname()[1]
                self._started.set()
            await serving

        import uvloop

        uvloop.run(serve())

    async def _answer(self, scope: dict[str, Any], _: object, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        made = self._passes.get(headers.get(_TOKEN, b"").decode("latin-1"))
        if made is None:
            await _send(send, 403, _error("AccessDenied", "no query has this key"))
        elif scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, _error("MethodNotAllowed", "here objects are read"))
        elif scope["path"].strip("/") == BUCKET:
            query = parse_qs(scope["query_string"].decode())
            await _send(send, 200, _listing(made, query.get("prefix", [""])[0]))
        else:
            name = scope["path"].removeprefix(f"/{BUCKET}/")
            await self._object(made, name, headers.get(b"range"), scope["method"] == "HEAD", send)

    async def _object(self, made: Pass, name: str, asked: bytes | None, head: bool, send: Send) -> None:
        object = made.objects.get(name)
        if object is None:
            await _send(send, 404, _error("NoSuchKey", name))
            return
        start, end = _span(asked, object.size)
        about = [
            (b"etag", f'"{name}"'.encode()),
            (b"last-modified", b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (b"accept-ranges", b"bytes"),
        ]
        if head:
            await _send(send, 200, b"", [*about, (b"content-length", str(object.size).encode())])
            return
        if start >= end:
            await _send(send, 416, _error("InvalidRange", f"{start}-{end} of {object.size}"))
            return
        about += [
            (b"content-range", f"bytes {start}-{end - 1}/{object.size}".encode()),
            (b"content-length", str(end - start).encode()),
        ]
        if object.data is None:
            made.opened.add(name)
        for at in range(start, end, _PART_BYTES):
            data = await self._part(made, object, at, min(end, at + _PART_BYTES))
            if at > start and (data is None or made.key not in self._passes):
                return  # in the middle of an answer nothing can be told; it ends short, and the connection with it
            if data is None:  # 400: not to be tried again here
                gone = made.lacking == object.path
                await _send(send, *((404, _error("NoSuchKey", name)) if gone else (400, _error("StoreFailed", ""))))
                return
            if at == start:
                await send({"type": "http.response.start", "status": 206 if asked else 200, "headers": about})
            await send({"type": "http.response.body", "body": data, "more_body": at + len(data) < end})

    async def _part(self, made: Pass, object: Object, start: int, end: int) -> bytes | None:
        """Read one part for a pass; None when it can't be read, which the pass then tells."""
        if object.data is not None:
            return bytes(object.data[start:end])
        try:
            data = await self._read(made, object, start, end)
        except FileNotFoundError:
            made.lacking = object.path
            return None
        except (BaseError, OSError) as error:
            made.failed = said(error)
            _log.warning("explore.store-failed", path=object.path, error=made.failed)
            return None
        made.bytes += len(data)
        return data

    async def _read(self, made: Pass, object: Object, start: int, end: int) -> bytes:
        ahead = made.ahead.get(object.path)
        if ahead is not None and (whole := await ahead) is not None:
            return whole[start:end]
        piece = (object.path, start, end)
        kept = self._pieces.get(piece)
        if kept is None:
            kept = bytes(await obstore.get_range_async(self._objects, object.path, start=start, end=end))
            self._pieces.put(piece, kept, last=end == object.size)
        return kept


def _forget(made: Pass) -> None:
    for reading in made.ahead.values():
        reading.cancel()
    made.ahead.clear()


def _span(asked: bytes | None, size: int) -> tuple[int, int]:
    """The bytes that are asked for, as start and end; all of them when no range is, or one that is not understood."""
    match = _RANGE.fullmatch(asked) if asked is not None else None
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match[1], match[2]
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)


def _listing(made: Pass, prefix: str) -> bytes:
    """All objects below a prefix in one page: a snapshot has thousands, not millions."""
    contents = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{escape(name)}"</ETag><Size>{object.size}</Size></Contents>'
        for name, object in made.objects.items()
        if name.startswith(prefix)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
        f"<Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


def _error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    headers = list(headers or [])
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
