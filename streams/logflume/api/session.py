"""Who asks: by a token, or by a session, a signed cookie that stands for a token for as long as that is one.

SE1  A session opens what its token opens, and nothing once that has expired, was revoked or changed its secret.
SE2  Whoever has not the key makes no session, and lengthens none.
SE3  A session that a cookie shows changes nothing on behalf of a page from elsewhere (see ``check_origin``).

The cookie has the token's id and the session's end; the signature covers them and the token's hash. The token itself is
in no cookie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from logflume.api.caller import Caller, Denied
from logflume.api.problem import Problem
from logflume.clock import Clock
from logflume.config import Source
from logflume.model.tenant import Holder
from logflume.model.token import Scope
from logflume.settings import Settings

CALLER: Final = "logflume.caller"
"""In an ASGI scope: who asks, as somebody in this process found out already. No request from outside can have it."""
COOKIE: Final = "logflume_session"
_LONGEST: Final = 512
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_KEY_BYTES: Final = 32

_log = structlog.get_logger(__name__)


class Sessions:
    """See SE1 to SE3."""

    def __init__(self, settings: Settings, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._seconds = int(settings.serve_session_hours * 3600)
        self._url = settings.serve_url.rstrip("/")
        self._secure = self._url.startswith("https:") or bool(settings.serve_certificate)
        given = settings.serve_session_key.get_secret_value()
        if not given:
            _log.info("session.random-key", hint="serve_session_key: sessions end with this process, and are its alone")
        self._key = hashlib.sha256(given.encode()).digest() if given else secrets.token_bytes(_KEY_BYTES)

    def caller(self, request: Request) -> Caller:
        """Return who asks, by ``Authorization: Bearer``, else by a session's cookie.

        Raises ``Problem`` 401 and 403; ``Unconfigured``.
        """
        known = request.scope.get(CALLER)
        if isinstance(known, Caller):
            return known
        shown = request.headers.get("authorization", "").strip()
        if not shown and (holder := self.holder(request)) is not None:
            self.check_origin(request)
            return Caller(holder.tenant, holder.token.id)
        scheme, _, text = shown.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Problem(401, "no-token", "a token is wanted: Authorization: Bearer lf_…")
        holder = self.holder_of_token(text.strip())
        return Caller(holder.tenant, holder.token.id)

    def holder_of_token(self, text: str) -> Holder:
        """Return whose token this is, if it allows to search. ``Problem`` 401 and 403; ``Unconfigured``."""
        found = self._source.current().holder(text, self._clock.now_ns()) if len(text) <= _LONGEST else None
        return allowed(found)

    def datasets(self, tenant: str) -> Collection[str]:
        """Return the names of what a tenant keeps."""
        return self._source.current().tenants[tenant].datasets.keys()

    def begin(self, holder: Holder, response: Response) -> None:
        """Have the response begin a session."""
        end = self._clock.now_ns() // 1_000_000_000 + self._seconds
        value = f"{holder.token.id}.{end}.{self._signature(holder, end)}"
        response.set_cookie(
            COOKIE, value, max_age=self._seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def end(self, response: Response) -> None:
        """Have the response end the session."""
        response.delete_cookie(COOKIE, path="/", secure=self._secure, httponly=True, samesite="lax")

    def holder(self, request: Request) -> Holder | None:
        """Return whose session a request's cookie shows; None when it shows none that holds (any more).

        ``Problem`` 403 when its token does not allow to search, ``Unconfigured``.
        """
        cookie = request.cookies.get(COOKIE, "")
        id, _, rest = cookie.partition(".")
        end, _, signature = rest.partition(".")
        if not signature or len(cookie) > _LONGEST or not (end.isascii() and end.isdigit() and len(end) < 12):
            return None
        now_ns = self._clock.now_ns()
        found = self._source.current().holder_by_id(id, now_ns)
        if found is None or int(end) * 1_000_000_000 <= now_ns:
            return None
        if not hmac.compare_digest(signature.encode(), self._signature(found, int(end)).encode()):
            return None
        return allowed(found)

    def check_origin(self, request: Request) -> None:
        """Refuse what another site's page asks for by our cookie: ``Problem`` 403.

        Reading is open to links from elsewhere. Whatever changes something must say that it comes from here, as every
        browser does (Fetch standard: ``Sec-Fetch-Site``, ``Origin``).
        """
        if request.method in _SAFE:
            return
        site = request.headers.get("sec-fetch-site")
        here = self._url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        if (site != "same-origin") if site is not None else (request.headers.get("origin") != here):
            raise Problem(403, "wrong-origin", "this was asked by a page from elsewhere; show a token to do it")

    def _signature(self, holder: Holder, end: int) -> str:
        message = f"logflume session\0{holder.token.id}\0{end}\0{holder.token.sha256}".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).decode().rstrip("=")


def allowed(holder: Holder | None) -> Holder:
    """Return a holder who may search. ``Problem`` 401 for nobody; ``Denied`` for a token without the scope."""
    if holder is None:
        raise Problem(401, "no-token", "this token is no tenant's, or has expired")
    if not holder.may(Scope.QUERY):
        has = ", ".join(sorted(holder.token.scopes))
        raise Denied(Caller(holder.tenant, holder.token.id), f"this token lacks the scope {Scope.QUERY}; it has: {has}")
    return holder
