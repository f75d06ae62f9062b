"""What a handler receives and returns."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, MessageId, TeamId, new_message_id
from groundswell.common.tiers import Tier
from groundswell.common.topics import Command, Event

P_co = TypeVar("P_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Received(Generic[P_co]):
    """A decoded record. `deadline` is in local wall-clock seconds."""

    payload: P_co
    envelope: Envelope
    deadline: float
    origin: Origin
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to publish. `topic` is physical; `deadline` in local wall-clock seconds."""

    topic: str
    payload: Message
    key: str
    correlation_id: CorrelationId
    tenant: TeamId
    tier: Tier
    deadline: float
    partition: int | None = None
    attempt: int = 1
    epoch: int = 0
    causation_id: MessageId | None = None
    reply_to: ReplyAddress | None = None
    message_id: MessageId = field(default_factory=new_message_id)


def reply(to: Received[Message], payload: Message) -> Outgoing:
    """The outcome of a command, to where the command asked for it. Raises Rejected if it asked for none."""
    if to.envelope.reply_to is None:
        raise Rejected(f"{to.envelope.type} needs a reply address")
    return outcome_of(to.envelope, to.envelope.reply_to, payload, key=to.key, deadline=to.deadline)


def outcome_of(envelope: Envelope, address: ReplyAddress, payload: Message, *, key: str, deadline: float) -> Outgoing:
    """The outcome of the command that came in `envelope`."""
    return Outgoing(
        topic=address.topic,
        partition=address.partition,
        payload=payload,
        key=key or envelope.correlation_id,
        correlation_id=envelope.correlation_id,
        tenant=envelope.tenant,
        tier=envelope.tier,
        deadline=deadline,
        attempt=envelope.attempt,
        epoch=envelope.epoch,
        causation_id=envelope.message_id,
    )


def follow(cause: Received[Message], topic: Command | Event, payload: Message, **changes: object) -> Outgoing:
    """A command or event because of `cause`: it inherits correlation, tenant, tier, deadline and key.

    `changes` override fields of the Outgoing.
    """
    inherited: dict[str, object] = {
        "topic": topic[cause.envelope.tier] if isinstance(topic, Command) else topic.physical_name,
        "payload": payload,
        "key": cause.key,
        "correlation_id": cause.envelope.correlation_id,
        "tenant": cause.envelope.tenant,
        "tier": cause.envelope.tier,
        "deadline": cause.deadline,
        "causation_id": cause.envelope.message_id,
    }
    return Outgoing(**(inherited | changes))  # type: ignore[arg-type]
