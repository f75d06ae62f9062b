"""Topics get more partitions while everything runs: what lies on the new ones is taken, from their beginning."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume, listen, subscribe
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.bus.publisher import Publisher
from groundswell.common.testing.bench import SERVICE, Bench, Line, Told, answer, bench_on
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier
from groundswell.common.topics import physical_topics

pytestmark = pytest.mark.connected

BEFORE, AFTER = 2, 6
STREAMS = [f"stream-{number}" for number in range(24)]
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


async def go_on(bench: Bench, publisher: Publisher, numbers: Sequence[int]) -> None:
    """The next events of every stream, by key."""
    for number in numbers:
        for stream in STREAMS:
            event = bench.tell(number, bench.line.broadcast, key=stream, payload=Told(number=number))
            await publisher.publish(event)


async def test_a_stream_stands_still_until_its_reader_finds_the_partition_that_it_moved_to_and_is_whole(
    components: Any,
) -> None:
    """As `evt.answer-stream` does when a producer, here one that starts later, learns of new partitions first."""
    heard: dict[str, list[int]] = defaultdict(list)

    async def hear(message: Received[Any]) -> None:
        heard[message.key].append(message.payload.number)

    async with (
        bench_on(components.kafka, partitions=BEFORE) as bench,
        bench.working(listen(bench.line.broadcast, hear)),
    ):
        await go_on(bench, bench.publisher, range(3))
        await until(lambda: heard == {stream: [0, 1, 2] for stream in STREAMS})
        await ensure_topics(bench.kafka, physical_topics(Line.new(AFTER, bench.line.name).topics))
        later = Publisher(bench.kafka, service=SERVICE, clock=BrokerClock())
        try:
            await go_on(bench, later, range(3, 6))
        finally:
            await later.stop()
        await until(lambda: heard == {stream: [0, 1, 2, 3, 4, 5] for stream in STREAMS}, within_s=FOUND_WITHIN_S)
        moved = [
            record
            for record in await records_on(bench.kafka, bench.line.broadcast.physical_name)
            if record.partition >= BEFORE
        ]
        assert moved
