"""Who may come in, and what every request leaves behind: a span, a measurement, a log record without text."""

from typing import Any

import httpx
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from groundswell.common.errors import Unavailable
from groundswell.common.telemetry.tracing import current_trace_id

QUESTION = {"model": "docs-qa", "messages": [{"role": "user", "content": "secret-word?"}]}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The process has one tracer provider; what another test installed is used as it is."""
    memory = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": "Basic Z3M6"},
        {"authorization": "Bearer gs_wrong"},
        {"authorization": f"Bearer {'x' * 5000}"},
        {"authorization": "Bearer gs_ü".encode("latin-1")},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/requests"),
        ("POST", "/v1/files"),
        ("GET", "/v1/documents"),
        ("GET", "/v1/sources"),
        ("POST", "/v1/keys"),
    ],
)
async def test_without_a_known_key_nothing_is_done(
    fakes: Any, method: str, path: str, headers: dict[str, str | bytes]
) -> None:
    async with fakes.client(None) as client:
        response = await client.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_keys_that_cannot_be_looked_up_now_are_not_refused(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.keys.error = Unavailable("PostgreSQL: OperationalError")
    response = await client.get("/v1/models")
    assert response.status_code == 503
    assert "retry-after" in response.headers


async def test_health_needs_no_key_and_readiness_says_what_is_missing(fakes: Any) -> None:
    async with fakes.client(None) as client:
        assert (await client.get("/healthz")).json() == {"alive": True}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "missing": {}})
        fakes.missing = {"generator": "no process is ready"}
        waiting = await client.get("/readyz")
    assert (waiting.status_code, waiting.json()["missing"]) == (503, {"generator": "no process is ready"})


async def test_health_is_told_to_a_load_balancer_that_asks_for_heads_alone(fakes: Any) -> None:
    fakes.missing = {"generator": "no process is ready"}
    async with fakes.client(None) as client:
        assert (await client.head("/healthz")).status_code == 200
        assert (await client.head("/readyz")).status_code == 503


async def test_addresses_and_methods_that_are_none_are_answered_in_the_same_shape(client: httpx.AsyncClient) -> None:
    nowhere = await client.get("/v1/nothing/secret-word")
    assert nowhere.status_code == 404
    assert nowhere.json()["error"]["code"] == "not_found"
    assert "secret-word" not in nowhere.text
    wrong = await client.delete("/v1/models")
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "GET"


async def test_the_span_of_a_request_goes_on_from_the_clients_and_is_current_at_the_desk(
    client: httpx.AsyncClient, fakes: Any, exporter: InMemorySpanExporter
) -> None:
    seen: list[str | None] = []
    accept = fakes.desk.accept

    async def watched(question: Any) -> Any:
        seen.append(current_trace_id())
        return await accept(question)

    fakes.desk.accept = watched
    exporter.clear()
    response = await client.post(
        "/v1/chat/completions", json=QUESTION, headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    )
    assert seen == [TRACE_ID]
    assert TRACE_ID in response.headers["traceparent"]
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /v1/chat/completions"
    assert span.attributes is not None
    assert span.attributes["http.route"] == "/v1/chat/completions"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["groundswell.request.id"] == response.headers["x-request-id"]
    assert span.attributes["groundswell.tenant"] == "blue"


async def test_requests_are_measured_by_route_and_not_by_path(client: httpx.AsyncClient) -> None:
    def count() -> float:
        labels = {"method": "GET", "route": "/v1/requests/{request_id}", "status": "404"}
        return REGISTRY.get_sample_value("groundswell_http_request_seconds_count", labels) or 0.0

    before = count()
    await client.get("/v1/requests/req_0123456789abcdef01234567")
    assert count() == before + 1


async def test_logs_carry_ids_and_nothing_that_was_said(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.desk.error = ValueError("secret-word")
    with structlog.testing.capture_logs() as records:
        await client.post("/v1/chat/completions", json=QUESTION)
        await client.get("/v1/documents/secret-word?source=secret-word")
    assert [record["event"] for record in records] == ["http request broke off", "http request", "http request"]
    assert "secret-word" not in repr(records)
    assert "gs_" not in repr(records)
    assert records[1]["status"] == 500
