"""``GET /tail``: rows as they are sorted, as Server-Sent Events (HTML standard, 9.2).

TA1 A row is one event; its ``id`` are its coordinates. What was not sent is told in its place: ``event: lost``.
TA2 It ends within seconds when the token does, and at once when the client goes, or does not read for a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logflume.api import coordinates, forms, problem, question
from logflume.api.caller import Caller
from logflume.api.coordinates import Coordinates
from logflume.api.described import COORDINATES, FREE_TEXT, TEXT, WHERE, Parameter, described, ref
from logflume.api.problem import Problem
from logflume.api.session import CALLER, Sessions, allowed
from logflume.clock import Clock
from logflume.config import Source
from logflume.errors import LogflumeError
from logflume.explore.match import Match
from logflume.explore.tail.follower import Follower, Lost, Wants
from logflume.explore.tail.hub import Hub
from logflume.model.dataset import Dataset
from logflume.settings import Settings

MEDIA: Final = "text/event-stream"
_ROWS: Final = 100
"""Of one piece: what the event loop spells before it turns to others."""
_BEAT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_UNREAD_SECONDS: Final = 60.0
_AGAIN_MS: Final = 2_000


class Tails:
    """The endpoint. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        datasets: Mapping[str, Dataset],
        source: Source,
        sessions: Sessions,
        hub: Hub | None,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._datasets = datasets
        self._source = source
        self._sessions = sessions
        self._hub = hub
        self._clock = clock

    @described(
        "Rows as they come",
        parameters=(
            Parameter("dataset", ref("DatasetName"), required=True),
            *(WHERE, FREE_TEXT),
            Parameter("sample", {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "The share that is sent."),
            Parameter("Last-Event-ID", COORDINATES.schema, "The record behind which to go on.", at="header"),
        ),
        answers={200: TEXT},
        media=MEDIA,
        problems=(404, 422),
    )
    async def follow(self, request: Request, who: Caller) -> Response:
        """Begin at the end; or behind the record that ``Last-Event-ID`` names, while it is still known."""
        asked = question.parameters(request, {"dataset", "where", "q", "sample"})
        dataset = question.named(self._datasets, asked.get("dataset", ""))
        question.condition(asked, dataset)
        wants = Wants(
            Match(asked.get("where"), asked.get("q", ""), dataset),
            _share(asked.get("sample", "1")),
            self._settings.explore_tail_rows_a_second,
            int(self._settings.explore_tail_bytes),
        )
        last = request.headers.get("last-event-id", "")
        after = coordinates.read(last) if last else None
        if self._hub is None:
            raise Problem(503, "unconfigured", "this server has no Kafka to follow", retry_seconds=60)
        loop, there = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(there.set)

        follower = Follower(who.tenant, dataset.name, wants, wake)
        at = (after.topic, after.partition, after.offset, after.row) if after else None
        await asyncio.to_thread(self._hub.follow, follower, at)

        def why_not() -> str:
            """Why the caller may follow no longer, or nothing."""
            try:
                self._still(request, who)
            except LogflumeError as error:
                return problem.of(error).detail
            return ""

        return _Events(self._hub, follower, there, why_not)

    def _still(self, request: Request, who: Caller) -> None:
        """Ask for the caller's token as if it came now. Of one who was known before (``CALLER``) only its id is known.

        Raises ``Problem``, ``Unconfigured``.
        """
        allowed(self._source.current().holder_by_id(who.token, self._clock.now_ns()))
        if CALLER not in request.scope:
            self._sessions.caller(request)


class _Events(Response):
    """See TA1 and TA2."""

    media_type = MEDIA

    def __init__(self, hub: Hub, follower: Follower, there: asyncio.Event, why_not: Callable[[], str]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._follower = follower
        self._there = there
        self._why_not = why_not

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        events = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({events, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (events, leaving):
                task.cancel()
            await asyncio.gather(events, leaving, return_exceptions=True)
            await asyncio.to_thread(self._hub.leave, self._follower)

    async def _send(self, send: Send) -> None:
        async def write(data: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(_UNREAD_SECONDS):
                await send({"type": "http.response.body", "body": data, "more_body": more})

        clock = asyncio.get_running_loop().time
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await write(b": follows\nretry: %d\n\n" % _AGAIN_MS)
        looked = beaten = clock()
        while not self._follower.ended:
            self._there.clear()
            while (found := self._follower.take()) is not None:
                for piece in _spelt(found):
                    await write(piece)
                beaten = clock()
                if clock() > looked + _LOOK_SECONDS:
                    break
            if clock() > looked + _LOOK_SECONDS:
                looked = clock()
                if why := self._why_not():
                    self._follower.end(why)
            if clock() > beaten + _BEAT_SECONDS:
                beaten = clock()
                await write(b":\n\n")
            if found is None and not self._follower.ended:
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._there.wait()
                except TimeoutError:
                    pass
        await write(_event("end", {"detail": self._follower.ended}), more=False)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _spelt(found: pa.Table | Lost) -> Iterator[bytes]:
    if isinstance(found, Lost):
        yield _event("lost", {"rows": found.rows, "detail": found.why})
        return
    for start in range(0, found.num_rows, _ROWS):
        yield b"".join(_row(record) for record in records(found.slice(start, _ROWS)))


def records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield each row as an object of the fields that it has."""
    for batch in rows.to_batches():
        for record in forms.records(batch, batch.schema.names):
            yield {name: value for name, value in record.items() if value is not None}


def _row(record: Mapping[str, Any]) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (str(Coordinates.of(record)).encode(), forms.text(record))


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise Problem(400, "not-read", "sample is a number above 0, and at most 1: the share of rows that is sent")
    return share
