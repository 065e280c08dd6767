"""The paths of the protocols that agents speak, and how each of their requests passes through the gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Final

from starlette.responses import Response

from logflume.edge.http.exchange import Endpoint, Exchange, Route
from logflume.edge.http.portion import Portion, Taken
from logflume.edge.http.protocols import elastic, elastic_about, loki, otlp, splunk
from logflume.edge.http.protocols.gathering import Limits
from logflume.edge.http.refusal import Refusal

_PER_BYTE: Final = 16
"""Work in Python for each record: only bodies of about 1 kB are decoded on the loop."""
_PER_PACKED_BYTE: Final = 400  # snappy unpacks up to 24 bytes of one


async def otlp_logs(exchange: Exchange) -> Response:
    """``POST /v1/logs``."""
    tenant = exchange.tenant()
    kind = _content_type(exchange)
    body = await exchange.body()
    decode = partial(otlp.decode, body, kind, exchange.targets, _limits(exchange))
    logs = await exchange.decode(decode, json=body if otlp.encoding(kind) == otlp.JSON else b"", per_byte=_PER_BYTE)
    return logs.answer(await _take(exchange, tenant, logs.portions))


async def elastic_bulk(exchange: Exchange) -> Response:
    """``POST /_bulk``, ``POST /{index}/_bulk``."""
    begun = perf_counter_ns()
    tenant = exchange.tenant()
    index = exchange.request.path_params.get("index")
    body = await exchange.body()
    unwanted = partial(exchange.refusal, tenant)
    decode = partial(elastic.decode, body, index, exchange.targets, _limits(exchange), unwanted)
    bulk = await exchange.decode(decode, per_byte=_PER_BYTE)
    taken = await _take(exchange, tenant, bulk.portions)
    return bulk.answer(taken, (perf_counter_ns() - begun) // 1_000_000)


async def loki_push(exchange: Exchange) -> Response:
    """``POST /loki/api/v1/push``."""
    tenant = exchange.tenant()
    kind = _content_type(exchange)
    body = await exchange.body()
    decode = partial(loki.decode, body, kind, exchange.targets, _limits(exchange))
    is_json = loki.encoding(kind) == loki.JSON
    push = await exchange.decode(
        decode, json=body if is_json else b"", per_byte=_PER_BYTE if is_json else _PER_PACKED_BYTE
    )
    return push.answer(await _take(exchange, tenant, push.portions))


async def splunk_event(exchange: Exchange) -> Response:
    """``POST /services/collector``, ``/services/collector/event``."""
    return await _splunk(exchange, splunk.decode_events)


async def splunk_raw(exchange: Exchange) -> Response:
    """``POST /services/collector/raw``."""
    return await _splunk(exchange, splunk.decode_raw)


async def _splunk(exchange: Exchange, read: Callable[..., splunk.Events]) -> Response:
    tenant = exchange.tenant()
    body = await exchange.body()
    decode = partial(read, body, dict(exchange.request.query_params), exchange.targets, _limits(exchange))
    events = await exchange.decode(decode, per_byte=_PER_BYTE)
    return events.answer(await _take(exchange, tenant, events.portions))


async def splunk_ack(exchange: Exchange) -> Response:
    """``POST /services/collector/ack``: not offered, since an answer of 200 means it already."""
    exchange.tenant()
    return splunk.said(400, splunk.ACK_DISABLED)


async def splunk_health(_: Exchange) -> Response:
    """``GET /services/collector/health``, for anybody."""
    return splunk.said(200, splunk.HEALTHY)


async def _take(exchange: Exchange, tenant: str, portions: Sequence[Portion]) -> Taken:
    return await exchange.take(tenant, portions) if portions else Taken(0)


def _limits(exchange: Exchange) -> Limits:
    settings = exchange.settings
    return Limits(settings.edge_http_unpacked_bytes, settings.edge_http_records, exchange.reserve)


def _content_type(exchange: Exchange) -> str:
    return exchange.request.headers.get("content-type", "")


def _to_who_may(response: Callable[[], Response]) -> Endpoint:
    """Return an endpoint that says the same to every request with a tenant's token."""

    async def endpoint(exchange: Exchange) -> Response:
        exchange.tenant()
        return response()

    return endpoint


def _refuse_otlp(exchange: Exchange, refusal: Refusal) -> Response:
    return otlp.refused(refusal, _content_type(exchange))


def _refuse_elastic(_: Exchange, refusal: Refusal) -> Response:
    return elastic.refused(refusal)


def _refuse_loki(_: Exchange, refusal: Refusal) -> Response:
    return loki.refused(refusal)


def _refuse_splunk(exchange: Exchange, refusal: Refusal) -> Response:
    return splunk.refused(refusal, with_token="authorization" in exchange.request.headers)


def _elastic_route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    return Route("elastic", path, endpoint, methods, _refuse_elastic)


def _splunk_route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    return Route("splunk", path, endpoint, methods, _refuse_splunk)


_IN_PLACE: Final = _to_who_may(elastic_about.in_place)
_LOOK: Final = ("GET", "HEAD")
_SET_UP: Final = ("GET", "HEAD", "PUT", "POST")

ROUTES: Final = (
    Route("otlp", "/v1/logs", otlp_logs, refuse=_refuse_otlp),
    Route("loki", "/loki/api/v1/push", loki_push, refuse=_refuse_loki),
    _splunk_route("/services/collector", splunk_event, "POST"),
    _splunk_route("/services/collector/event", splunk_event, "POST"),
    _splunk_route("/services/collector/event/1.0", splunk_event, "POST"),
    _splunk_route("/services/collector/raw", splunk_raw, "POST"),
    _splunk_route("/services/collector/raw/1.0", splunk_raw, "POST"),
    _splunk_route("/services/collector/ack", splunk_ack, "POST"),
    _splunk_route("/services/collector/health", splunk_health, "GET"),
    _splunk_route("/services/collector/health/1.0", splunk_health, "GET"),
    _elastic_route("/", _to_who_may(elastic_about.about), *_LOOK),
    _elastic_route("/_bulk", elastic_bulk, "POST", "PUT"),
    _elastic_route("/_license", _to_who_may(elastic_about.license), *_LOOK),
    _elastic_route("/_xpack", _to_who_may(elastic_about.xpack), *_LOOK),
    _elastic_route("/_cluster/health", _to_who_may(elastic_about.health), *_LOOK),
    _elastic_route("/_index_template/{name}", _IN_PLACE, *_SET_UP),
    _elastic_route("/_component_template/{name}", _IN_PLACE, *_SET_UP),
    _elastic_route("/_ilm/policy/{name}", _IN_PLACE, *_SET_UP),
    _elastic_route("/_ingest/pipeline/{name}", _IN_PLACE, *_SET_UP),
    _elastic_route("/_data_stream/{name}", _IN_PLACE, *_SET_UP),
    _elastic_route("/{index}/_bulk", elastic_bulk, "POST", "PUT"),
)
"""In the order in which they are tried: a path's own words before a name in it."""
