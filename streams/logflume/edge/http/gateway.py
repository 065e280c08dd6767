"""What every protocol's requests pass through: who may, how much, and what of it; counted, and answered in its words.

G1  A request is answered; whatever goes wrong in it ends it alone.
G2  An answer that tells of rows is given only when they are durable.
G3  What a request reserves is given back when it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog
from starlette import routing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from logflume import metrics
from logflume.clock import Clock
from logflume.config import Source
from logflume.config.tally import Tally
from logflume.edge.forwarding import UNWANTED
from logflume.edge.http import body, portions
from logflume.edge.http.body import BodyLimits
from logflume.edge.http.credential import token_of
from logflume.edge.http.exchange import Route
from logflume.edge.http.landing import Landing
from logflume.edge.http.once import Answer, Answers
from logflume.edge.http.portion import LineError, Portion, Taken
from logflume.edge.http.protocols.record import Targets
from logflume.edge.http.refusal import LacksScope, Refusal, as_json, busy
from logflume.edge.http.toll import Toll
from logflume.edge.http.work import Work
from logflume.edge.rates import Pacing, allowances
from logflume.edge.receipt import Piece
from logflume.errors import Poison, Unconfigured
from logflume.model import Datasets, Scope
from logflume.settings import Settings

T = TypeVar("T")

PRESSURE_HEADER: Final = "Logflume-Pressure"
"""On every answer to a whole request: none, slow, or stop."""
_RECORD_BYTES: Final = 64
"""What a record costs while its request is in work, beside its bytes: places in arrays, and perhaps an error."""
_RATIO: Final = 10  # by which logs are packed, about
_GONE: Final = 499

_log = structlog.get_logger(__name__)


class Gateway:
    """See the promises G1 to G3. One event loop's."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        source: Source,
        landing: Landing,
        clock: Clock,
        pacing: Pacing | None = None,
    ) -> None:
        """``pacing`` may be shared with other ways in; else requests have the tenants' rates to themselves."""
        self.settings = settings
        self.datasets = datasets
        self.targets = Targets(datasets, settings.edge_http_dataset)
        self.source = source
        self.landing = landing
        self.clock = clock
        self.toll = Toll(pacing or Pacing(allowances(settings, source, clock), clock))
        self.limits = BodyLimits(
            most_sent=settings.edge_http_body_bytes,
            most_unpacked=settings.edge_http_unpacked_bytes,
            seconds=settings.edge_http_body_seconds,
            rate=float(settings.edge_http_body_rate),
        )
        self.work = Work(
            most_bytes=settings.edge_http_work_bytes,
            most_requests=settings.edge_http_requests,
            tenant_share=settings.edge_http_tenant_share,
        )
        self.answers = Answers(seconds=settings.edge_http_key_seconds, most_keys=settings.edge_http_keys, clock=clock)
        self.parsers = portions.Parsers(datasets)
        self.unwanted = Tally("requests were refused whose records no table and no job wants", clock)

    def application(self, routes: Iterable[Route]) -> Starlette:
        """Return the ASGI application that answers ``routes``, and other paths with 404."""
        served = [routing.Route(each.path, partial(self._serve, each), methods=list(each.methods)) for each in routes]
        return Starlette(routes=served, exception_handlers={404: self._no_path, 405: self._no_method})

    async def _serve(self, route: Route, request: Request) -> Response:
        begun = self.clock.monotonic()
        exchange = _Exchange(self, request, route.protocol)
        try:
            response = await self._answered(route, exchange)
        finally:
            exchange.end()
        self._tell_pressure(response)
        metrics.EDGE_HTTP_REQUESTS.labels(route.protocol, str(response.status_code)).inc()
        metrics.EDGE_HTTP_SECONDS.labels(route.protocol).observe(self.clock.monotonic() - begun)
        return response

    async def _answered(self, route: Route, exchange: _Exchange) -> Response:
        try:
            exchange.begin()
            return await route.endpoint(exchange)
        except Refusal as refusal:
            return route.refuse(exchange, refusal)
        except Unconfigured:  # whose token it is can't be told
            return route.refuse(exchange, busy("this edge has no configuration yet; it will have one soon"))
        except ClientDisconnect:
            return Response(status_code=_GONE)  # nobody reads it
        except Exception:  # the outermost of a request (G1)
            _log.exception("edge.http.failed", protocol=route.protocol, path=exchange.request.url.path[:200])
            return route.refuse(exchange, Refusal(500, "the server failed at this request; its log says how"))

    async def _no_path(self, request: Request, _: Exception) -> Response:
        detail = f"there is nothing at {request.url.path[:200]!r}; docs/http.md has the paths"
        return self._tell_pressure(as_json(Refusal(404, detail)))

    async def _no_method(self, request: Request, _: Exception) -> Response:
        detail = f"{request.method} is not answered at {request.url.path[:200]!r}"
        return self._tell_pressure(as_json(Refusal(405, detail)))

    def _tell_pressure(self, response: Response) -> Response:
        response.headers[PRESSURE_HEADER] = str(self.landing.pressure.level)
        return response


class _Exchange:
    """``exchange.Exchange``, on a gateway."""

    def __init__(self, gateway: Gateway, request: Request, protocol: str) -> None:
        self._gateway = gateway
        self._protocol = protocol
        self._patience: float | None = gateway.settings.edge_timeout_seconds
        self._tenant = ""
        self._size = 0  # of the body, unpacked
        self._held = gateway.work.reservation()
        self.request = request
        self.settings = gateway.settings
        self.datasets = gateway.datasets
        self.targets = gateway.targets

    def begin(self) -> None:
        """Let the request in. ``Refusal`` 503."""
        self._held.begin()

    def end(self) -> None:
        """Give back what it holds."""
        self._held.release()

    def tenant(self) -> str:
        self._tenant = self._bearer()
        self._held.assign(self._tenant)
        return self._tenant

    def _bearer(self) -> str:
        """Whose token it is, now: asked again before records are taken, as a body may take its time."""
        text = token_of(self.request.headers.get("authorization"))
        if text is None:
            raise Refusal(401, "a token is wanted: Authorization: Bearer lf_…")
        holder = self._gateway.source.current().holder(text, self._gateway.clock.now_ns())
        if holder is None:
            raise Refusal(401, "this token is no tenant's, or has expired")
        if not holder.may(Scope.INGEST):
            raise LacksScope(Scope.INGEST, holder.token.scopes)
        return holder.tenant

    def refusal(self, tenant: str, dataset: str) -> Refusal | None:
        if dataset not in self.datasets:
            return Refusal(404, f"there is no dataset {dataset[:80]!r}; there are {', '.join(self.datasets)}")
        if not self._gateway.source.current().wants(tenant, dataset):
            self._gateway.unwanted.add(tenant, dataset, UNWANTED, 1)
            return Refusal(403, f"no configuration wants {dataset} of this tenant: add it to the tenant's file first")
        return None

    async def body(self) -> bytes:
        self._gateway.toll.look_ahead(self._tenant, self.request.headers.get("content-length", ""))
        await self._gateway.landing.admit()
        codec = body.codec_of(self.request)
        limits, reserve = self._gateway.limits, self.reserve
        sent = await body.receive(self.request, limits, reserve)
        metrics.EDGE_HTTP_BYTES.labels(self._protocol).inc(len(sent))
        self._size = len(sent)
        if codec is None:
            return sent
        unpack = partial(body.unpack, sent, codec, limits, reserve)
        unpacked = await self._gateway.landing.call(unpack, len(sent) * _RATIO)
        self._size = len(unpacked)
        return unpacked

    def reserve(self, size: int) -> None:
        self._held.reserve(size)

    async def decode(self, function: Callable[[], T], *, json: bytes = b"", per_byte: int = 1) -> T:
        if json:
            self.reserve(body.json_weight(json))
        try:
            return await self._gateway.landing.call(function, self._size * per_byte)
        except Poison as poison:
            raise Refusal(400, f"{poison.reason}: {poison.detail}") from poison

    async def take(self, tenant: str, portions: Sequence[Portion], *, atomic: bool = False) -> Taken:
        for dataset in dict.fromkeys(portion.dataset for portion in portions):
            if (refusal := self.refusal(tenant, dataset)) is not None:
                raise refusal
        size = sum(len(portion.lines) for portion in portions)
        pieces = await self._gateway.landing.call(partial(self._pieces, tenant, portions), size)
        return await self.take_pieces(pieces, atomic=atomic)

    async def take_pieces(self, pieces: Sequence[Piece], *, atomic: bool = False) -> Taken:
        """``take`` for records that are lines or columns already; their datasets are allowed."""
        records = sum(len(piece.content) for piece in pieces)
        if records > self.settings.edge_http_records:
            raise Refusal(413, f"{records} records; a request may have {self.settings.edge_http_records}")
        self._bearer()
        for tenant, dataset in dict.fromkeys((piece.tenant, piece.dataset) for piece in pieces):
            if (refusal := self.refusal(tenant, dataset)) is not None:
                raise refusal
        landing = self._gateway.landing
        if atomic:
            size = sum(piece.size for piece in pieces)
            bad = await landing.call(partial(self._gateway.parsers.bad, pieces), size)
            if bad:
                raise Refusal(422, f"{len(bad)} of {records} records are bad; none was taken", errors=_errors(bad))
        with self._gateway.toll.pay(pieces):
            bad = await landing.land(pieces, self._patience)
        metrics.EDGE_HTTP_ROWS.labels(self._protocol).inc(records - len(bad))
        return Taken(records - len(bad), _errors(bad))

    async def once(self, key: tuple[str, str], digest: bytes, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do ``work`` once for ``key`` (see ``once``); it may ``take``, and goes on if this request does not wait."""
        patience, self._patience = self._patience, None
        assert patience is not None
        return await self._gateway.answers.once(key, digest, work, patience)

    def _pieces(self, tenant: str, found: Sequence[Portion]) -> list[Piece]:
        """In a thread."""
        self.reserve(_RECORD_BYTES * sum(portion.lines.count(b"\n") for portion in found))
        return portions.pieces(tenant, found)


def _errors(bad: Iterable[tuple[int, str, str]]) -> tuple[LineError, ...]:
    return tuple(LineError(*each) for each in sorted(bad))
