"""The OpenAPI document (3.1) of the API, made of the routes and what their endpoints say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.routing import BaseRoute, Route

import logflume
from logflume.api import forms
from logflume.api.described import SCHEMAS, Described, Parameter, Schema, of, ref

PATH: Final = "/openapi.json"
_EVERYWHERE: Final = (400, 401, 403, 429, 503)
_PROBLEM: Final = "application/problem+json"
_HEADERS: Final = {"Retry-After": "Seconds after which to ask again."}


def document(routes: Iterable[BaseRoute], prefix: str, datasets: Iterable[str]) -> dict[str, Any]:
    """Return the document of those routes below ``prefix`` whose endpoints are described."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not isinstance(route, Route) or not route.path.startswith(f"{prefix}/"):
            continue
        said = described_of(route)
        if said is not None:
            for method in sorted((route.methods or set()) - {"HEAD"}):
                paths.setdefault(route.path_format.removeprefix(prefix), {})[method.lower()] = _operation(
                    route, method, said
                )
    named: Schema = {"type": "string", "enum": sorted(datasets)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Logflume",
            "version": logflume.__version__,
            "description": "Questions to a tenant's own logs. A token with the scope `query` says whose; docs/api.md.",
        },
        "servers": [{"url": prefix}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "DatasetName": named},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "lf_<id>_<secret>"}},
        },
    }


def described_of(route: Route) -> Described | None:
    """Return what a route's endpoint says of itself; it is one of the arguments of what serves it."""
    endpoint = route.endpoint
    if isinstance(endpoint, partial):
        return next((said for each in endpoint.args if (said := of(each)) is not None), None)
    return of(endpoint)


def _operation(route: Route, method: str, said: Described) -> dict[str, Any]:
    name = re.sub(r"[^a-z]+", "_", f"{method} {route.path_format}".lower()).strip("_")
    made: dict[str, Any] = {
        "operationId": name,
        "summary": said.summary,
        "parameters": [_parameter(each) for each in said.parameters],
        "responses": _responses(said),
    }
    if said.body:
        content = {media: {"schema": schema} for media, schema in said.body.items()}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {"name": parameter.name, "in": parameter.at}
    if parameter.description:
        made["description"] = parameter.description
    if parameter.required:
        made["required"] = True
    if parameter.as_json:
        return made | {"content": {"application/json": {"schema": parameter.schema}}}
    return made | {"schema": parameter.schema}


def _responses(said: Described) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status, schema in said.answers.items():
        answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if schema is not None:
            answer["content"] = {said.media or forms.JSON.media: {"schema": schema}}
            answer["content"] |= {media: {} for media in said.forms}
        if said.headers and status != HTTPStatus.NO_CONTENT:
            answer["headers"] = _headers(said.headers)
        made[str(status)] = answer
    for status in sorted({*_EVERYWHERE, *said.problems}):
        told: dict[str, Any] = {
            "description": HTTPStatus(status).phrase,
            "content": {_PROBLEM: {"schema": ref("Problem")}},
        }
        if status in (429, 503):
            told["headers"] = _headers(_HEADERS)
        made[str(status)] = told
    return made


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
