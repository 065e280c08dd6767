"""The OpenAPI document is complete, and the API keeps to it: asked by schemathesis over a real connection."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks as rules
from starlette.routing import Route

from logflume import metrics
from logflume.api import openapi
from logflume.api.app import PREFIX
from logflume.table.store import Store
from logflume.web.connection import ConnectionLimits
from logflume.web.listener import Listener, Place
from tests.support.api import ACME, Client
from tests.support.tables import append

ROOT = Path(__file__).parents[2]
_PATH = re.compile(r"`((?:(?:GET|PUT|POST|DELETE)(?:`, `)?)+) /api/v1(/[^`?]*)`")
EXAMPLES = 12


class Served:
    """An API that answers on a port, by an event loop in a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._began.wait(60)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            client = Client(self._store, runner, serve_address_failures=0)
            self.routes = client.api.routes
            limits = ConnectionLimits(32_000, 10.0, 100, metrics.EXPLORE_CONNECTIONS)
            place = Place("serve_", "127.0.0.1", 0)
            listener = Listener(client.api, place, limits, idle_seconds=75, drain_seconds=5)
            self._stop = asyncio.Event()
            self._loop = runner.get_loop()
            runner.run(listener.start())
            self.url = listener.address + PREFIX
            self._began.set()
            runner.run(self._stop.wait())
            runner.run(listener.stop())
            client.close()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["one", "two", "three"])
    made = Served(store)
    yield made
    made.end()


@pytest.fixture(scope="module")
def document(served: Served) -> Any:
    answer = httpx.get(served.url + openapi.PATH)  # no token: it says nothing that is anybody's
    assert answer.status_code == 200
    return answer.json()


def routes(served: Served) -> list[Route]:
    found = [route for route in served.routes if isinstance(route, Route) and route.path.startswith(f"{PREFIX}/")]
    return [route for route in found if not route.path.endswith(openapi.PATH)]


def test_every_path_and_method_is_described_with_all_its_parameters(served: Served, document: Any) -> None:
    for route in routes(served):
        assert openapi.described_of(route) is not None, f"{route.path}: @described is missing at its endpoint"
        for method in (route.methods or set()) - {"HEAD"}:
            operation = document["paths"][route.path_format.removeprefix(PREFIX)][method.lower()]
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(route.param_convertors), route.path
            assert operation["summary"]
    count = sum(len(methods) for methods in document["paths"].values())
    assert count == sum(len((route.methods or set()) - {"HEAD"}) for route in routes(served))


def test_the_page_lists_every_path_and_method(document: Any) -> None:
    rows = [line for line in (ROOT / "docs" / "api.md").read_text().splitlines() if line.startswith("| `")]
    listed = {
        (method, path)
        for row in rows
        for methods, path in _PATH.findall(row)
        for method in re.findall("[A-Z]+", methods)
    }
    there = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert listed - {("GET", openapi.PATH)} == there


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: Any) -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", httpx.Response(200, json=document).text))
    assert named == set(document["components"]["schemas"])


load_all_checks()
CHECKS = [
    rules.status_code_conformance,
    rules.content_type_conformance,
    rules.response_schema_conformance,
    rules.response_headers_conformance,
    rules.negative_data_rejection,
    rules.unsupported_method,
    rules.missing_required_header,
]
OPERATIONS = [
    "POST /query",
    *(
        "GET /query/{id}",
        "DELETE /query/{id}",
        "GET /queries",
        "GET /datasets",
        "GET /tables",
        "GET /tail",
        "GET /find/{id}",
        "GET /usage",
    ),
    *(f"GET /datasets/{{dataset}}/{each}" for each in ("fields", "histogram")),
    *(f"GET /datasets/{{dataset}}/{each}/{{coordinates}}" for each in ("records", "around")),
    *("GET /saved", "GET /saved/{name}", "PUT /saved/{name}", "DELETE /saved/{name}"),
]


def test_every_operation_is_asked(document: Any) -> None:
    assert {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods} == set(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_api_keeps_to_its_description_whatever_is_asked(
    served: Served, document: Any, operation: str, mode: GenerationMode
) -> None:
    method, _, path = operation.partition(" ")
    schema = schemathesis.openapi.from_dict(document)
    cases = schema[path][method].as_strategy(generation_mode=mode)

    @hypothesis.seed(1)
    @hypothesis.settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @hypothesis.given(case=cases)
    def ask(case: Any) -> None:
        answer = case.call(base_url=served.url, headers={"Authorization": f"Bearer {ACME}"}, timeout=60)
        assert answer.status_code != 500, answer.text  # 503 is an answer: there is no Kafka here
        case.validate_response(answer, checks=CHECKS)

    ask()
