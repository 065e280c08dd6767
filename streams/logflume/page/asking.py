"""Requests to the API from within the process, on behalf of somebody whose session was checked.

The page has no other way to the data: what it shows, any client of the API could. A request that is given up, because
the browser has gone away or its task is cancelled, ends its query as any other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from logflume.api.app import PREFIX
from logflume.api.caller import Caller
from logflume.api.problem import Problem
from logflume.api.register import Query
from logflume.api.running import QUERIES
from logflume.api.session import CALLER
from logflume.errors import LogflumeError

_KEPT_HEADERS = (b"host", b"user-agent", b"x-forwarded-for", b"forwarded")
_AHEAD = 8  # parts of an answer that wait for whoever reads it


_MOST_BYTES = 32_000_000
"""Of an answer that is shown: it is held whole, and becomes a page."""


class Failed(LogflumeError):
    """The API's answer is a problem: its ``status``, ``kind``, ``title`` and ``detail``."""

    @classmethod
    def of(cls, problem: Problem) -> Failed:
        """Return a problem of our own, as if the API had told it."""
        return cls(problem.status, orjson.dumps(problem.content()))

    def __init__(self, status: int, body: bytes) -> None:
        try:
            told = dict(orjson.loads(body))
        except (ValueError, TypeError):
            told = {}
        self.status = status
        self.kind = str(told.get("type", "failed")).rpartition(":")[2]
        self.title = str(told.get("title") or "The server failed")
        self.detail = str(told.get("detail") or "it gave no reason")
        super().__init__(self.detail)


@dataclass
class Watch:
    """The queries of one request, as they begin."""

    queries: list[Query] = field(default_factory=list)


class Asking:
    """Asks the API for one caller, while his request lasts."""

    def __init__(self, api: ASGIApp, request: Request, who: Caller) -> None:
        self._api = api
        self._request = request
        self._who = who

    async def get(self, path: str, watch: Watch | None = None, **parameters: Any) -> Any:
        """Return the JSON that is at a path; ``None`` and empty parameters are left out. Raises ``Failed``."""
        return orjson.loads((await self._whole("GET", path, parameters, watch=watch))[1] or b"null")

    async def send(
        self, method: str, path: str, content: Any = None, watch: Watch | None = None, **headers: str
    ) -> tuple[Mapping[str, str], Any]:
        """Send JSON, and return the headers and the JSON of the answer. Raises ``Failed``."""
        body = b"" if content is None else orjson.dumps(content)
        found, answer = await self._whole(method, path, {}, body, headers, watch)
        return found, orjson.loads(answer or b"null")

    async def query(self, question: Mapping[str, Any], watch: Watch | None = None) -> Any:
        """Return the whole answer of ``POST /query``. Raises ``Failed``."""
        return (await self.send("POST", "/query", question, watch))[1]

    @contextlib.asynccontextmanager
    async def streamed(self, question: Mapping[str, Any], accept: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the parts of an answer as they come. Raises ``Failed`` before the first; a broken answer raises then."""
        exchange = _Exchange(self._request)
        headers = {"accept": accept, "content-type": "application/json"}
        scope = self._scope("POST", "/query", {}, headers, None)
        task = asyncio.create_task(exchange.run(self._api, scope, orjson.dumps(dict(question))))
        try:
            status = await exchange.begun()
            if status >= 400:
                raise Failed(status, b"".join([part async for part in exchange.parts()]))
            yield exchange.parts()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _whole(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        watch: Watch | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        exchange = _Exchange(self._request)
        sent = {"accept": "application/json", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        task = asyncio.create_task(exchange.run(self._api, self._scope(method, path, parameters, sent, watch), body))
        try:
            status = await exchange.begun()
            answer = await _joined(exchange.parts())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if status >= 400:
            raise Failed(status, answer)
        return exchange.headers, answer

    def _scope(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any],
        headers: Mapping[str, str],
        watch: Watch | None,
    ) -> dict[str, Any]:
        said = {name: value for name, value in parameters.items() if value not in (None, "")}
        asked = urlencode(said, quote_via=quote)
        kept = [(name, value) for name, value in self._request.scope["headers"] if name in _KEPT_HEADERS]
        own = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = self._request.scope
        return {
            "type": "http",
            "asgi": scope["asgi"],
            "http_version": scope["http_version"],
            "method": method,
            "scheme": scope["scheme"],
            "path": PREFIX + path,
            "raw_path": quote(PREFIX + path).encode(),
            "root_path": "",
            "query_string": asked.encode(),
            "headers": kept + own,
            "client": scope.get("client"),
            "server": scope.get("server"),
            CALLER: self._who,
            QUERIES: None if watch is None else watch.queries,
        }


class _Exchange:
    """One request and its answer, between two applications."""

    def __init__(self, outer: Request) -> None:
        self._outer = outer
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._failure: Exception | None = None
        self.headers: dict[str, str] = {}

    async def run(self, api: ASGIApp, scope: dict[str, Any], body: bytes) -> None:
        """Have the request answered."""
        unsent: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if unsent:
                return unsent.pop()
            while (message := await self._outer.receive())["type"] != "http.disconnect":
                pass
            return message

        try:
            await api(scope, receive, self._take)
        except Exception as error:  # raised again where the answer is read
            self._failure = error
        if not self._status.done():
            self._status.set_result(500)
        await self._parts.put(None)

    async def begun(self) -> int:
        """Return the status, when it is known."""
        return await self._status

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body's parts; raises what broke it off."""
        while (part := await self._parts.get()) is not None:
            yield part
        if self._failure is not None:
            raise self._failure

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            self._status.set_result(message["status"])
        elif message.get("body"):
            await self._parts.put(message["body"])


async def _joined(parts: AsyncIterator[bytes]) -> bytes:
    found, size = [], 0
    async for part in parts:
        found.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            told = f"the answer has more than {_MOST_BYTES // 1_000_000} MB, too much to be shown; export it"
            raise Failed.of(Problem(422, "too-large", told))
    return b"".join(found)
