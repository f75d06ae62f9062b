"""What travels in these measures, and on which topics."""

import time
from typing import Any

from groundswell.common.bus.envelope import Envelope, RawHeaders
from groundswell.common.bus.messages import Outgoing
from groundswell.common.contracts.message import Message
from groundswell.common.ids import CorrelationId, TeamId, new_message_id
from groundswell.common.tiers import Tier
from groundswell.common.topics import Command

BYTES = 512
HOPS = 5
LIFE_S = 3600.0
TEAM = TeamId("bench")


class Parcel(Message):
    number: int
    filling: str


def parcel(number: int) -> Parcel:
    """One whose JSON has 512 bytes."""
    bare = Parcel(number=number, filling="")
    return Parcel(number=number, filling="x" * (BYTES - len(bare.model_dump_json())))


def command(name: str) -> Command:
    """In three tiers, with as many partitions as commands of the catalogue have."""
    common: dict[str, Any] = {"owner": "bench", "producers": ("bench",), "consumers": ("bench",)}
    return Command(
        name=f"cmd.{name}", payloads=(Parcel,), outcomes=(), key="parcel", purpose="to be measured", **common
    )


def chain(name: str) -> tuple[Command, ...]:
    """One for each hop."""
    return tuple(command(f"{name}-{hop}") for hop in range(1, HOPS + 1))


def outgoing(number: int, to: Command, tier: Tier) -> Outgoing:
    return Outgoing(
        topic=to[tier],
        payload=parcel(number),
        key=str(number),
        correlation_id=_correlation(number),
        tenant=TEAM,
        tier=tier,
        deadline=time.time() + LIFE_S,
    )


def headers(number: int, tier: Tier) -> RawHeaders:
    """What the bus sends beside a parcel."""
    envelope = Envelope(
        message_id=new_message_id(),
        type=Parcel.type_name(),
        source="groundswell/bench",
        correlation_id=_correlation(number),
        tenant=TEAM,
        tier=tier,
        remaining_ms=int(LIFE_S * 1000),
        sent_ms=int(time.time() * 1000),
        trace={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
    )
    return envelope.to_headers()


def _correlation(number: int) -> CorrelationId:
    return CorrelationId(f"req_{number:024x}")
