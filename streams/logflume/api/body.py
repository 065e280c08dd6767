"""A request's body: bounded in bytes and in time, so that nobody holds a connection by dripping one."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request

from logflume.api.problem import Problem

SECONDS: Final = 10.0
"""How long a body may take: a megabyte at 100 kB a second."""


async def whole(request: Request, most_bytes: int, what: str) -> bytes:
    """Return the body. ``Problem`` 413 as soon as it is too large, 408 when it does not come to its end in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise Problem(413, "not-read", f"{what} has at most {most_bytes} bytes")
    except TimeoutError:
        raise Problem(408, "not-read", f"{what} must be whole within {SECONDS:g} s") from None
    return bytes(body)
