"""What a request asks, read from its body or its parameters: SQL, or a filter; a time range; a limit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.requests import Request

from logflume.api.body import whole
from logflume.api.problem import Problem
from logflume.explore import filters, span
from logflume.explore.engine.engine import LIMIT
from logflume.explore.span import Recent, Span
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.schema import DATE, file_schema

MOST_BYTES: Final = 1_000_000
_SQL: Final = ("text/plain", "application/sql")
_MOST_FREE: Final = 1_000
_MEMBERS: Final = {"sql", "dataset", "where", "q", "fields", "order", "limit", "since", "until", "live"}


@dataclass(frozen=True, slots=True)
class Question:
    """One query to run."""

    sql: str
    span: Span | Recent
    limit: int
    live: bool = False
    """Whether the rows count that still wait in Kafka."""


async def read(request: Request, datasets: Mapping[str, Dataset], now: datetime, settings: Settings) -> Question:
    """Read the body of ``POST /query``. Raises ``Problem`` 400, 408 and 413, ``Refused``."""
    body = await _body(request)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in _SQL:
        asked: dict[str, Any] = {"sql": _text(body)} | dict(request.query_params)
        if "limit" in asked and asked["limit"].isascii() and asked["limit"].isdigit():
            asked["limit"] = int(asked["limit"])
        if "live" in asked:
            asked["live"] = {"true": True, "false": False}.get(asked["live"], asked["live"])
    elif media == "application/json":
        asked = _object(body)
    else:
        raise Problem(
            400, "not-read", f"the body is application/json, or SQL as {' or '.join(_SQL)}, not {media!r:.80}"
        )
    return of(asked, datasets, now, settings)


def of(asked: Mapping[str, Any], datasets: Mapping[str, Dataset], now: datetime, settings: Settings) -> Question:
    """Return the question that a body's members ask. Raises ``Problem`` 400, ``Refused``."""
    if unknown := sorted(set(asked) - _MEMBERS):
        raise Problem(
            400, "not-read", f"there is no {unknown[0]!r:.80} in a query; there are {', '.join(sorted(_MEMBERS))}"
        )
    recent = settings.explore_recent_seconds if "sql" not in asked or settings.explore_recent_sql == "on" else 0
    found = span.asked(_string(asked, "since"), _string(asked, "until"), now, recent)
    most_rows = settings.explore_rows
    limit = asked.get("limit", LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most_rows:
        raise Problem(400, "not-read", f"limit is a number from 1 to {most_rows}")
    live = asked.get("live", False)
    if not isinstance(live, bool):
        raise Problem(400, "not-read", "live is true or false")
    if ("sql" in asked) == ("dataset" in asked):
        raise Problem(400, "not-read", 'a query has either "sql", or a "dataset" and what of it is wanted')
    if "sql" in asked:
        if extra := sorted({"where", "q", "fields", "order"} & set(asked)):
            raise Problem(400, "not-read", f"{extra[0]!r} goes with a dataset, not with sql: say it in the SQL")
        return Question(_string(asked, "sql"), found, limit, live)
    return Question(filtered(asked, named(datasets, _string(asked, "dataset"))), found, limit, live)


async def body_of(request: Request) -> dict[str, Any]:
    """Read a body that is an object of JSON. Raises ``Problem`` 400, 408 and 413."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Problem(400, "not-read", f"the body is application/json, not {media!r:.80}")
    return _object(await _body(request))


async def sql(request: Request) -> str:
    """Read a body that is nothing but SQL. Raises ``Problem`` 400 and 413."""
    return _text(await _body(request))


def named(datasets: Mapping[str, Dataset], name: str) -> Dataset:
    """Return a dataset by its name; ``Problem`` 404."""
    if name not in datasets:
        raise Problem(404, "not-found", f"there is no dataset {name!r:.80}; there are {', '.join(sorted(datasets))}")
    return datasets[name]


def filtered(asked: Mapping[str, Any], dataset: Dataset) -> str:
    """Return the SQL of a filter: the newest first, unless ``order`` says otherwise. Raises ``Refused``."""
    columns = [*file_schema(dataset).names, DATE]
    fields = asked.get("fields") or []
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise Problem(400, "not-read", "fields is a list of names")
    if lacking := [field for field in fields if field not in columns]:
        raise Problem(400, "not-read", f"{dataset.name} has no field {lacking[0]!r:.80}")
    shown = ", ".join(f'"{field}"' for field in fields) or "*"
    order = _string(asked, "order") or f"-{dataset.time_field}"
    if order.removeprefix("-") not in columns:
        raise Problem(400, "not-read", f"order is a field, perhaps with - before it, not {order!r:.80}")
    direction = "DESC" if order.startswith("-") else "ASC"
    found = condition(asked, dataset)
    where = f" WHERE {found}" if found else ""
    return f'SELECT {shown} FROM {dataset.name}{where} ORDER BY "{order.removeprefix("-")}" {direction}'


def condition(asked: Mapping[str, Any], dataset: Dataset) -> str:
    """Return the SQL condition of ``where`` and of the free text ``q``; empty when there is neither."""
    text = _string(asked, "q")
    if len(text) > _MOST_FREE:
        raise Problem(400, "not-read", f"q has at most {_MOST_FREE} characters")
    free = f"contains_text({filters.quoted(text)})" if text else ""
    found = filters.condition({"where": asked["where"]} if asked.get("where") else None, dataset)
    return " AND ".join(each for each in (found, free) if each)


def parameters(request: Request, names: Collection[str]) -> dict[str, Any]:
    """Return a request's parameters, which are of ``names``, with ``where`` read from its JSON; ``Problem`` 400."""
    if unknown := sorted(set(request.query_params) - set(names)):
        there = f"there are {', '.join(sorted(names))}" if names else "there are none"
        raise Problem(400, "not-read", f"there is no parameter {unknown[0]!r:.80} here; {there}")
    asked: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    if "where" in asked:
        try:
            asked["where"] = orjson.loads(asked["where"])
        except orjson.JSONDecodeError as error:
            raise Problem(400, "not-read", f"where is no JSON: {error}") from None
    return asked


def number(asked: Mapping[str, Any], name: str, otherwise: int, most: int) -> int:
    """Return a parameter that is a whole number from 0 to ``most``; ``Problem`` 400."""
    text = str(asked.get(name, otherwise))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise Problem(400, "not-read", f"{name} is a number from 0 to {most}")
    return int(text)


async def _body(request: Request) -> bytes:
    return await whole(request, MOST_BYTES, "a query's body")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "not-read", f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Problem(400, "not-read", "the body is a JSON object")
    return found


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Problem(400, "not-read", "the SQL is no UTF-8") from None


def _string(asked: Mapping[str, Any], name: str) -> str:
    found = asked.get(name) or ""
    if not isinstance(found, str):
        raise Problem(400, "not-read", f"{name} is a text")
    return found
