"""A traced block through real processes: what an OTLP receiver gets of sorter and sink, on top of the edge's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from logflume import traces
from logflume.edge import Client
from tests.support.pipeline import Pipeline
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)


class Receiver:
    """What a collector gets, by service."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.spans: list[tuple[str, Span]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.1,), daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]

    def names(self) -> set[tuple[str, str]]:
        return {(service, span.name) for service, span in self.spans}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def edges() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.use(provider)
    yield exporter
    traces.use(None)


def test_sorter_and_sink_send_the_rest_of_a_blocks_way_to_whoever_takes_otlp(
    pipeline: Pipeline, receiver: Receiver, edges: InMemorySpanExporter
) -> None:
    tells = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    pipeline.sort(LOGFLUME_TRACES_RATIO="0.001", **tells)
    pipeline.sink(LOGFLUME_TRACES_RATIO="0.001", **tells)
    with Client(pipeline.settings) as edge:
        edge.log("acme", "events", {"message": "traced"}, timeout=60)
    wanted = {
        ("logflume-sort", "logflume.sort"),
        ("logflume-sink", "logflume.sink"),
        ("logflume-sink", "logflume.rest"),
        ("logflume-sink", "logflume.commit"),
    }
    until(lambda: receiver.names() >= wanted, 120, "all of the block's way")
    assert receiver.names() == wanted
    [begun] = edges.get_finished_spans()
    assert {span.trace_id for _, span in receiver.spans} == {begun.context.trace_id.to_bytes(16)}
