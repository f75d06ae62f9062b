"""Records to messages, one at a time: what cannot be read costs itself only."""

from collections.abc import Mapping

from aiokafka import ConsumerRecord
from pydantic import ValidationError

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.envelope import parse
from groundswell.common.bus.messages import Origin, Received
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Rejected


def decode(
    record: ConsumerRecord[bytes, bytes],
    types: Mapping[str, type[Message]],
    clock: BrokerClock,
) -> Received[Message]:
    """The message in `record`. Raises Rejected, whose reason names fields and never values."""
    envelope = parse(record.headers)
    model = types.get(envelope.type)
    if model is None:
        raise Rejected(f"type {envelope.type!r} does not belong on this topic")
    payload = _payload(model, record.value or b"")
    deadline_ms = min(record.timestamp, envelope.sent_ms) + envelope.remaining_ms
    return Received(
        payload=payload,
        envelope=envelope,
        deadline=clock.to_local_s(deadline_ms),
        origin=Origin(record.topic, record.partition, record.offset),
        key=(record.key or b"").decode("utf-8", "replace"),
    )


def _payload(model: type[Message], value: bytes) -> Message:
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        wrong = sorted({".".join(map(str, problem["loc"])) or "the payload" for problem in error.errors()})
        raise Rejected(f"{model.type_name()} does not fit its schema: {', '.join(wrong[:5])}") from None
    except Exception as error:  # noqa: BLE001 - a validator's own mistake must not stop the consumer at this record
        raise Rejected(f"{model.type_name()} cannot be read: {type(error).__name__}") from None
