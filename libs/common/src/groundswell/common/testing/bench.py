"""A bench on the real Kafka: topics of one test's own, a bus that works them, and eyes on what lies on them."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from groundswell.common.blobs import Blobs
from groundswell.common.bus.admin import delete_topics, ensure_topics
from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.codec import decode
from groundswell.common.bus.connection import Bus, Subscription
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.inspection import committed_offsets, records_on
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.bus.publisher import Publisher
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.errors import Unavailable
from groundswell.common.ids import CorrelationId, TeamId
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier
from groundswell.common.topics import CLOCK, Command, Event, Reply, Topic, physical_topics

SERVICE = "bench"
TEAM = TeamId("red")
SESSION_S = 3.0


class Ask(Message):
    number: int
    note: str = ""


class Answered(Message):
    number: int
    note: str = ""


class Told(Message):
    number: int
    note: str = ""


@dataclass(frozen=True)
class Line:
    """Topics that nobody else has."""

    command: Command
    replies: Reply
    event: Event
    broadcast: Event

    @classmethod
    def new(cls, partitions: int = 1, name: str = "") -> "Line":
        """A line with a name of its own, or the one that another process made as `name`."""
        name = name or f"t{secrets.token_hex(5)}"
        common: dict[str, Any] = {
            "key": "key",
            "owner": SERVICE,
            "producers": (SERVICE,),
            "consumers": (SERVICE,),
            "partitions": partitions,
            "purpose": "a test",
        }
        outcomes = (Answered, CommandFailed, CommandExpired)
        return cls(
            Command(name=f"cmd.{name}", payloads=(Ask,), outcomes=outcomes, **common),
            Reply(name=f"rpl.{name}", payloads=outcomes, **common),
            Event(name=f"evt.{name}", payloads=(Told,), **common),
            Event(name=f"evt.{name}-all", payloads=(Told,), broadcast=True, **common),
        )

    @property
    def name(self) -> str:
        return self.command.name.removeprefix("cmd.")

    @property
    def topics(self) -> tuple[Topic, ...]:
        return (self.command, self.replies, self.event, self.broadcast)


@dataclass
class Bench:
    """A line on a broker, with a publisher."""

    kafka: str
    line: Line
    publisher: Publisher

    @property
    def claims(self) -> Claims:
        return self.publisher.claims

    @property
    def command(self) -> Command:
        return self.line.command

    def ask(self, number: int, *, tier: Tier = Tier.STANDARD, life_s: float = 60.0, **changes: Any) -> Outgoing:
        values: dict[str, Any] = {
            "topic": self.command[tier],
            "payload": Ask(number=number),
            "key": f"key-{number}",
            "correlation_id": CorrelationId(f"req_{number}"),
            "tenant": TEAM,
            "tier": tier,
            "deadline": time.time() + life_s,
            "reply_to": ReplyAddress(self.line.replies.physical_name, 0),
        }
        return Outgoing(**(values | changes))

    def tell(self, number: int, event: Event, **changes: Any) -> Outgoing:
        fact: dict[str, Any] = {"topic": event.physical_name, "payload": Told(number=number), "reply_to": None}
        return self.ask(number, **(fact | changes))

    async def asks(self, numbers: Sequence[int], **changes: Any) -> None:
        for number in numbers:
            await self.publisher.publish(self.ask(number, **changes))

    async def raw(self, topic: str, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Lay a record as it is."""
        await self.publisher.publish_raw(topic, value, headers, key=b"raw", partition=0)

    @asynccontextmanager
    async def working(
        self, *subscriptions: Subscription, service: str = SERVICE, drain_s: float = 5.0
    ) -> AsyncIterator[Bus]:
        """A started bus with `subscriptions`; stopped at the end."""
        bus = Bus(self.kafka, service=service, subscriptions=subscriptions, session_s=SESSION_S, claims=self.claims)
        try:
            await bus.publisher.start()
            tasks = await bus.start()
            yield bus
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await bus.stop(drain_s)

    async def outcomes(self) -> list[Received[Message]]:
        """Everything on the reply topic."""
        replies = self.line.replies
        records = await records_on(self.kafka, replies.physical_name)
        return [decode(await self.claims.redeem(record), replies.by_type, BrokerClock()) for record in records]

    async def answered(self) -> list[int]:
        """The numbers that were answered, sorted, with repetitions."""
        return sorted(item.payload.number for item in await self.outcomes() if isinstance(item.payload, Answered))

    async def until_answered(self, *numbers: int) -> None:
        """Wait until exactly these numbers were answered."""

        async def all_answered() -> bool:
            answered = await self.answered()
            assert answered == sorted(numbers), answered
            return True

        await eventually(all_answered)

    async def until_committed(self, topic: str, offset: int) -> None:
        """Wait until the group has committed `offset` in all on `topic`."""

        async def is_committed() -> bool:
            found = await self.committed(topic)
            assert found == offset, found
            return True

        await eventually(is_committed)

    async def dead(self, topic: Topic | None = None) -> list[dict[str, str]]:
        """Headers of the dead letters, with the raw value under `value`."""
        records = await records_on(self.kafka, (topic or self.command).dead_letters(SERVICE))
        return [
            {name: value.decode("utf-8", "replace") for name, value in record.headers}
            | {"value": (record.value or b"").decode("utf-8", "replace")}
            for record in records
        ]

    async def committed(self, topic: str) -> int:
        """Offsets that the bench's group committed on `topic`, summed over partitions."""
        offsets = await committed_offsets(self.kafka, f"{SERVICE}.{topic}")
        return sum(offsets.get(topic, {}).values())


@asynccontextmanager
async def bench_on(
    kafka: str, *, partitions: int = 1, line: Line | None = None, blobs: Blobs | None = None
) -> AsyncIterator[Bench]:
    """A bench with `line`, or one of its own with topics of `partitions` partitions. Claims lie in `blobs`."""
    line = line or Line.new(partitions)
    await ensure_topics(kafka, [*physical_topics(line.topics), CLOCK])
    claims = Claims(blobs, line.topics)
    publisher = Publisher(kafka, service=SERVICE, clock=BrokerClock(), claims=claims)
    await publisher.start()
    try:
        yield Bench(kafka, line, publisher)
    finally:
        await publisher.stop()
        with suppress(Unavailable):  # a test may have killed its broker
            await delete_topics(kafka, [topic.name for topic in physical_topics(line.topics)])


async def answer(message: Received[Ask]) -> list[Outgoing]:
    """The plainest handler."""
    return [reply(message, Answered(number=message.payload.number))]
