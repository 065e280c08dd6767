"""The paths of the API, and what every request passes through.

A1  A request is answered, in the form that it accepts or as a problem (RFC 9457); what goes wrong ends it alone.
A2  A tenant sees what is its own: data, queries, their numbers. Another's id is one that does not exist.
A3  A client that goes away ends its query.
A4  Nothing is done for a request that is one too many (``limits``); every query, export and change is recorded
    (``audit``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from logflume import metrics
from logflume.api import forms, openapi, problem, question
from logflume.api.audit import Act, Audit, Recorded
from logflume.api.caller import Caller, Denied
from logflume.api.cloudflare import envelope, published
from logflume.api.dataset import DatasetQuestions
from logflume.api.described import FLAG, ID, NUMBER, RECORD, TEXT, Parameter, array, described, nullable, ref, thing
from logflume.api.forms import Form
from logflume.api.limits import Limits
from logflume.api.problem import Problem
from logflume.api.question import Question
from logflume.api.register import Register
from logflume.api.rejected import Rejected
from logflume.api.running import Runner, Running
from logflume.api.saving import Saving
from logflume.api.session import Sessions
from logflume.api.tail import Tails
from logflume.api.usage import Usage
from logflume.clock import Clock
from logflume.config import Source
from logflume.errors import LogflumeError, Refused
from logflume.explore.engine.engine import Answer, Engine
from logflume.explore.recent import Range
from logflume.explore.snapshots import NoTable, Stored
from logflume.explore.span import ALWAYS
from logflume.explore.tail.hub import Hub
from logflume.model.dataset import Dataset
from logflume.model.tenant import Holder
from logflume.settings import Settings
from logflume.table.saved import SavedQueries

PREFIX: Final = "/api/v1"
_GONE: Final = 499
_MOST_FOUND: Final = 1_000
"""Records of one id in one dataset: an id that so many share is none."""

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
_log = structlog.get_logger(__name__)


class Api:
    """See A1 to A3. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        datasets: Mapping[str, Dataset],
        source: Source,
        engine: Engine,
        clock: Clock,
        audit: Audit | None = None,
        hub: Hub | None = None,
    ) -> None:
        """Without an ``audit`` nothing is recorded. ``hub``: for those who follow rows; somebody else's."""
        self._settings = settings
        self._datasets = datasets
        self._source = source
        self._clock = clock
        self._audit = audit or Audit(source, clock, None)
        self._limits = Limits(settings, clock)
        self._register = Register(clock)
        self._runner = Runner(engine, self._register, clock)
        self._engine = engine
        self._rejected = Rejected(settings, clock) if settings.kafka_bootstrap else None
        self._saved = SavedQueries(engine.store, clock)
        self.datasets = datasets
        self.clock = clock
        self.sessions = Sessions(settings, source, clock)
        self._tails = Tails(settings, datasets, source, self.sessions, hub, clock)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        about = DatasetQuestions(self._datasets, self._runner, self._engine, self._settings, self._clock)
        saving = Saving(self._saved, self._datasets, self._clock, self._settings)
        store, snapshots = self._engine.store, self._engine.snapshots
        usage = Usage(self._source, store, snapshots, self._runner, self._rejected, self._clock)
        routes = [
            self._route("/query", self._post_query, "POST", "query"),
            self._route("/query/{id}", self._get_query, "GET"),
            self._route("/query/{id}", self._delete_query, "DELETE", "cancel"),
            self._route("/queries", self._get_queries, "GET"),
            self._route("/datasets", self._get_datasets, "GET"),
            self._route("/tables", self._get_tables, "GET"),
            self._route("/datasets/{dataset}/fields", about.fields, "GET", "fields"),
            self._route("/datasets/{dataset}/histogram", about.histogram, "GET", "histogram"),
            self._route("/datasets/{dataset}/records/{coordinates}", about.record, "GET", "record"),
            self._route("/datasets/{dataset}/around/{coordinates}", about.around, "GET", "around"),
            self._route("/find/{id:path}", self._find, "GET", "find"),
            self._route("/usage", usage.usage, "GET", "usage"),
            self._route("/saved", saving.list, "GET"),
            self._route("/saved/{name}", saving.get, "GET"),
            self._route("/saved/{name}", saving.put, "PUT", "save"),
            self._route("/saved/{name}", saving.delete, "DELETE", "forget"),
            self._route("/tail", self._tails.follow, "GET", "tail"),
        ]
        there = published.Published(
            self._datasets, self._source, self._answered, self._clock, self._settings.explore_rows
        )
        for method, path, endpoint, kind in there.endpoints():
            routes.append(self._route(path, endpoint, method, kind, published.PREFIX))
        told = forms.text(openapi.document(routes, PREFIX, self._datasets))
        routes.append(Route(PREFIX + openapi.PATH, partial(_openapi, told), methods=["GET"]))
        return Starlette(routes=routes, exception_handlers={404: _no_path, 405: _no_method})

    def _route(self, path: str, endpoint: Endpoint, method: str, kind: str = "", prefix: str = PREFIX) -> Route:
        """``kind``: as what a request is recorded; empty: it is not."""
        named = path.replace(":path", "")
        return Route(prefix + path, partial(self._serve, named, endpoint, kind), methods=[method])

    async def _serve(self, path: str, endpoint: Endpoint, kind: str, request: Request) -> Response:
        begun = self._clock.monotonic()
        act: Act | None = None
        told = ""
        try:
            who = self._caller(request)
            act = self._audit.begin(request, who, kind) if kind else None
            response = await endpoint(request, who)
        except ClientDisconnect:
            response = Response(status_code=_GONE)
        except LogflumeError as error:
            if isinstance(error, Denied) and kind:
                act = self._audit.act(request, error.who, kind)
            found = problem.of(error)
            told, response = found.kind, _told(request, found)
        except Exception:  # the outermost of a request (A1)
            _log.exception("api.failed", path=request.url.path[:200])
            told = "failed"
            response = _told(request, Problem(500, "failed", "the server failed at this request; its log says how"))
        metrics.EXPLORE_REQUESTS.labels(path, str(response.status_code)).inc()
        metrics.EXPLORE_SECONDS.labels(path).observe(self._clock.monotonic() - begun)
        if act is None:
            return response
        return Recorded(response, partial(self._audit.end, act, response.status_code, told))

    def _caller(self, request: Request) -> Caller:
        """Who asks, if it is not one time too many (A4)."""
        with self._counted(request):
            who = self.sessions.caller(request)
        self._limits.take(who)
        return who

    def holder(self, request: Request, token: str) -> Holder:
        """Return who signs in by a token, if he has not tried too often (A4). ``Problem`` 401, 403, 429."""
        with self._counted(request):
            return self.sessions.holder_of_token(token)

    @contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        try:
            yield
        except Denied as denied:
            self._limits.take(denied.who)
            raise
        except Problem as wrong:
            if wrong.status == 401:
                self._limits.failed(request.client.host if request.client else "")
            raise

    # --- queries ------------------------------------------------------------------------------------------------------

    @described(
        "Ask with SQL or a filter",
        body={
            "application/json": ref("Question"),
            "application/sql": {"type": "string", "maxLength": 100_000},
            "text/plain": {"type": "string", "maxLength": 100_000},
        },
        answers={200: ref("Answer")},
        problems=(404, 406, 408, 413, 422),
        forms=tuple(forms.FORMS)[1:],
        headers={"Logflume-Query": "The query's id.", "Logflume-Range": "The time range that it is about, and why."},
    )
    async def _post_query(self, request: Request, who: Caller) -> Response:
        form = forms.accepted(request.headers.get("accept", ""))
        act: Act = request.state.act
        act.form = form.media
        if form.media in forms.FILES:
            act.kind = "export"
        asked = await question.read(request, self._datasets, self._now(), self._settings)
        return await self._answered(request, who.tenant, asked, form)

    async def _answered(self, request: Request, tenant: str, asked: Question, form: Form) -> Response:
        """Begin the query; what can't run is a problem, and what then comes is streamed."""
        running, answer = await self._runner.begin(request, tenant, asked)
        return _Streamed(
            running,
            self._written(running, answer, form),
            media_type=form.media,
            headers={
                "Logflume-Query": running.query.id,
                "Logflume-Range": _range(answer.range),
                "Cache-Control": "no-store",
            },
        )

    async def _written(self, running: Running, answer: Answer, form: Form) -> AsyncIterator[bytes]:
        """Yield the answer's bytes. What fails now breaks the answer off: nobody can take a part for the whole."""
        writer = form.writer()
        failure: BaseException | None = None
        try:
            yield writer.begin(answer.schema)
            async for batch in answer.batches():
                yield writer.rows(batch)
            yield writer.end(running.done())
        except BaseException as error:  # also that nobody reads it any more (A3)
            failure = error
            raise
        finally:
            await running.end(failure)

    @described("How a query stands", parameters=(ID,), answers={200: ref("Query")}, problems=(404,))
    async def _get_query(self, request: Request, who: Caller) -> Response:
        query = self._register.get(who.tenant, request.path_params["id"])
        return forms.response(query.about(self._clock.monotonic()))

    @described("End a query", parameters=(ID,), answers={200: ref("Query")}, problems=(404,))
    async def _delete_query(self, request: Request, who: Caller) -> Response:
        request.state.act.resource = ("query", request.path_params["id"])
        query = self._register.get(who.tenant, request.path_params["id"])
        query.cancel()
        return forms.response(query.about(self._clock.monotonic()))

    @described("The tenant's queries, the newest first", answers={200: thing({"queries": array(ref("Query"))})})
    async def _get_queries(self, request: Request, who: Caller) -> Response:
        now = self._clock.monotonic()
        return forms.response({"queries": [query.about(now) for query in self._register.of(who.tenant)]})

    # --- what there is ------------------------------------------------------------------------------------------------

    @described(
        "The datasets that the tenant keeps",
        answers={
            200: thing(
                {
                    "tenant": TEXT,
                    "audited": FLAG,
                    "datasets": array(
                        thing(
                            {
                                "name": TEXT,
                                "description": TEXT,
                                "time_field": TEXT,
                                "id_field": nullable("string"),
                                "retention_days": NUMBER,
                                "fields": array(ref("Field")),
                            }
                        )
                    ),
                }
            )
        },
    )
    async def _get_datasets(self, request: Request, who: Caller) -> Response:
        """The datasets that the tenant wants kept, and their fields."""
        tenant = self._source.current().tenants[who.tenant]
        told = [self._dataset(name, wanted.retention_days) for name, wanted in tenant.datasets.items()]
        return forms.response({"tenant": who.tenant, "audited": self._audit.keeps(who.tenant), "datasets": told})

    def _dataset(self, name: str, retention_days: int) -> dict[str, Any]:
        dataset = self._datasets[name]
        fields = [{"name": f.name, "type": str(f.type), "description": f.description} for f in dataset.fields]
        return {
            "name": name,
            "description": dataset.description,
            "time_field": dataset.time_field,
            "id_field": dataset.id_field,
            "retention_days": retention_days,
            "fields": fields,
        }

    @described(
        "What is at rest in each of the tenant's datasets",
        answers={
            200: thing(
                {
                    "tenant": TEXT,
                    "tables": array(
                        thing(
                            {
                                "dataset": TEXT,
                                **dict.fromkeys(("rows", "files", "bytes"), NUMBER),
                                **{name: nullable("string") for name in ("first", "last", "received", "trouble")},
                            }
                        )
                    ),
                }
            )
        },
    )
    async def _get_tables(self, request: Request, who: Caller) -> Response:
        """What is at rest in each, as the newest commits have it; ``trouble``: why a table can't be read."""
        names = sorted(self._source.current().tenants[who.tenant].datasets)
        told = await asyncio.gather(*(self._stored(who.tenant, name) for name in names))
        return forms.response({"tenant": who.tenant, "tables": told})

    async def _stored(self, tenant: str, name: str) -> dict[str, Any]:
        try:
            return asdict(await self._engine.stored(tenant, name)) | {"trouble": None}
        except Refused as error:
            return asdict(Stored(name)) | {"trouble": str(error)}

    @described(
        "The records with an id",
        parameters=(ID, Parameter("dataset", ref("DatasetName")), Parameter("live", FLAG)),
        answers={200: thing({"records": array(thing({"dataset": TEXT, "record": RECORD}))})},
        problems=(404, 422),
    )
    async def _find(self, request: Request, who: Caller) -> Response:
        """The records that have the id, in each of the tenant's datasets that has one and rows at rest."""
        id, only = request.path_params["id"], request.query_params.get("dataset", "")
        live = request.query_params.get("live", "") == "true"
        wanted = [only] if only else sorted(self._source.current().tenants[who.tenant].datasets)
        found = []
        for name in wanted:
            dataset = question.named(self._datasets, name)
            if dataset.id_field is None:
                continue
            sql = question.filtered({"where": {"key": dataset.id_field, "operator": "eq", "value": id}}, dataset)
            try:
                whole = await self._runner.whole(request, who.tenant, Question(sql, ALWAYS, _MOST_FOUND, live))
            except NoTable:
                continue
            found += [{"dataset": name, "record": each} for each in whole.rows]
        if not found:
            raise Problem(404, "not-found", f"no record of this tenant has the id {id!r:.80}")
        return forms.response({"records": found})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)


class _Streamed(StreamingResponse):
    """Ends its query also when nobody ever read from it: a generator that was not begun has no end of its own."""

    def __init__(self, running: Running, *content: Any, **about: Any) -> None:
        super().__init__(*content, **about)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._running.end(None)


def _range(range: Range) -> str:
    """As a header, for forms of answers that have no place for it: ISO 8601's interval, ``..`` for an open end."""
    ends = (range.span.since, range.span.until)
    return "/".join(".." if at is None else at.isoformat().replace("+00:00", "Z") for at in ends) + f"; why={range.why}"


def _told(request: Request, found: Problem) -> Response:
    """Return a problem in the form that the paths of the request have for it."""
    here = request.url.path.startswith(f"{published.PREFIX}/")
    return envelope.failed(found) if here else found.response()


async def _openapi(told: bytes, _: Request) -> Response:
    return Response(told, media_type="application/json")


async def _no_path(request: Request, _: Exception) -> Response:
    found = Problem(404, "not-found", f"there is nothing at {request.url.path[:200]!r}; docs/api.md has the paths")
    return _told(request, found)


async def _no_method(request: Request, _: Exception) -> Response:
    found = Problem(405, "not-found", f"{request.method} is not answered at {request.url.path[:200]!r}")
    answer = _told(request, found)
    here = [r for r in request.app.routes if isinstance(r, Route) and r.path_regex.match(request.url.path)]
    answer.headers["Allow"] = ", ".join(sorted({method for route in here for method in route.methods or ()}))
    return answer
