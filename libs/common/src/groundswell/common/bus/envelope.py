"""What travels beside the payload: CloudEvents attributes in binary mode, FastStream's own headers and W3C trace context."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, MessageId, TeamId
from groundswell.common.tiers import Tier

SCHEMA_VERSION = 1
RawHeaders = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Where outcomes go. `partition` None: any, for a caller whose replicas share the topic in a group."""

    topic: str
    partition: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Headers, typed. `remaining_ms` counts from `sent_ms`, the sender's idea of the broker's clock at the publish call."""

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
        values: dict[str, object | None] = {
            "correlation_id": self.correlation_id,
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": self.message_id,
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_tenant": self.tenant,
            "ce_tier": self.tier.value,
            "ce_remainingms": self.remaining_ms,
            "ce_sentms": self.sent_ms,
            "ce_causationid": self.causation_id,
            "ce_attempt": self.attempt,
            "ce_epoch": self.epoch,
            "ce_schemaversion": self.schema_version,
            "ce_replytopic": self.reply_to.topic if self.reply_to else None,
            "ce_replypartition": self.reply_to.partition if self.reply_to else None,
            **self.trace,
        }
        return [(name, str(value).encode()) for name, value in values.items() if value is not None]


def parse(raw: Iterable[tuple[str, bytes]]) -> Envelope:
    """Read the headers of a record. Raises Rejected naming the header that is missing or wrong."""
    values = _decoded(raw)
    try:
        version = int(values.get("ce_schemaversion", "1"))
        if version > SCHEMA_VERSION:
            raise Rejected(f"schema version {version} is newer than {SCHEMA_VERSION}, which this process reads")
        return Envelope(
            message_id=MessageId(values["ce_id"]),
            type=values["ce_type"],
            source=values.get("ce_source", ""),
            correlation_id=CorrelationId(values["correlation_id"]),
            tenant=TeamId(values["ce_tenant"]),
            tier=Tier(values["ce_tier"]),
            remaining_ms=int(values["ce_remainingms"]),
            sent_ms=int(values["ce_sentms"]),
            causation_id=MessageId(values["ce_causationid"]) if "ce_causationid" in values else None,
            attempt=int(values.get("ce_attempt", "1")),
            epoch=int(values.get("ce_epoch", "0")),
            reply_to=_reply_address(values),
            schema_version=version,
            trace={name: values[name] for name in ("traceparent", "tracestate", "baggage") if name in values},
        )
    except KeyError as missing:
        raise Rejected(f"header {missing.args[0]} is missing") from None
    except ValueError as wrong:
        raise Rejected(f"a header has a value that cannot be: {wrong}") from None


def _decoded(raw: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    values = {}
    for name, value in raw:
        try:
            values[name] = value.decode()
        except UnicodeDecodeError:
            raise Rejected(f"header {name!r} is not UTF-8") from None
    return values


def _reply_address(values: Mapping[str, str]) -> ReplyAddress | None:
    if "ce_replytopic" not in values:
        return None
    partition = values.get("ce_replypartition")
    return ReplyAddress(values["ce_replytopic"], int(partition) if partition is not None else None)
