"""A request's body, read and unpacked within limits of size and time.

B1  No more than ``most_sent`` bytes are received and no more than ``most_unpacked`` made of them; each is reserved
    before it is kept.
B2  A sender has ``seconds``, and a second more for every ``rate`` bytes that have come; a slower one is answered 408.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from starlette.requests import Request

from logflume.edge.http.refusal import Refusal

_CODECS: Final = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_STEP: Final = 1 << 20
_PIECE_BYTES: Final = 64
"""What a piece of a body takes beside its bytes: a sender may cut it into pieces of one byte."""

Reserve = Callable[[int], None]
"""Reserves memory, or raises ``Refusal``."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """See B1 and B2."""

    most_sent: int
    most_unpacked: int
    seconds: float
    rate: float


async def receive(request: Request, limits: BodyLimits, reserve: Reserve) -> bytes:
    """Return the body as it was sent. ``Refusal`` 400, 408, 413 or what ``reserve`` raises; ``ClientDisconnect``."""
    _check_declared(request.headers.get("content-length"), limits)
    chunks: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout_at(begun + limits.seconds) as allowed:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.most_sent:
                    raise _too_large(limits)
                reserve(len(chunk) + _PIECE_BYTES)
                chunks.append(chunk)
                allowed.reschedule(begun + limits.seconds + size / limits.rate)
    except TimeoutError:
        raise Refusal(408, f"only {size} bytes of the body came within {loop.time() - begun:.1f} s: too slow") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def codec_of(request: Request) -> str | None:
    """Return how the body is compressed: a codec of ``unpack``, or None. ``Refusal`` 415."""
    named = request.headers.get("content-encoding", "").strip().lower()
    if named in {"", "identity", "none"}:
        return None
    codec = _CODECS.get(named)
    if codec is None:
        raise Refusal(415, f"Content-Encoding {named[:40]!r} is not read here; gzip and zstd are, one at a time")
    return codec


def unpack(data: bytes, codec: str, limits: BodyLimits, reserve: Reserve) -> bytes:
    """Return ``data`` decompressed, a step at a time. ``Refusal`` 400 (torn), 413, or what ``reserve`` raises."""
    parts: list[bytes] = []
    size = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while part := stream.read(_STEP):
                size += len(part)
                if size > limits.most_unpacked:
                    raise Refusal(413, f"the body unpacks to more than {limits.most_unpacked} bytes")
                reserve(len(part))
                parts.append(part)
    except OSError as torn:
        raise Refusal(400, f"the body is no whole {codec} data: {torn}") from torn
    return b"".join(parts)


def json_weight(document: bytes) -> int:
    """Return an upper estimate of the bytes that a JSON document's values take as Python objects.

    Every value but the first stands behind a comma, a colon or an opening bracket.
    """
    containers = document.count(b"{") + document.count(b"[")
    return 120 * containers + 64 * (document.count(b",") + document.count(b":")) + len(document)


def _check_declared(length: str | None, limits: BodyLimits) -> None:
    if length is None:
        return
    if not length.isdigit():
        raise Refusal(400, "Content-Length is no number")
    if len(length) > 18 or int(length) > limits.most_sent:
        raise _too_large(limits)


def _too_large(limits: BodyLimits) -> Refusal:
    return Refusal(413, f"a body may have {limits.most_sent} bytes as it is sent; send several, or compress it")
