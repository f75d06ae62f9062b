"""One trace through the topics: a consumer's span is a child of the publish that brought its record."""

from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from groundswell.common.bus.consumption import Batch, consume, consume_batches
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.errors import Rejected
from groundswell.common.telemetry.tracing import current_carrier, current_trace_id, span, tracer_provider
from groundswell.common.testing.bench import Answered, Ask, Bench, answer
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is recorded during the test. The process's provider can be set only once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield exporter
    processor.shutdown()


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in spans.get_finished_spans() if each.name == name]


def parent_of(each: ReadableSpan) -> int:
    assert each.parent is not None, each.name
    return each.parent.span_id


def id_of(each: ReadableSpan) -> int:
    context = each.get_span_context()
    assert context is not None
    return context.span_id


@pytest.mark.connected
async def test_the_consumer_span_is_a_child_of_the_publish_and_the_answer_of_the_consumer(
    bench: Bench, spans: InMemorySpanExporter
) -> None:
    asked, replied = bench.command[Tier.STANDARD], bench.line.replies.physical_name
    with span("question") as question:
        await bench.asks([1])
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(1)
        await until(lambda: named(spans, f"{asked} process"))
    (publish,) = named(spans, f"{asked} publish")
    (process,) = named(spans, f"{asked} process")
    (answered,) = named(spans, f"{replied} publish")
    assert parent_of(publish) == question.get_span_context().span_id
    assert parent_of(process) == id_of(publish)
    assert parent_of(answered) == id_of(process)
    attributes = dict(process.attributes or {})
    assert attributes["messaging.system"] == "kafka"
    assert attributes["messaging.destination.name"] == asked
    assert attributes["groundswell.tenant"] == "red"
    assert attributes["groundswell.tier"] == "standard"
    assert attributes["groundswell.message.type"] == "Ask"


@pytest.mark.connected
async def test_answers_of_a_batch_stay_in_the_traces_of_their_questions(
    bench: Bench, spans: InMemorySpanExporter
) -> None:
    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    traces = []
    for number in range(3):
        with span("question"):
            traces.append(current_trace_id())
            await bench.asks([number])
    async with bench.working(consume_batches(bench.command, embed, batch=Batch(messages=3, wait_s=5))):
        await bench.until_answered(0, 1, 2)
    outcomes = {cast("Answered", item.payload).number: item.envelope.trace for item in await bench.outcomes()}
    assert [outcomes[number]["traceparent"].split("-")[1] for number in range(3)] == traces
    linked = [each for each in named(spans, f"{bench.command[Tier.STANDARD]} process") if each.links]
    assert [len(each.links) for each in linked] == [3]
    assert [(each.attributes or {})["messaging.batch.message_count"] for each in linked] == [3]


def test_a_span_says_the_type_of_an_error_and_never_its_text(spans: InMemorySpanExporter) -> None:
    with pytest.raises(Rejected), span("work"):
        raise Rejected("the text of a document")
    (work,) = named(spans, "work")
    assert work.status.description == "Rejected"
    assert "document" not in work.to_json()


def test_a_carrier_takes_a_span_elsewhere(spans: InMemorySpanExporter) -> None:
    with span("here") as here:
        carrier = current_carrier()
    with span("there", carrier=carrier):
        pass
    (there,) = named(spans, "there")
    assert parent_of(there) == here.get_span_context().span_id


DIGITS = "0123456789abcdef"
TRACE_PARENTS = st.one_of(
    st.text(),
    st.builds(
        "{}-{}-{}-{}".format,
        st.sampled_from(["00", "01", "ff"]),
        st.text(DIGITS, min_size=32, max_size=32) | st.just("0" * 32) | st.text(DIGITS, max_size=40),
        st.text(DIGITS, min_size=16, max_size=16) | st.just("0" * 16),
        st.sampled_from(["00", "01", "03", "0"]),
    ),
)


@given(traceparent=TRACE_PARENTS, more=st.dictionaries(st.sampled_from(["tracestate", "baggage"]), st.just("a=b")))
def test_a_carrier_means_what_w3c_says(traceparent: str, more: dict[str, str]) -> None:
    carrier = {"traceparent": traceparent, **more}
    meant = trace.get_current_span(propagate.extract(carrier)).get_span_context()
    with span("here", carrier=carrier):
        if meant.is_valid:
            assert current_trace_id() == f"{meant.trace_id:032x}"
        if meant.is_valid and not meant.trace_flags.sampled:
            assert current_carrier() == carrier, "there is no span of ours that it could name"
            with span("inside"):
                assert current_carrier()["traceparent"] == traceparent
    assert current_trace_id() is None


def test_what_is_recorded_inside_of_a_trace_that_is_not_has_its_own_carrier(spans: InMemorySpanExporter) -> None:
    with span("here") as here:
        sampled = current_carrier()
    with span("outer", carrier={"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}):
        with span("there", carrier=sampled):
            assert current_carrier()["traceparent"] != sampled["traceparent"]
            assert current_trace_id() == f"{here.get_span_context().trace_id:032x}"
        assert current_carrier() == {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}


def test_outside_of_a_trace_there_is_no_trace_id() -> None:
    assert current_trace_id() is None
    assert current_carrier() == {}


def test_without_a_collector_a_trace_has_an_id_and_no_spans() -> None:
    nowhere = tracer_provider("bench", None).get_tracer("bench")
    of_nobody = nowhere.start_span("here")
    assert of_nobody.get_span_context().is_valid
    assert not of_nobody.is_recording()
    somewhere = tracer_provider("bench", "http://127.0.0.1:9").get_tracer("bench").start_span("there")
    assert somewhere.is_recording()
    child = nowhere.start_span("here", trace.set_span_in_context(somewhere))
    assert child.is_recording(), "whoever asked records the trace"
