"""Traces that go through the topics: W3C context travels in the headers, each hop is a producer and a consumer span.

Spans carry ids and the type of an error, never its message: that may quote a prompt or a document.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from groundswell.common.telemetry.names import Attribute

EXPORT_EVERY_MS = 500

Attributes = Callable[[], Mapping[str, str | int]]
"""Of a span: asked for only if it is recorded, which is seldom."""

_tracer = trace.get_tracer("groundswell")
_UNRECORDED = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00")
_unrecorded: ContextVar[Mapping[str, str] | None] = ContextVar("groundswell-unrecorded", default=None)
"""The headers of the trace that this is in, if nobody records it: most are such, and OpenTelemetry's way is long."""


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


def producer_span(destination: str, attributes: Attributes) -> AbstractContextManager[dict[str, str]]:
    """A span for one publish; the context is the headers that carry it."""
    if (unrecorded := _unrecorded.get()) is not None:
        return nullcontext(dict(unrecorded))
    return _publishing(destination, attributes)


@contextmanager
def _publishing(destination: str, attributes: Attributes) -> Iterator[dict[str, str]]:
    with _span(f"{destination} publish", SpanKind.PRODUCER, attributes=lambda: _messaging(destination, attributes())):
        yield current_carrier()


def consumer_span(
    destination: str,
    carrier: Mapping[str, str],
    attributes: Attributes,
    started_ns: int | None = None,
) -> AbstractContextManager[Span]:
    """A span for handling one record, child of the span that published it.

    `started_ns`: Unix time, if it began before.
    """
    if _says_unrecorded(carrier):
        return _Unrecorded(carrier)
    return _span(
        f"{destination} process",
        SpanKind.CONSUMER,
        carrier=carrier,
        attributes=lambda: _messaging(destination, attributes()),
        started_ns=started_ns,
    )


@contextmanager
def batch_span(destination: str, carriers: Iterable[Mapping[str, str]]) -> Iterator[Span]:
    """A span for handling records together, linked to the spans that published them: it is a child of none."""
    contexts = [trace.get_current_span(propagate.extract(carrier)).get_span_context() for carrier in carriers]
    links = [Link(context) for context in contexts if context.is_valid]
    with _span(
        f"{destination} process",
        SpanKind.CONSUMER,
        attributes=lambda: _messaging(destination, {Attribute.BATCH_SIZE: len(contexts)}),
        links=links,
    ) as current:
        yield current


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None
) -> AbstractContextManager[Span]:
    """A span of our own; child of what `carrier` (headers) names, else of the current one."""
    return _span(name, kind, carrier=carrier)


def current_carrier() -> dict[str, str]:
    """The current span as headers, to go on from later."""
    if (unrecorded := _unrecorded.get()) is not None:
        return dict(unrecorded)
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def current_trace_id() -> str | None:
    """32 hex digits, or None outside a trace."""
    if (unrecorded := _unrecorded.get()) is not None:
        return unrecorded["traceparent"].split("-")[1]
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _messaging(destination: str, attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {Attribute.SYSTEM: "kafka", Attribute.DESTINATION: destination, **attributes}


def _span(
    name: str,
    kind: SpanKind,
    *,
    carrier: Mapping[str, str] | None = None,
    attributes: Attributes = dict,
    links: Iterable[Link] = (),
    started_ns: int | None = None,
) -> AbstractContextManager[Span]:
    if carrier is None and _unrecorded.get() is not None:
        return nullcontext(trace.INVALID_SPAN)
    if carrier is not None and _says_unrecorded(carrier):
        return _Unrecorded(carrier)
    context = propagate.extract(carrier) if carrier is not None else otel.get_current()
    if _is_unsampled(trace.get_current_span(context)):
        return _Unrecorded(carrier or current_carrier())
    return _recorded(
        _tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes(),
            links=list(links),
            start_time=started_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
    )


def _says_unrecorded(carrier: Mapping[str, str]) -> bool:
    return len(carrier) == 1 and _UNRECORDED.fullmatch(carrier.get("traceparent", "")) is not None


def _is_unsampled(parent: Span) -> bool:
    context = parent.get_span_context()
    return context.is_valid and not context.trace_flags.sampled


@dataclass(slots=True)
class _Unrecorded(AbstractContextManager[Span]):
    """Inside of a trace that nobody records: no span is made, here or further on."""

    carrier: Mapping[str, str]
    token: "Token[Mapping[str, str] | None] | None" = None

    def __enter__(self) -> Span:
        self.token = _unrecorded.set(self.carrier)
        return trace.INVALID_SPAN

    def __exit__(self, *_: object) -> None:
        if self.token is not None:
            _unrecorded.reset(self.token)


@contextmanager
def _recorded(started: AbstractContextManager[Span]) -> Iterator[Span]:
    outer = _unrecorded.set(None)
    try:
        with started as current:
            try:
                yield current
            except Exception as error:
                current.set_status(StatusCode.ERROR, type(error).__name__)
                raise
    finally:
        _unrecorded.reset(outer)
