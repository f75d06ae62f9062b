"""Topics get more partitions while everything runs: what lies on the new ones is taken, from their beginning."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume, listen, subscribe
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.testing.bench import Bench, Line, answer, bench_on
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier
from groundswell.common.topics import physical_topics

pytestmark = pytest.mark.connected

BEFORE, AFTER = 2, 6
FOUND_WITHIN_S = 40.0  # a look at the metadata every 15 s, and a rebalance


class Member:
    """A process of the service."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.heard: list[int] = []

    async def take(self, message: Received[Any]) -> Sequence[Outgoing]:
        self.told.append(message.payload.number)
        return []

    async def hear(self, message: Received[Any]) -> None:
        self.heard.append(message.payload.number)


async def send(bench: Bench, numbers: Sequence[int], partitions: int | None = None) -> None:
    """A command, an event and a broadcast of each number; with `partitions`, in turn to each of so many."""
    replies = bench.line.replies.physical_name
    for number in numbers:
        spread: dict[str, Any] = {} if partitions is None else {"partition": number % partitions}
        address = ReplyAddress(replies, number % (partitions or BEFORE))
        await bench.publisher.publish(bench.ask(number, reply_to=address, **spread))
        for event in (bench.line.event, bench.line.broadcast):
            await bench.publisher.publish(bench.tell(number, event, **spread))


async def test_every_topic_grows_under_its_producers_and_consumers_and_loses_nothing(components: Any) -> None:
    members = (Member(), Member())
    async with bench_on(components.kafka, partitions=BEFORE) as bench, AsyncExitStack() as running:
        line = bench.line
        buses: list[Bus] = []
        for member in members:
            subscriptions = (
                consume(line.command, answer),
                subscribe(line.event, member.take),
                listen(line.broadcast, member.hear),
            )
            buses.append(await running.enter_async_context(bench.working(*subscriptions)))
        await until(lambda: not any(bus.missing() for bus in buses))
        await send(bench, range(20))
        await ensure_topics(bench.kafka, physical_topics(Line.new(AFTER, line.name).topics))
        await send(bench, range(20, 40))  # by key, as far as the producer knows the partitions
        await send(bench, range(40, 100), AFTER)
        everything = list(range(100))
        await until(lambda: all(sorted(member.heard) == everything for member in members), within_s=FOUND_WITHIN_S)
        await until(lambda: sorted(set(members[0].told + members[1].told)) == everything, within_s=FOUND_WITHIN_S)
        await until(
            lambda: (
                sorted(number for bus in buses for number in bus.partitions(line.command)[Tier.STANDARD])
                == list(range(AFTER))
            ),
            within_s=FOUND_WITHIN_S,
        )
        await bench.until_answered(*everything)
        await bench.until_committed(line.command[Tier.STANDARD], 100)
        await bench.until_committed(line.event.physical_name, 100)
        assert await bench.dead() == await bench.dead(line.event) == []
