"""What went wrong with a request, as RFC 9457 has it: ``application/problem+json``."""

from __future__ import annotations

import orjson
import structlog
from starlette.responses import Response

from logflume.errors import LogflumeError, Misconfigured, Refused, Retryable, Unconfigured
from logflume.explore.engine.engine import Gone, TooLarge, TooLong
from logflume.explore.engine.turns import Busy
from logflume.explore.snapshots import NoTable

_ASK_AGAIN = "what the records are kept in did not answer as it should; ask again soon. The server's log says more."
_log = structlog.get_logger(__name__)


class Problem(LogflumeError):
    """A request that is not answered. ``kind``: one word for programs; ``detail``: a sentence for people."""

    def __init__(self, status: int, kind: str, detail: str, *, retry_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_seconds = retry_seconds

    def content(self) -> dict[str, object]:
        """Return the members of the answer."""
        return {"type": f"urn:logflume:{self.kind}", "title": _TITLES[self.kind], "status": self.status} | {
            "detail": self.detail
        }

    def response(self) -> Response:
        """Return the answer."""
        headers = {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(orjson.dumps(self.content()), self.status, headers, media_type="application/problem+json")


_TITLES = {
    "no-token": "A token is wanted",
    "wrong-scope": "The token does not allow this",
    "wrong-origin": "Asked from elsewhere",
    "not-found": "There is no such thing",
    "not-read": "The request can't be read",
    "not-acceptable": "No such form of answer",
    "refused": "The query can't run",
    "too-long": "The query took too long",
    "too-large": "The query needs too much memory",
    "no-rows": "Nothing has come to rest there yet",
    "busy": "Too many queries wait",
    "store-failed": "The object store failed",
    "unconfigured": "There is no configuration yet",
    "precondition": "The request must say which state it changes",
    "changed": "It has changed",
    "no-record": "The request could not be recorded",
    "too-many": "Too many requests",
    "failed": "The server failed",
}


def of(error: LogflumeError) -> Problem:
    """Return the problem that an error is to whoever asked."""
    text = str(error)
    match error:
        case Problem():
            return error
        case TooLong():
            return Problem(422, "too-long", text)
        case TooLarge():
            return Problem(422, "too-large", text)
        case Refused() | Misconfigured():
            return Problem(422, "refused", text)
        case NoTable():
            return Problem(404, "no-rows", "nothing of this tenant has come to rest in this dataset yet")
        case Busy():
            return Problem(429, "busy", text, retry_seconds=2)
        case Unconfigured():
            return Problem(503, "unconfigured", "this server has no configuration yet; it will soon", retry_seconds=2)
        case Gone():
            return Problem(503, "store-failed", text, retry_seconds=0)
        case Retryable():
            _log.warning("api.store-failed", error=text)  # buckets, addresses: nothing for a tenant
            return Problem(503, "store-failed", _ASK_AGAIN, retry_seconds=2)
        case _:
            return Problem(500, "failed", "the server failed at this request; its log says how")
