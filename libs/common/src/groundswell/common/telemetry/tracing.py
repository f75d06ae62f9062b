"""Traces that go through the topics: W3C context travels in the headers, each hop is a producer and a consumer span."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind

from groundswell.common.telemetry.names import Attribute

EXPORT_EVERY_MS = 500

_tracer = trace.get_tracer("groundswell")


def configure_tracing(service: str, endpoint: str | None) -> TracerProvider:
    """Install the process's tracer; spans go to `endpoint` (an OTLP/HTTP base address) if there is one."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=2)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    trace.set_tracer_provider(provider)
    return provider


@contextmanager
def producer_span(destination: str, attributes: Mapping[str, str | int]) -> Iterator[dict[str, str]]:
    """A span for one publish; yields the headers that carry it."""
    with _tracer.start_as_current_span(
        f"{destination} publish",
        kind=SpanKind.PRODUCER,
        attributes={Attribute.SYSTEM: "kafka", Attribute.DESTINATION: destination, **attributes},
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        yield carrier


@contextmanager
def consumer_span(destination: str, carrier: Mapping[str, str], attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """A span for handling one record, child of the span that published it."""
    with _tracer.start_as_current_span(
        f"{destination} process",
        context=propagate.extract(carrier),
        kind=SpanKind.CONSUMER,
        attributes={Attribute.SYSTEM: "kafka", Attribute.DESTINATION: destination, **attributes},
    ) as span:
        yield span


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None) -> Iterator[Span]:
    """A span of our own; child of what `carrier` (headers) names, else of the current one."""
    context = propagate.extract(carrier) if carrier is not None else None
    with _tracer.start_as_current_span(name, context=context, kind=kind) as current:
        yield current


def current_carrier() -> dict[str, str]:
    """The current span as headers, to go on from later."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def current_trace_id() -> str | None:
    """32 hex digits, or None outside a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
