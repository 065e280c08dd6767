"""Traces of a block's way, edge → sort → sink → commit, by OpenTelemetry. Off by default.

TR1 Off, nothing of OpenTelemetry is imported, no header is written, and a block costs a comparison.
TR2 Its edge decides whether a block is traced (``traces_ratio`` of them). Those that are carry the header
    ``traceparent`` (W3C Trace Context); later stages trace what has it, and nothing else.
TR3 No stage waits for a trace, or fails by one: spans are sent by a thread of the SDK's, and dropped when that can't.
TR4 Headers are foreign bytes: one that is no trace's is passed over.

Where several traced blocks go on as one (a sorter's unit), the first one's trace goes on, with links to the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from logflume.errors import Misconfigured

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from logflume.settings import Settings

HEADER: Final = "traceparent"
_MOST_LINKS: Final = 32
_MOST_CHILDREN: Final = 20

Headers = Sequence[tuple[str, bytes | None]] | None
"""A Kafka message's."""

_tracer: Tracer | None = None


def setup(settings: Settings, service: str) -> None:
    """Begin to trace as ``service``, if the settings want it; the first call in a process counts.

    Where spans go is said by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and others).
    """
    if settings.traces_ratio <= 0 or on():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"traces_ratio needs the extra `traces`: pip install 'logflume[traces]' ({error})"
        ) from None
    sampler = ParentBased(TraceIdRatioBased(settings.traces_ratio))  # TR2: who has a parent follows it
    provider = TracerProvider(resource=Resource.create({"service.name": f"logflume-{service}"}), sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Trace to this provider; None: no more."""
    global _tracer
    _tracer = provider.get_tracer("logflume") if provider is not None else None


def on() -> bool:
    """Whether anything is traced here."""
    return _tracer is not None


class Step:
    """A stage of a traced block's way, under way. Safe for threads, as spans are."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._children = 0

    @property
    def header(self) -> tuple[str, bytes]:
        """What the next stage finds on the message."""
        context = self._span.get_span_context()
        return HEADER, f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}".encode()

    def part(self, name: str, start_ns: int, end_ns: int, **attributes: Any) -> None:
        """Tell of a part that took from then until then (wall time); of the first ``_MOST_CHILDREN`` only."""
        from opentelemetry.trace import set_span_in_context

        self._children += 1
        if _tracer is None or self._children > _MOST_CHILDREN:
            return
        context = set_span_in_context(self._span)
        _tracer.start_span(name, context, attributes=attributes, start_time=start_ns).end(end_ns)

    def end(self, *, failed: str = "") -> None:
        """The stage is done with the block, or has given it up."""
        if failed:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, failed))
        self._span.end()


def begin(name: str, start_ns: int | None = None, **attributes: Any) -> Step | None:
    """Begin a block's way; ``None``: it is not traced (TR2)."""
    if _tracer is None:
        return None
    from opentelemetry.context import Context

    return _recorded(_tracer.start_span(name, Context(), attributes=attributes, start_time=start_ns))


def go_on(name: str, messages: Iterable[Headers], **attributes: Any) -> Step | None:
    """Go on with what messages bring; ``None``: none of them is traced."""
    if _tracer is None:
        return None
    found = [value for headers in messages for key, value in headers or () if key == HEADER and value]
    if not found:
        return None
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    read = TraceContextTextMapPropagator().extract
    contexts = [read({HEADER: value.decode("ascii", "replace")}) for value in dict.fromkeys(found[:_MOST_LINKS])]
    spans = [(context, get_current_span(context).get_span_context()) for context in contexts]
    traced = [(context, span) for context, span in spans if span.is_valid and span.trace_flags.sampled]
    if not traced:
        return None
    (parent, _), *others = traced
    links = [Link(span) for _, span in others]
    return _recorded(_tracer.start_span(name, parent, links=links, attributes=attributes))


def _recorded(span: Span) -> Step | None:
    return Step(span) if span.is_recording() else None
