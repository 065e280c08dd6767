"""The endpoints of the published API. An account or a zone is a tenant, by its name; another's is not there.

Datasets are the tenant's, as its file has them: they are listed here and not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from logflume.api import question
from logflume.api.caller import Caller
from logflume.api.cloudflare import envelope, received
from logflume.api.cloudflare.spelling import spelt
from logflume.api.forms import Form
from logflume.api.problem import Problem
from logflume.api.question import Question
from logflume.clock import Clock
from logflume.config import Source
from logflume.explore.engine.engine import LIMIT
from logflume.explore.snapshots import NoTable
from logflume.explore.span import ALWAYS
from logflume.model.dataset import Dataset, Field, FieldType

PREFIX: Final = "/client/v4"
OWNERS: Final = {"accounts": "account", "zones": "zone"}

Answered = Callable[[Request, str, Question, Form], Awaitable[Response]]
"""Runs a tenant's query, and streams its answer in a form."""
Endpoint = Callable[[Request, Caller], Awaitable[Response]]

_SCHEMAS: Final[Mapping[FieldType, dict[str, Any]]] = {
    FieldType.STRING: {"type": "string"},
    FieldType.INT: {"type": "integer"},
    FieldType.FLOAT: {"type": "number"},
    FieldType.BOOL: {"type": "boolean"},
    FieldType.TIMESTAMP: {"type": "string", "format": "date-time"},
    FieldType.MAP: {"type": "object", "additionalProperties": {"type": "string"}},
    FieldType.STRINGS: {"type": "array", "items": {"type": "string"}},
    FieldType.INTS: {"type": "array", "items": {"type": "integer"}},
}


class Published:
    """Endpoints, each for the caller's own tables."""

    def __init__(
        self, datasets: Mapping[str, Dataset], source: Source, answered: Answered, clock: Clock, most_rows: int
    ) -> None:
        self._datasets = datasets
        self._source = source
        self._answered = answered
        self._clock = clock
        self._most_rows = most_rows

    def endpoints(self) -> list[tuple[str, str, Endpoint, str]]:
        """Return method, path (``{owner}``: an account's or a zone's id), endpoint, and as what each is recorded."""
        found: list[tuple[str, str, Endpoint, str]] = []
        for owners in OWNERS:
            explorer = f"/{owners}/{{owner}}/logs/explorer"
            found += [
                ("POST", f"{explorer}/query/sql", self.sql, "query"),
                ("GET", f"{explorer}/query/sql", self.sql, "query"),
                ("GET", f"{explorer}/datasets/available", self.available, ""),
                ("GET", f"{explorer}/datasets", self.datasets, ""),
                ("GET", f"{explorer}/datasets/{{dataset}}", self.dataset, ""),
            ]
        logs = "/zones/{owner}/logs"
        return [
            *found,
            ("GET", f"{logs}/received", self.received, "received"),
            ("GET", f"{logs}/received/fields", self.fields, ""),
            ("GET", f"{logs}/rayids/{{id}}", self.rayid, "find"),
        ]

    async def sql(self, request: Request, who: Caller) -> Response:
        """One SELECT, as the body or as the parameter ``query``."""
        _own(request, who)
        if request.method == "POST":
            text = await question.sql(request)
        else:
            text = question.parameters(request, {"query"}).get("query", "")
        written = await asyncio.to_thread(spelt, text, self._datasets)
        return await self._answered(request, who.tenant, Question(written, ALWAYS, LIMIT), envelope.ROWS)

    async def datasets(self, request: Request, who: Caller) -> Response:
        """The tenant's datasets."""
        _own(request, who)
        question.parameters(request, {"include_zones"})
        return envelope.succeeded([self._summary(request, who, name) for name in self._kept(who)])

    async def dataset(self, request: Request, who: Caller) -> Response:
        """One of them, with its fields: all are kept."""
        _own(request, who)
        name = request.path_params["dataset"]
        if name not in self._kept(who):
            raise Problem(
                404, "not-found", f"there is no dataset {name!r:.80} here; there are {', '.join(self._kept(who))}"
            )
        fields = [{"name": field.name, "enabled": True} for field in self._datasets[name].fields]
        return envelope.succeeded(self._summary(request, who, name) | {"fields": fields})

    async def available(self, request: Request, who: Caller) -> Response:
        """The datasets that there are, and the schema of each."""
        _own(request, who)
        told = [
            {
                "dataset": dataset.name,
                "object_type": _kind(request),
                "timestamp_field": dataset.time_field,
                "schema": {
                    "type": "object",
                    "properties": {f.name: _schema(f) for f in dataset.fields},
                    "required": [],
                },
            }
            for dataset in self._datasets.values()
        ]
        return envelope.succeeded(told)

    async def received(self, request: Request, who: Caller) -> Response:
        """The records that arrived in a time range, a line each."""
        _own(request, who)
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        return await self._lines(
            request, who, *received.between(dict(request.query_params), self._http(), now, self._most_rows)
        )

    async def fields(self, request: Request, who: Caller) -> Response:
        """The fields that a record may have, and what each means; without an envelope, as published."""
        _own(request, who)
        told = {field.name: field.description or str(field.type) for field in self._http().fields}
        return envelope.bare(told)

    async def rayid(self, request: Request, who: Caller) -> Response:
        """The records with an id, a line each: none, one, or more."""
        _own(request, who)
        id = request.path_params["id"]
        return await self._lines(
            request, who, *received.by_id(dict(request.query_params), self._http(), id, self._most_rows)
        )

    async def _lines(self, request: Request, who: Caller, asked: Question, form: Form) -> Response:
        try:
            return await self._answered(request, who.tenant, asked, form)
        except NoTable:
            return Response(b"", media_type=form.media)

    def _http(self) -> Dataset:
        return question.named(self._datasets, received.HTTP)

    def _kept(self, who: Caller) -> list[str]:
        return sorted(self._source.current().tenants[who.tenant].datasets)

    def _summary(self, request: Request, who: Caller, name: str) -> dict[str, Any]:
        """What is told of a dataset; as for times, only that of the configuration in force is known."""
        published = datetime.fromtimestamp(self._source.current().made_ns / 1e9, UTC)
        return {
            "dataset_id": name,
            "dataset": name,
            "object_id": who.tenant,
            "object_type": _kind(request),
            "enabled": True,
            "deletion_protection": True,
            "created_at": published,
            "updated_at": published,
        }


def _own(request: Request, who: Caller) -> None:
    if request.path_params["owner"] != who.tenant:
        raise Problem(404, "not-found", f"there is no such {_kind(request)}, or this token is not its own")


def _kind(request: Request) -> str:
    return OWNERS[request.url.path.removeprefix(PREFIX).split("/")[1]]


def _schema(field: Field) -> dict[str, Any]:
    told = _SCHEMAS[field.type]
    return told | {"description": field.description} if field.description else told
