"""A server that answers instead of the tables: ``LOGFLUME_URL``, and the token that opens it (docs/api.md).

R1  The token goes to that address alone, and into no message.
R2  What the server says of a mistake is raised as the error that would have been raised here.
R3  A query that is not read to its end is ended there; one that is was told whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

import httpx2
import orjson
import pyarrow as pa

from logflume.errors import LogflumeError, Misconfigured, Refused, Retryable
from logflume.explore.answers import Seen
from logflume.explore.engine.engine import TooLarge, TooLong
from logflume.explore.engine.turns import Busy
from logflume.explore.live import Waiting
from logflume.explore.query import LIMIT, NoTable, Scanned
from logflume.explore.recent import Range, Why
from logflume.explore.span import ALWAYS, BEGINNING, Recent, Span
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.settings import Settings

_ARROW: Final = "application/vnd.apache.arrow.stream"
_CONNECT_SECONDS: Final = 10.0
_ASIDE_SECONDS: Final = 5.0
"""For questions about a query: how far it is, that it shall end."""
_TOKEN: Final = re.compile(r"[!-~]{1,512}")
_URN: Final = "urn:logflume:"
_ERRORS: Final[Mapping[str, Callable[[str], LogflumeError]]] = {
    "no-token": lambda text: Misconfigured(f"LOGFLUME_TOKEN: {text}"),
    "wrong-scope": lambda text: Misconfigured(f"LOGFLUME_TOKEN: {text}"),
    "not-read": Refused,
    "refused": Refused,
    "too-long": TooLong,
    "too-large": TooLarge,
    "no-rows": NoTable,
    "busy": Busy,
    "store-failed": Retryable,
    "unconfigured": Retryable,
    "too-many": Retryable,
    "no-record": Retryable,
}


class RemoteResult:
    """The answer of one query, read once, as ``explore.query.Result``. What is known at its end is asked for then."""

    def __init__(self, server: Server, response: httpx2.Response) -> None:
        self._server = server
        self._response = response
        self._rows = 0
        self.id = response.headers.get("logflume-query", "")
        self.over = False
        self._body = _Body(response)
        with server.heard():
            # Buffered: Arrow takes a read of less than it asked for as the end.
            self._reader = pa.ipc.open_stream(pa.PythonFile(io.BufferedReader(self._body), mode="r"))
        self.schema: pa.Schema = self._reader.schema

    @property
    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, as they come."""
        try:
            while True:
                try:
                    with self._server.heard():
                        batch = self._reader.read_next_batch()
                except StopIteration:
                    with self._server.heard():
                        self._body.drain()
                    break
                self._rows += batch.num_rows
                yield batch
        except Retryable:
            self.over = True  # it broke off: the server knows why
            problem = self._about.get("problem")
            raise (_error(problem) if problem else self._part()) from None
        self.over = True
        if self._about["state"] != "done" or self._about["row_count"] != self._rows:
            raise self._part()

    def read_all(self) -> pa.Table:
        """Read the whole answer."""
        return pa.Table.from_batches(list(self.batches), self.schema)

    @property
    def limit(self) -> int | None:
        """As ``explore.query.Result`` has it; known at the end."""
        found: int | None = self._about["limit"]
        return found

    @property
    def limited(self) -> bool:
        """Whether it was cut at ``limit``; known at the end."""
        return bool(self._about["limited"])

    @property
    def scanned(self) -> Scanned:
        """What was read; known at the end."""
        return Scanned(**self._about["scanned"])

    @property
    def range(self) -> Range:
        """What it is about; known at the end."""
        told = self._about["range"]
        since, until = (None if told[end] is None else datetime.fromisoformat(told[end]) for end in ("since", "until"))
        why, length = Why(told["why"]), None
        if why in (Why.RECENT, Why.ENDED) and since is not None:
            end = until or datetime.fromisoformat(self._about["began"])
            length = timedelta(seconds=round((end - since).total_seconds()))
        return Range(Span(since, until), why, length)

    @property
    def waiting(self) -> Waiting | None:
        """What was added that still waits in Kafka; known at the end."""
        told = self._about.get("live")
        return None if told is None else Waiting(told["rows"], told["bytes"], told["partial"] or "")

    @cached_property
    def _about(self) -> dict[str, Any]:
        return self._server.ask(f"/query/{self.id}")

    def _part(self) -> LogflumeError:
        return Retryable(f"the answer broke off after {self._rows:,} rows: {self._server.url} or the way to it failed")


class Server:
    """A `logflume serve`, asked by one thread; ``seen`` by another."""

    def __init__(self, settings: Settings) -> None:
        """Raises ``Misconfigured`` for an address or a token that is none."""
        self.url = settings.url.rstrip("/")
        token = settings.token.get_secret_value().strip()
        if not _TOKEN.fullmatch(token):
            wrong = "is no token" if token else "is not set"
            raise Misconfigured(
                f"LOGFLUME_URL says to ask {self.url}, and LOGFLUME_TOKEN {wrong}: "
                "`logflume token create --scope query` makes one"
            )
        try:
            address = httpx2.URL(self.url)
        except httpx2.InvalidURL:
            address = httpx2.URL("")
        if address.scheme not in ("http", "https") or not address.host or address.userinfo or address.query:
            raise Misconfigured("LOGFLUME_URL is no address such as https://logs.example:8090")
        # An answer may take its time; whether the way to it still stands is for TCP to tell.
        self._client = httpx2.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
        )
        self._asked = ""
        self._id = ""

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    @cached_property
    def _there(self) -> dict[str, Any]:
        return self.ask("/datasets")

    @property
    def tenant(self) -> str:
        """Whose token it is."""
        return str(self._there["tenant"])

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """The tenant's datasets, as far as questions need to know them."""
        return {
            told["name"]: Dataset(
                told["name"],
                tuple(Field(f["name"], FieldType(f["type"]), description=f["description"]) for f in told["fields"]),
                told["time_field"],
                told["id_field"],
                description=told["description"],
            )
            for told in self._there["datasets"]
        }

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the object that a path of the API answers with."""
        with self.heard():
            response = self._client.get(path, params=parameters)
        self._check(response)
        found: dict[str, Any] = orjson.loads(response.content)
        return found

    @contextmanager
    def query(
        self, tenant: str, sql: str, limit: int = LIMIT, span: Span | Recent = ALWAYS, *, live: bool = False
    ) -> Iterator[RemoteResult]:
        """Run one SELECT, as ``explore.query.Explorer``; ``tenant`` is the token's own. It ends with the block."""
        asked: dict[str, Any] = {"sql": sql, "limit": limit, "live": live}
        asked |= _within(span)
        self._asked, self._id = sql, ""
        with self.stream("POST", "/query", json=asked, headers={"Accept": _ARROW}) as response:
            result = RemoteResult(self, response)
            self._id = result.id
            try:
                yield result
            finally:
                if not result.over:
                    self._end(result.id)

    @contextmanager
    def stream(self, method: str, path: str, **more: Any) -> Iterator[httpx2.Response]:
        """Ask for something that comes bit by bit, until the end of the block."""
        request = self._client.build_request(method, path, **more)
        with self.heard():
            response = self._client.send(request, stream=True)
        try:
            if response.status_code >= 300:
                with self.heard():
                    response.read()
            self._check(response)
            yield response
        finally:
            response.close()

    def seen(self) -> Seen | None:
        """How far the query is that runs, or None while that is not known. For any thread."""
        with suppress(LogflumeError, httpx2.HTTPError, KeyError, ValueError):
            for about in [self._about(self._id)] if self._id else self._about("")["queries"]:
                if about["sql"] == self._asked and about["state"] in ("waiting", "running") and "scanned" in about:
                    return Seen(about["row_count"], Scanned(**about["scanned"]))
        return None

    def _about(self, id: str) -> Any:
        response = self._client.get(f"/query/{quote(id)}" if id else "/queries", timeout=_ASIDE_SECONDS)
        return orjson.loads(response.content)

    def _end(self, id: str) -> None:
        with suppress(httpx2.HTTPError):  # the connection's end will do it too
            self._client.delete(f"/query/{quote(id)}", timeout=_ASIDE_SECONDS)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """What fails on the way is told as such."""
        try:
            yield
        except httpx2.TransportError as error:
            raise Retryable(f"{self.url} can't be reached: {error or type(error).__name__}") from None
        except (httpx2.HTTPError, pa.ArrowInvalid, OSError) as error:
            raise Retryable(f"{self.url} gave no answer that can be read: {error}") from None

    def _check(self, response: httpx2.Response) -> None:
        """Raise the error that an answer tells of."""
        if response.status_code < 300:
            return
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            with suppress(orjson.JSONDecodeError, AttributeError, TypeError):
                raise _error(orjson.loads(response.content))
        raise Retryable(f"{self.url} answered {response.status_code}, and not as `logflume serve` does")


class _Body(io.RawIOBase):
    """The bytes of an answer, to be read like a file."""

    def __init__(self, response: httpx2.Response) -> None:
        self._parts = response.iter_bytes()
        self._held = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as there is something."""
        while not self._held:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._held = memoryview(part)
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size

    def drain(self) -> None:
        """Read on to the end: only there it is certain that nothing broke off."""
        for _ in self._parts:
            pass


def _within(span: Span | Recent) -> dict[str, str]:
    """Spell a time range for the server, which has its own word for what is recent."""
    if isinstance(span, Recent):
        return {}
    ends = {name: at.isoformat() for name, at in (("since", span.since), ("until", span.until)) if at is not None}
    return ends or {"since": BEGINNING}


def _error(problem: Mapping[str, Any]) -> LogflumeError:
    kind, text = str(problem.get("type", "")).removeprefix(_URN), str(problem.get("detail", "no reason was given"))
    return _ERRORS.get(kind, LogflumeError)(text)


@contextmanager
def opened(settings: Settings) -> Iterator[Server]:
    """Give the server that ``LOGFLUME_URL`` names, until the end of the block."""
    server = Server(settings)
    try:
        yield server
    finally:
        server.close()
