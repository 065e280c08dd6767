"""Our own way in: ``POST /v1/ingest/{dataset}``, a body of NDJSON, JSON, Arrow or Avro."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import orjson
import pyarrow as pa
from starlette.responses import Response

from logflume.edge.http import containers
from logflume.edge.http.exchange import Exchange, Route
from logflume.edge.http.once import Answer
from logflume.edge.http.portion import LineError, Taken
from logflume.edge.http.refusal import Refusal, json_response
from logflume.edge.lines import Lines
from logflume.edge.receipt import Piece
from logflume.edge.tables import as_lines, conformed
from logflume.errors import Poison
from logflume.model import Dataset

PROTOCOL: Final = "ingest"
MOST_TOLD: Final = 1000
"""Bad records that an answer lists; ``errors_total`` counts all."""

NDJSON: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain", ""})
JSON: Final = frozenset({"application/json"})
ARROW: Final = frozenset({"application/vnd.apache.arrow.stream"})
AVRO: Final = frozenset({"avro/binary", "application/avro"})

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_MOST_KEY: Final = 200  # characters of an Idempotency-Key
_TABLE_ROWS: Final = 1000
"""Rows from which a table goes in as columns, in blocks of its own; fewer are spelled as lines, to share a block."""
_LONG_NUMBER: Final = re.compile(rb"[0-9]{20}|-[0-9]{19}")


async def ingest(exchange: Exchange) -> Response:
    """Take a body's records; 200 only when they are durable. docs/http.md has the contract."""
    request = exchange.request
    dataset = str(request.path_params["dataset"])
    tenant = exchange.tenant()
    if (refusal := exchange.refusal(tenant, dataset)) is not None:
        raise refusal
    kind = _kind(request.headers.get("content-type", ""))
    atomic = _flag(request.query_params.get("atomic", "false"))
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _MOST_KEY:
        raise Refusal(400, f"an Idempotency-Key has 1 to {_MOST_KEY} characters")
    body = await exchange.body()

    async def work() -> Answer:
        nonlocal body
        piece = await _piece(exchange, tenant, exchange.datasets[dataset], kind, body)
        body = b""  # with a key this may go on for longer than its request holds memory
        taken = await exchange.take_pieces([piece], atomic=atomic)
        return Answer(200, orjson.dumps(_told(taken)))

    if key is None:
        return (await work()).response()
    digest = hashlib.sha256(f"{dataset}\n{sorted(kind)}\n{atomic}\n".encode())
    await exchange.decode(partial(digest.update, body))
    return (await exchange.once((tenant, key), digest.digest(), work)).response()


def refuse(_: Exchange, refusal: Refusal) -> Response:
    """``{"error": …}``, and the bad records for which all were refused."""
    content: dict[str, Any] = {"error": refusal.detail}
    if refusal.errors:
        content |= _errors(refusal.errors)
    return json_response(refusal.status, content, refusal.headers)


ROUTES: Final = (Route(PROTOCOL, "/v1/ingest/{dataset}", ingest, refuse=refuse),)


def _told(taken: Taken) -> dict[str, Any]:
    return {"rows": taken.rows, **_errors(taken.errors)}


def _errors(errors: Sequence[LineError]) -> dict[str, Any]:
    told = [{"line": each.number, "reason": each.reason, "detail": each.detail} for each in errors[:MOST_TOLD]]
    return {"errors": told, "errors_total": len(errors)}


def _kind(content_type: str) -> frozenset[str]:
    named = content_type.partition(";")[0].strip().lower()
    for kind in (NDJSON, JSON, ARROW, AVRO):
        if named in kind:
            return kind
    raise Refusal(
        415,
        f"Content-Type {named[:60]!r} is not read here: application/x-ndjson, application/json, "
        f"application/vnd.apache.arrow.stream and application/avro are",
    )


def _flag(text: str) -> bool:
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise Refusal(400, f"atomic is true or false, not {text[:20]!r}")
    return flag


async def _piece(exchange: Exchange, tenant: str, dataset: Dataset, kind: frozenset[str], body: bytes) -> Piece:
    """Return the body's records, found in a thread."""
    settings = exchange.settings
    bounds = {"most_bytes": settings.edge_http_unpacked_bytes, "most_rows": settings.edge_http_records}
    reserve = exchange.reserve
    if kind is JSON:
        return Piece(tenant, dataset.name, await exchange.decode(lambda: Lines(json_lines(body)), json=body))
    if kind is AVRO:
        avro = partial(containers.avro_lines, body, **bounds, reserve=reserve)
        return Piece(tenant, dataset.name, await exchange.decode(lambda: Lines(avro())))
    if kind is ARROW:
        arrow = partial(containers.arrow_table, body, **bounds, reserve=reserve)
        return Piece(tenant, dataset.name, await exchange.decode(lambda: fitted(arrow(), dataset)))
    exchange.reserve(len(body) + 64 * body.count(b"\n"))
    return Piece(tenant, dataset.name, await exchange.decode(lambda: Lines(body)))


def json_lines(document: bytes) -> bytes:
    """Return the records of one JSON document, an object or an array, a line each. ``Poison`` when it is neither."""
    document = document.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    values, write = _load(document)
    if document.startswith(b"{"):
        return document.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"  # JSON has them between values only
    if not isinstance(values, list):
        raise Poison("not-object", "the body is neither an array of objects nor one object")
    return b"".join([write(value) for value in values])


def _load(document: bytes) -> tuple[object, Callable[[object], bytes]]:
    """The document's value, and what writes parts of it without a change; the exact pair where the fast may differ."""
    if not _LONG_NUMBER.search(document):
        try:
            return orjson.loads(document), _dump
        except ValueError:
            pass  # NaN and lone surrogates, which one record may have; NaN stays, and that record is refused for it
    try:
        return json.loads(document), _dump_exactly
    except (ValueError, RecursionError) as failure:
        raise Poison("not-json", f"the body is not one JSON document: {str(failure)[:300]}") from failure


def _dump(value: object) -> bytes:
    return orjson.dumps(value) + b"\n"


def _dump_exactly(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def fitted(table: pa.Table, dataset: Dataset) -> Lines | pa.RecordBatch:
    """Return a table's rows as columns of the dataset when they are many and all fit, else as lines."""
    if table.num_rows >= _TABLE_ROWS:
        try:
            return conformed(table, dataset)
        except Poison:
            pass  # as lines a bad row costs only itself
    try:
        return Lines(as_lines(table))
    except (pa.ArrowException, ValueError, TypeError, KeyError, RecursionError) as failure:
        raise Poison("not-json", f"a column has no spelling in JSON: {str(failure)[:300]}") from failure
