"""Why a request is not taken: a status, a sentence for people, and when to try again."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from starlette.responses import Response

from logflume.edge.http.portion import LineError
from logflume.errors import LogflumeError
from logflume.model import Scope

RETRY_SECONDS = 2
"""What ``Retry-After`` says when memory is full: a block lingers 0.2 s and Kafka acknowledges in far less."""


class Refusal(LogflumeError):
    """Nothing of the request was taken, unless the detail says otherwise.

    ``status`` is HTTP's; ``retry_seconds`` goes into ``Retry-After``. Statuses that the edge uses by itself: 400 (can't
    be read), 401 (no token, an unknown or expired one), 403 (the tenant does not want that dataset, the token
    lacks the scope), 404 (no such dataset or path), 408
    (too slow), 413 (too large), 415 (unknown type or encoding), 422 (refused as a whole), 503 (full, or Kafka away).
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_seconds: int | None = None,
        errors: tuple[LineError, ...] = (),
        in_doubt: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_seconds = retry_seconds
        self.errors = errors
        """The bad records for which all were refused."""
        self.in_doubt = in_doubt
        """Whether records may have been taken all the same."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to this status, whatever the protocol."""
        found = {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        if self.status == 415:
            found["Accept-Encoding"] = "gzip, zstd"
        return found


class LacksScope(Refusal):
    """403: the token is the tenant's, and allows other things than this."""

    def __init__(self, scope: Scope, has: Iterable[Scope]) -> None:
        super().__init__(403, f"this token lacks the scope {scope}; it has: {', '.join(sorted(has))}")


def busy(detail: str) -> Refusal:
    """503: the same request may do in a moment."""
    return Refusal(503, detail, retry_seconds=RETRY_SECONDS)


def as_json(refusal: Refusal) -> Response:
    """``{"error": …}``, as our own protocol has it."""
    return json_response(refusal.status, {"error": refusal.detail}, refusal.headers)


def json_response(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    """A response with ``content`` as JSON."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
