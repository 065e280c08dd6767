"""Pages whose parts come as they are ready: one answer, with which its queries begin and end.

The frame goes out first. Each part has a slot in it that says what it waits for, and fills the slot when it comes, in
whatever order (HTML standard, declarative shadow roots): it needs no script. A part that fails says so in its place.
Whoever leaves the page ends its queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from starlette.responses import StreamingResponse

from logflume.api import problem
from logflume.errors import LogflumeError
from logflume.page.asking import Failed, Watch
from logflume.page.html import render

_AT_ONCE_SECONDS: Final = 0.4
"""What is ready by then comes with the frame, without ever saying that it waits."""
_SLOTS: Final = "<!--slots-->"
_PARTS: Final = "<!--parts-->"
_log = structlog.get_logger(__name__)


@dataclass
class Part:
    """One part: its slot, what people call it, and what makes its HTML while its queries are watched."""

    slot: str
    title: str
    make: Callable[[Watch], Awaitable[str]]
    watch: Watch = field(default_factory=Watch)


def response(frame: str, parts: Sequence[Part], status: int = 200) -> StreamingResponse:
    """Return a page; ``frame`` is its HTML, with the two marks where the slots and the parts go."""
    return StreamingResponse(_stream(frame, parts), status, media_type="text/html")


async def _stream(frame: str, parts: Sequence[Part]) -> AsyncIterator[str]:
    head, slots, rest = frame.partition(_SLOTS)
    assert slots
    middle, marks, tail = rest.partition(_PARTS)
    assert marks
    tasks = {asyncio.create_task(_made(part)): part for part in parts}
    try:
        done = (await asyncio.wait(tasks, timeout=_AT_ONCE_SECONDS))[0] if tasks else set()
        waiting = [(part, part.watch.queries[0].id if part.watch.queries else "") for part in tasks.values()]
        yield head + render("slots.html", waiting=waiting) + middle
        left = set(tasks)
        while left:
            for task in done:
                yield task.result()
            left -= done
            if left:
                done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        yield tail
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _made(part: Part) -> str:
    try:
        content = await part.make(part.watch)
    except LogflumeError as error:
        content = failed(error, part.title)
    except Exception:  # the outermost of a part
        _log.exception("page.failed", part=part.slot)
        content = failed(Failed(500, b""), part.title)
    return render("part.html", part=part, content=content)


def failed(error: LogflumeError, title: str) -> str:
    """Return what is shown instead of something that failed."""
    told = error if isinstance(error, Failed) else Failed.of(problem.of(error))
    return render("failed.html", error=told, title=title)
