"""The page's addresses, who may see them, and what every answer says to browsers.

P1  Without a session there is a form to sign in and nothing else.
P2  Nothing is changed by a request from another site's page (``Sessions.check_origin``).
P3  A browser runs no script and loads nothing that does not come from here, whatever a record has in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logflume.api import problem
from logflume.api.app import Api
from logflume.api.caller import Caller
from logflume.api.problem import Problem
from logflume.api.session import COOKIE
from logflume.errors import LogflumeError
from logflume.page import explore, home, queries, records, sql, tail
from logflume.page.asking import Asking, Failed
from logflume.page.forms import form
from logflume.page.here import Endpoint, Here
from logflume.page.html import render

THEMES: Final = ("auto", "light", "dark")
_THEME: Final = "logflume_theme"
_APIS: Final = ("/api/", "/client/")
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms would say that they come from nowhere
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_log = structlog.get_logger(__name__)


def front(api: Api) -> ASGIApp:
    """Return the page with the API behind it, as one application."""
    return _Front(api.application(), Page(api))


class _Front:
    """Hands what is the API's on to it, and has every answer say P3."""

    def __init__(self, api: ASGIApp, page: Page) -> None:
        self._api = api
        self._page = page.application(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        theirs = scope["type"] == "http" and scope["path"].startswith(_APIS)
        await (self._api if theirs else self._page)(scope, receive, sent)


class Page:
    """See P1 to P3. For one event loop."""

    def __init__(self, api: Api) -> None:
        self._sessions = api.sessions
        self._holder = api.holder
        self._datasets = api.datasets
        self._clock = api.clock
        self._api: ASGIApp | None = None

    def application(self, api: ASGIApp) -> Starlette:
        """Return the ASGI application; ``api`` is asked for everything that it shows."""
        self._api = api
        get, post = partial(self._route, method="GET"), partial(self._route, method="POST")
        routes = [
            Route("/sign-in", self._sign_in_form, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", partial(self._open, self._sign_out), methods=["POST"]),
            Route("/theme", partial(self._open, self._theme), methods=["POST"]),
            Mount("/static", _Static(directory=Path(__file__).parent / "static")),
            get("/", home.home),
            get("/usage", home.usage),
            get("/find", records.find),
            get("/sql", sql.sql),
            get("/sql/words", sql.words),
            get("/sql/export", sql.export),
            get("/queries", queries.queries),
            post("/queries/{id}/cancel", queries.cancel),
            post("/saved", queries.save),
            post("/saved/{name}/delete", queries.delete),
            get("/explore/{dataset}", explore.explore),
            get("/explore/{dataset}/export", explore.export),
            get("/explore/{dataset}/values/{field}", explore.values),
            get("/explore/{dataset}/tail", tail.tail),
            get("/explore/{dataset}/records/{coordinates}", records.record),
            get("/explore/{dataset}/records/{coordinates}/whole", records.whole),
            get("/explore/{dataset}/around/{coordinates}", records.around),
        ]
        return Starlette(routes=routes, exception_handlers={404: self._no_path, 405: self._no_path})

    def _route(self, path: str, endpoint: Endpoint, method: str) -> Route:
        return Route(path, partial(self._serve, endpoint), methods=[method])

    async def _serve(self, endpoint: Endpoint, request: Request) -> Response:
        here = self._here(request, None, "")
        try:
            holder = self._sessions.holder(request)
            if holder is None:
                return _to_sign_in(request)
            self._sessions.check_origin(request)
            who = Caller(holder.tenant, holder.token.id)
            assert self._api is not None
            here = self._here(request, Asking(self._api, request, who), holder.tenant)
            here.datasets = sorted(self._sessions.datasets(holder.tenant))
            return await endpoint(here)
        except ClientDisconnect:
            return Response(status_code=499)
        except LogflumeError as error:
            return _problem(here, error)
        except Exception:  # the outermost of a request
            _log.exception("page.failed", path=request.url.path[:200])
            return _problem(here, Failed(500, b""))

    def _here(self, request: Request, asking: Asking | None, tenant: str) -> Here:
        theme = request.cookies.get(_THEME, "")
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        return Here(request, asking, tenant, self._datasets, now, theme if theme in THEMES else "auto")

    # --- coming and going ---------------------------------------------------------------------------------------------

    async def _sign_in_form(self, request: Request) -> Response:
        return self._form(request, "", 200)

    async def _sign_in(self, request: Request) -> Response:
        """Take a token, and begin a session. It comes in the body: no address, and so no log, has it."""
        try:
            self._sessions.check_origin(request)
            asked = await form(request)
            holder = self._holder(request, asked.get("token", "").strip())
        except LogflumeError as error:
            told = problem.of(error)
            return self._form(request, told.detail, told.status)
        answer = RedirectResponse(local(asked.get("back", "")), 303)
        self._sessions.begin(holder, answer)
        return answer

    async def _open(self, endpoint: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        """What is there without a session."""
        try:
            self._sessions.check_origin(request)
            return await endpoint(request)
        except LogflumeError as error:
            return _problem(self._here(request, None, ""), error)

    async def _sign_out(self, _: Request) -> Response:
        answer = RedirectResponse("/sign-in", 303)
        self._sessions.end(answer)
        return answer

    async def _theme(self, request: Request) -> Response:
        asked = await form(request)
        answer = RedirectResponse(local(asked.get("back", "")), 303)
        theme = asked.get("theme", "")
        if theme in THEMES:
            answer.set_cookie(_THEME, theme, max_age=31_536_000, path="/", httponly=True, samesite="lax")
        return answer

    def _form(self, request: Request, trouble: str, status: int) -> Response:
        here = self._here(request, None, "")
        back = local(request.query_params.get("back", ""))
        # Whose browser is signed in already is asked before a link makes him somebody else, whose it may be.
        again = COOKIE in request.cookies
        told = render("sign-in.html", here=here, trouble=trouble, back=back, again=again)
        return HTMLResponse(told, status, _NO_STORE)

    async def _no_path(self, request: Request, _: Exception) -> Response:
        text = f"There is nothing at {request.url.path[:200]}."
        return _problem(self._here(request, None, ""), Problem(404, "not-found", text))


class _Static(StaticFiles):
    """Files of ours, asked for again each time, and sent only when they have changed."""

    def file_response(self, *arguments: Any, **more: Any) -> Response:
        """Return a file."""
        response = super().file_response(*arguments, **more)
        response.headers["Cache-Control"] = "no-cache"
        return response


_NO_STORE: Final = {"Cache-Control": "no-store"}


def local(back: str) -> str:
    """Return an address of ours to go back to: never another site's, whatever a link made of it."""
    plain = back.startswith("/") and not back.startswith("//") and "\\" not in back and back.isprintable()
    return back if plain else "/"


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET":
        return RedirectResponse("/sign-in", 303)
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/sign-in?back={quote(request.url.path + query, safe='')}", 303)


def _problem(here: Here, error: LogflumeError) -> Response:
    told = error if isinstance(error, Failed) else Failed.of(problem.of(error))
    return HTMLResponse(render("problem.html", here=here, error=told), told.status, _NO_STORE)
