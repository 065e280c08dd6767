"""Answers as files."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from logflume.api.problem import Problem
from logflume.page.here import NO_STORE, Here

FORMATS: Final = {
    "csv": ("text/csv", "csv"),
    "ndjson": ("application/x-ndjson", "ndjson"),
    "json": ("application/json", "json"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "arrow": ("application/vnd.apache.arrow.stream", "arrows"),
}


async def download(here: Here, question: Mapping[str, Any], format: str, name: str) -> Response:
    """Return the answer to a question as a file; one that breaks off is no whole file to the browser either."""
    if format not in FORMATS:
        raise Problem(400, "not-read", f"format: {format!r:.40} is none of {', '.join(FORMATS)}")
    media, ending = FORMATS[format]
    stack = contextlib.AsyncExitStack()
    parts = await stack.enter_async_context(here.ask.streamed(question, media))

    async def sent() -> AsyncIterator[bytes]:
        async with stack:
            async for part in parts:
                yield part

    file = f"{here.tenant}-{name}-{here.now:%Y%m%dT%H%M%SZ}.{ending}"
    headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{file}"'}
    return _Ending(stack, sent(), media_type=media, headers=headers)


class _Ending(StreamingResponse):
    """Ends the question also when nobody ever read the answer."""

    def __init__(self, stack: contextlib.AsyncExitStack, *content: Any, **about: Any) -> None:
        super().__init__(*content, **about)
        self._stack = stack

    async def __call__(self, *scope: Any) -> None:
        try:
            await super().__call__(*scope)
        finally:
            await self._stack.aclose()
