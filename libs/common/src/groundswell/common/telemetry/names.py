"""Every metric, span attribute and log field, with kind, unit and meaning.

Labels come from an allow-list: never a user, a tenant or an id.
"""

from enum import StrEnum
from functools import cache
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

ALLOWED_LABELS = frozenset(
    {"topic", "tier", "outcome", "stage", "model", "rule", "reason", "method", "route", "status"}
)

M = TypeVar("M", Counter, Gauge, Histogram)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"groundswell_{name}", meaning, _allowed(labels))


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"groundswell_{name}", meaning, _allowed(labels))


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
    return Histogram(f"groundswell_{name}", meaning, _allowed(labels), buckets=buckets)


@cache
def labelled(metric: M, *labels: str) -> M:
    """As `metric.labels`, which takes a lock and makes strings of its arguments each time."""
    return metric.labels(*labels)


def _allowed(labels: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(labels) - ALLOWED_LABELS
    if unknown:
        raise ValueError(f"labels {sorted(unknown)} are not on the allow-list")
    return labels


class Attribute(StrEnum):
    """Span attributes and log fields; messaging ones follow OpenTelemetry's semantic conventions."""

    REQUEST_ID = "groundswell.request.id"
    TENANT = "groundswell.tenant"
    TIER = "groundswell.tier"
    ATTEMPT = "groundswell.attempt"
    MESSAGE_TYPE = "groundswell.message.type"
    DESTINATION = "messaging.destination.name"
    SYSTEM = "messaging.system"
    PARTITION = "messaging.kafka.destination.partition"
    OFFSET = "messaging.kafka.message.offset"
    BATCH_SIZE = "messaging.batch.message_count"
    HTTP_METHOD = "http.request.method"
    HTTP_ROUTE = "http.route"
    HTTP_STATUS = "http.response.status_code"


# Bus
MESSAGES_HANDLED = _counter(
    "messages_handled",
    "Records taken off a topic: handled, expired, cancelled, failed, rejected",
    "topic",
    "tier",
    "outcome",
)
HANDLING_SECONDS = _histogram("message_handling_seconds", "Handler start to effects published", "topic", "tier")
WAIT_SECONDS = _histogram("message_wait_seconds", "Append to the log until handler start", "topic", "tier")
OLDEST_WAIT_SECONDS = _gauge(
    "oldest_wait_seconds",
    "Append to the log until now, of the oldest record taken whose turn has not come",
    "topic",
    "tier",
)
IN_FLIGHT = _gauge("messages_in_flight", "Records taken and not complete", "topic", "tier")
LAG = _gauge("consumer_lag_messages", "Records on assigned partitions not taken yet", "topic", "tier")
PUBLISH_SECONDS = _histogram("publish_seconds", "Publish call to acknowledgement", "topic")
PUBLISH_FAILURES = _counter("publish_failures", "Publishes given up at their deadline", "topic")
DEAD_LETTERS = _counter("dead_letters", "Records written to a dead-letter topic", "topic", "reason")
COMMIT_FAILURES = _counter("commit_failures", "Offset commits refused; the records come again", "topic", "tier")
OUTBOX_MESSAGES = _counter("outbox_messages", "Messages out of an outbox: published, swept, or put off", "outcome")
LINES_FED = _counter("lines_fed", "Lines of bulk work that left the waiting: accepted or refused", "outcome")

# Orchestrator
REQUESTS_ENDED = _counter("requests_ended", "Requests by terminal state", "tier", "outcome")
REQUEST_STAGE_SECONDS = _histogram("request_stage_seconds", "Time a request spent in a stage", "stage")
TIME_TO_FIRST_TOKEN_SECONDS = _histogram(
    "time_to_first_token_seconds", "Accepted until the first released text", "tier"
)
STREAMS_OPEN = _gauge("streams_open", "Clients that are being streamed to")
HTTP_SECONDS = _histogram("http_request_seconds", "HTTP request until the response's end", "method", "route", "status")

# Ingest and embedder
DOCUMENTS_INGESTED = _counter("documents_ingested", "Document revisions by how they ended", "outcome")
CHUNKS_EMBEDDED = _counter("chunks_embedded", "Chunks embedded and indexed")
EMBED_BATCH_CHUNKS = _histogram("embed_batch_chunks", "Chunks in one call of the encoder", buckets=COUNTS)
ENCODE_SECONDS = _histogram("encode_seconds", "One call of an encoder", "model")

# Retriever
RETRIEVALS = _counter("retrievals", "Retrievals by outcome", "outcome")
SEARCH_SECONDS = _histogram("search_seconds", "One search in the index", "method")
SEARCH_FAILURES = _counter("search_failures", "Searches given up after retries; the other method answers", "method")
CHUNKS_CHECKED = _counter("chunks_checked", "Chunks found: kept, or dropped by manifest or rights", "outcome")

# Moderator
VERDICTS = _counter("verdicts", "Verdicts by outcome and rule", "outcome", "rule")

# Generator
TOKENS_GENERATED = _counter("tokens_generated", "Tokens that models produced", "model")
GENERATIONS_ENDED = _counter("generations_ended", "Admitted attempts by how they ended", "model", "outcome")
STEP_SECONDS = _histogram("engine_step_seconds", "One step of the engine over its batch", "model")
RUNNING_ATTEMPTS = _gauge("running_attempts", "Attempts in the engine", "model")
