"""What travels beside the payload: CloudEvents in binary mode, FastStream's own headers and W3C trace context."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, MessageId, TeamId
from groundswell.common.tiers import Tier

SCHEMA_VERSION = 1
LONGEST_REMAINING_MS = 366 * 24 * 3_600_000
LATEST_MS = 10**14
"""Times beyond the year 5138 are no times; unbounded ones would not fit a float."""
MOST = 2**31 - 1

T = TypeVar("T")
RawHeaders = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Where outcomes go. `partition` None: any, for a caller whose replicas share the topic in a group."""

    topic: str
    partition: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Headers, typed.

    `remaining_ms` counts from `sent_ms`, the sender's idea of the broker's clock at the publish call.
    """

    message_id: MessageId
    type: str
    source: str
    correlation_id: CorrelationId
    tenant: TeamId
    tier: Tier
    remaining_ms: int
    sent_ms: int
    causation_id: MessageId | None = None
    attempt: int = 1
    epoch: int = 0
    reply_to: ReplyAddress | None = None
    schema_version: int = SCHEMA_VERSION
    trace: Mapping[str, str] = field(default_factory=dict)

    def to_headers(self) -> RawHeaders:
        """UTF-8 headers as Kafka takes them."""
        headers = [
            ("correlation_id", self.correlation_id.encode()),
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", self.message_id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_tenant", self.tenant.encode()),
            ("ce_tier", self.tier.value.encode()),
            ("ce_remainingms", b"%d" % self.remaining_ms),
            ("ce_sentms", b"%d" % self.sent_ms),
            ("ce_attempt", b"%d" % self.attempt),
            ("ce_epoch", b"%d" % self.epoch),
            ("ce_schemaversion", b"%d" % self.schema_version),
        ]
        if self.causation_id is not None:
            headers.append(("ce_causationid", self.causation_id.encode()))
        if self.reply_to is not None:
            headers.append(("ce_replytopic", self.reply_to.topic.encode()))
            if self.reply_to.partition is not None:
                headers.append(("ce_replypartition", b"%d" % self.reply_to.partition))
        headers += ((name, value.encode()) for name, value in self.trace.items())
        return headers


def parse(raw: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read the headers of a record. Raises Rejected naming the header that is missing or wrong, never its value."""
    headers = _Headers(raw)
    version = headers.count("ce_schemaversion", 1)
    if version > SCHEMA_VERSION:
        raise Rejected(f"schema version {version} is newer than {SCHEMA_VERSION}, which this process reads")
    causation = headers.optional("ce_causationid")
    return Envelope(
        message_id=MessageId(headers.text("ce_id")),
        type=headers.text("ce_type"),
        source=headers.optional("ce_source") or "",
        correlation_id=CorrelationId(headers.text("correlation_id")),
        tenant=TeamId(headers.text("ce_tenant")),
        tier=headers.read("ce_tier", Tier),
        remaining_ms=headers.number("ce_remainingms", LONGEST_REMAINING_MS),
        sent_ms=headers.number("ce_sentms", LATEST_MS),
        causation_id=MessageId(causation) if causation is not None else None,
        attempt=headers.count("ce_attempt", 1),
        epoch=headers.count("ce_epoch", 0),
        reply_to=_reply_address(headers),
        schema_version=version,
        trace=headers.some("traceparent", "tracestate", "baggage"),
    )


def _reply_address(headers: "_Headers") -> ReplyAddress | None:
    topic = headers.optional("ce_replytopic")
    if topic is None:
        return None
    named = headers.optional("ce_replypartition") is not None
    return ReplyAddress(topic, headers.number("ce_replypartition", MOST) if named else None)


class _Headers:
    def __init__(self, raw: Iterable[tuple[str, bytes | None]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in raw:
            try:
                self._values[name] = (value or b"").decode()
            except UnicodeDecodeError:
                raise Rejected(f"header {name!r} is not UTF-8") from None

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise Rejected(f"header {name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        return self._values.get(name)

    def read(self, name: str, convert: Callable[[str], T]) -> T:
        try:
            return convert(self.text(name))
        except ValueError:
            raise Rejected(f"header {name} has a value that cannot be") from None

    def number(self, name: str, most: int) -> int:
        value = self.read(name, int)
        if not 0 <= value <= most:
            raise Rejected(f"header {name} is out of range")
        return value

    def count(self, name: str, default: int) -> int:
        return self.number(name, MOST) if name in self._values else default

    def some(self, *names: str) -> dict[str, str]:
        return {name: self._values[name] for name in names if name in self._values}
