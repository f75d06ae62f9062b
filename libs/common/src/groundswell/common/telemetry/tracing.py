"""Traces that go through the topics: W3C context travels in the headers, each hop is a producer and a consumer span.

Spans carry ids and the type of an error, never its message: that may quote a prompt or a document.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode

from groundswell.common.telemetry.names import Attribute

EXPORT_EVERY_MS = 500

_tracer = trace.get_tracer("groundswell")
_UNSAMPLED = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-00")
_CARRIER = otel.create_key("groundswell-carrier")


def configure_tracing(service: str, endpoint: str | None) -> TracerProvider:
    """Install the process's tracer; spans go to `endpoint` (an OTLP/HTTP base address).

    Without one, none is recorded but in traces that the sender of a message records; logs have trace ids all the same.
    """
    provider = tracer_provider(service, endpoint)
    trace.set_tracer_provider(provider)
    return provider


def tracer_provider(service: str, endpoint: str | None) -> TracerProvider:
    """See `configure_tracing`."""
    resource = Resource.create({"service.name": service})
    if not endpoint:
        return TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource)
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    return provider


@contextmanager
def producer_span(destination: str, attributes: Mapping[str, str | int]) -> Iterator[dict[str, str]]:
    """A span for one publish; yields the headers that carry it."""
    with _span(f"{destination} publish", SpanKind.PRODUCER, attributes=_messaging(destination, attributes)):
        yield current_carrier()


def consumer_span(
    destination: str,
    carrier: Mapping[str, str],
    attributes: Mapping[str, str | int],
    started_ns: int | None = None,
) -> AbstractContextManager[Span]:
    """A span for handling one record, child of the span that published it.

    `started_ns`: Unix time, if it began before.
    """
    return _span(
        f"{destination} process",
        SpanKind.CONSUMER,
        carrier=carrier,
        attributes=_messaging(destination, attributes),
        started_ns=started_ns,
    )


@contextmanager
def batch_span(destination: str, carriers: Iterable[Mapping[str, str]]) -> Iterator[Span]:
    """A span for handling records together, linked to the spans that published them: it is a child of none."""
    contexts = [trace.get_current_span(propagate.extract(carrier)).get_span_context() for carrier in carriers]
    links = [Link(context) for context in contexts if context.is_valid]
    attributes = _messaging(destination, {Attribute.BATCH_SIZE: len(contexts)})
    with _span(f"{destination} process", SpanKind.CONSUMER, attributes=attributes, links=links) as current:
        yield current


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None
) -> AbstractContextManager[Span]:
    """A span of our own; child of what `carrier` (headers) names, else of the current one."""
    return _span(name, kind, carrier=carrier)


def current_carrier() -> dict[str, str]:
    """The current span as headers, to go on from later."""
    known = otel.get_value(_CARRIER)
    if isinstance(known, _Carrier) and known.span is trace.get_current_span():
        return dict(known.headers)
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def current_trace_id() -> str | None:
    """32 hex digits, or None outside a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _messaging(destination: str, attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {Attribute.SYSTEM: "kafka", Attribute.DESTINATION: destination, **attributes}


def _span(
    name: str,
    kind: SpanKind,
    *,
    carrier: Mapping[str, str] | None = None,
    attributes: Mapping[str, str | int] | None = None,
    links: Iterable[Link] = (),
    started_ns: int | None = None,
) -> AbstractContextManager[Span]:
    context = _context_of(carrier) if carrier is not None else otel.get_current()
    parent = trace.get_current_span(context)
    if _is_unsampled(parent):
        # None of its trace is recorded, here or further on: it stands for the span that there would be.
        return nullcontext(parent) if carrier is None else _inside(context, parent)
    return _recorded(
        _tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            links=list(links),
            start_time=started_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
    )


class _Carrier(NamedTuple):
    span: Span
    headers: Mapping[str, str]


def _context_of(carrier: Mapping[str, str]) -> otel.Context:
    """As propagate.extract has it; what is not sampled, for a tenth of the time."""
    plain = _UNSAMPLED.fullmatch(carrier.get("traceparent", "")) if len(carrier) == 1 else None
    if plain is None:
        return propagate.extract(carrier)
    parent = NonRecordingSpan(SpanContext(int(plain[1], 16), int(plain[2], 16), is_remote=True))
    return trace.set_span_in_context(parent, otel.Context({_CARRIER: _Carrier(parent, carrier)}))


def _is_unsampled(parent: Span) -> bool:
    context = parent.get_span_context()
    return context.is_valid and not context.trace_flags.sampled


@contextmanager
def _inside(context: otel.Context, parent: Span) -> Iterator[Span]:
    token = otel.attach(context)
    try:
        yield parent
    finally:
        otel.detach(token)


@contextmanager
def _recorded(started: AbstractContextManager[Span]) -> Iterator[Span]:
    with started as current:
        try:
            yield current
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
