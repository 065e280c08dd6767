"""The way of a traced block, in the SDK's memory: edge, sort, sink, rest, commit; what is not traced costs nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from logflume import contract, traces
from logflume.block.schema import sorted_schema
from logflume.edge.buffer import Buffer
from logflume.edge.packing import Packer
from logflume.edge.spool import Message
from logflume.kafka.deliveries import Deliveries
from logflume.kafka.position import Position
from logflume.model import Outlet, load
from logflume.sink.budget import Budget
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.routing import Routing
from logflume.sort.sorter import Limits, Sorter, next_unit
from tests.support.calls import calls
from tests.support.generations import Generations
from tests.support.ingest import TOPIC_ID, chunk, message

DATASETS = load(contract.find())
EVENTS = DATASETS["events"]
Tracing = Callable[[float], InMemorySpanExporter]


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    def start(ratio: float) -> InMemorySpanExporter:
        exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        traces.use(provider)
        return exporter

    yield start
    traces.use(None)


def packed(*tenants: str) -> list[Message]:
    """A block for each tenant."""
    packer = Packer(DATASETS, topic=lambda name: name, deadletter_topic="dead", edge="here", epoch=5)
    found = []
    for number, tenant in enumerate(tenants):
        buffer = Buffer("events")
        buffer.add_record(tenant, b'{"message":"m"}\n', 1000)
        found += packer.pack(buffer.cut(number)).messages
    return found


class Sent(Deliveries):
    """Keeps what is sent; every report is good."""

    def __init__(self) -> None:
        self.messages: list[tuple[int | None, bytes, Any]] = []

    def send(self, topic: str, partition: int | None, key: Any, value: bytes | None, headers: Any = ()) -> None:
        self.messages.append((partition, value or b"", headers))

    def wait(self, timeout: float) -> None:
        pass

    @property
    def failed(self) -> bool:
        return False


class Event:
    def __init__(self, value: Any) -> None:
        self.value = value

    def ack(self) -> bool:
        return True


def sorted_of(messages: list[Message]) -> list[tuple[int | None, bytes, Any]]:
    """The messages as a sorter's one unit makes sorted blocks of them."""

    async def sort() -> list[tuple[int | None, bytes, Any]]:
        sent = Sent()
        sorter = Sorter(
            Gatherer(EVENTS, None),
            Regrouper(EVENTS, "ingest.events", TOPIC_ID, "session", Routing("events", 4), 1 << 20),
            sent,
            sorted_topic="sorted",
            deadletter_topic="dead",
            limits=Limits(1 << 20, 1 << 20, 0.0),
            same_topic=lambda since: None,
            routes=RoutesInForce("events", Generations(), lambda: 99, lambda: False),
            fail=lambda error: None,
        )
        records = [message(at, each.value, None, headers=each.headers) for at, each in enumerate(messages)]
        sorter._produce(sorter._sort(next_unit(deque([Event(chunk(records))]), 1 << 20)))
        return sent.messages

    return asyncio.run(sort())


def partition() -> Partition:
    return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))


def outlets(tenant: str, _: str) -> tuple[Outlet, ...]:
    return (Outlet(tenant),)


def stored(into: Partition, value: bytes, headers: Any) -> None:
    """A sorted block, read, at rest, and committed, as ``Flushing`` and ``Committer`` do it."""
    pairs = into.read(into.position.offset, 0, value, headers, outlets, 0.0)[1]
    for pair in pairs:
        flight = into.take(pair)
        into.traced.rested(flight, 0.01, pair.tenant, pair.outlet.name)
        into.landed(pair)
    at = into.committable()
    assert at is not None
    into.commit(at)
    into.traced.committed(at.offset, 0.002)


def parents(spans: tuple[ReadableSpan, ...]) -> dict[str, str | None]:
    """The name of each span's parent."""
    names = {span.context.span_id: span.name for span in spans}
    return {span.name: names[span.parent.span_id] if span.parent else None for span in spans}


def test_tr2_a_traced_blocks_way_is_one_trace_from_its_edge_to_the_commit(tracing: Tracing) -> None:
    exporter = tracing(1.0)
    [(_, value, headers)] = sorted_of(packed("acme"))
    stored(partition(), value, headers)
    spans = exporter.get_finished_spans()
    assert parents(spans) == {
        "logflume.edge": None,
        "logflume.sort": "logflume.edge",
        "logflume.sink": "logflume.sort",
        "logflume.rest": "logflume.sink",
        "logflume.commit": "logflume.sink",
    }
    assert len({span.context.trace_id for span in spans}) == 1
    edge = next(span for span in spans if span.name == "logflume.edge")
    assert edge.start_time == 1000, "it begins with the block's first record"
    rest = next(span for span in spans if span.name == "logflume.rest")
    assert dict(rest.attributes or {}) == {"tenant": "acme", "job": "", "rows": 1}
    assert all(span.status.is_ok or span.status.is_unset for span in spans)


def test_blocks_that_go_on_as_one_are_linked(tracing: Tracing) -> None:
    exporter = tracing(1.0)
    sorted_of(packed("a", "b", "c"))
    spans = exporter.get_finished_spans()
    edges = [span.context.trace_id for span in spans if span.name == "logflume.edge"]
    [sort] = [span for span in spans if span.name == "logflume.sort"]
    assert sort.context.trace_id == edges[0]
    assert [link.context.trace_id for link in sort.links] == edges[1:]


def test_tr2_what_its_edge_does_not_trace_nobody_does(tracing: Tracing) -> None:
    exporter = tracing(0.0)
    [(_, value, headers)] = sorted_of(packed("acme"))
    assert traces.HEADER not in dict(headers)
    stored(partition(), value, headers)
    assert exporter.get_finished_spans() == ()


def test_a_stage_that_traces_goes_on_with_what_another_process_began(tracing: Tracing) -> None:
    tracing(1.0)
    [(_, value, headers)] = sorted_of(packed("acme"))
    exporter = tracing(0.0)  # a sink of another ratio
    stored(partition(), value, headers)
    assert {span.name for span in exporter.get_finished_spans()} == {
        "logflume.sink",
        "logflume.rest",
        "logflume.commit",
    }


@pytest.mark.parametrize("foreign", [b"", b"nonsense", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_tr4_a_header_that_is_no_traces_is_passed_over(tracing: Tracing, foreign: bytes) -> None:
    exporter = tracing(1.0)
    assert traces.go_on("logflume.sort", [[(traces.HEADER, foreign)], None, [("other", None)]]) is None
    assert exporter.get_finished_spans() == ()


def test_a_partition_that_is_taken_away_ends_its_traces_and_says_why(tracing: Tracing) -> None:
    exporter = tracing(1.0)
    [(_, value, headers)] = sorted_of(packed("acme"))
    into = partition()
    into.read(0, 0, value, headers, outlets, 0.0)
    into.close()
    [sink] = [span for span in exporter.get_finished_spans() if span.name == "logflume.sink"]
    assert sink.status.description == "the partition was revoked before the commit"


def test_traces_stay_bounded_whatever_is_sampled(tracing: Tracing) -> None:
    exporter = tracing(1.0)
    [(_, _, headers)] = sorted_of(packed("acme"))
    into = partition()
    for offset in range(150):
        into.traced.read(offset, headers)
    assert len(into.traced._open) == 100
    assert sum(span.name == "logflume.sink" for span in exporter.get_finished_spans()) == 50
    into.traced.close()


def test_tr1_off_no_header_is_written_and_a_block_costs_a_comparison() -> None:
    [block] = packed("acme")
    assert traces.HEADER not in dict(block.headers)
    assert calls(traces.on) == 1
