"""Work that waits for its turn, on the real Kafka: the most urgent first, and what nobody wants any more at no cost."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from groundswell.common.bus.consumption import Batch, Consumption, consume, consume_stream
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.message import CommandExpired, Message
from groundswell.common.testing.bench import Answered, Ask, Bench, answer
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected


class Desk:
    """Handlers that note whom they serve, and keep the first one until released."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.release = asyncio.Event()

    async def handle(self, message: Received[Ask]) -> Sequence[Outgoing]:
        return await self.handle_batch([message])

    async def handle_batch(self, messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        self.order += [message.payload.number for message in messages]
        await self.release.wait()
        return [outgoing for message in messages for outgoing in await answer(message)]

    async def handle_stream(self, message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        for outgoing in await self.handle(message):
            yield outgoing


def sample(bench: Bench, name: str, tier: Tier = Tier.STANDARD, **labels: str) -> float:
    labels |= {"topic": bench.command.name, "tier": tier.value}
    return REGISTRY.get_sample_value(f"groundswell_{name}", labels) or 0.0


def handled(bench: Bench, outcome: str) -> float:
    return sample(bench, "messages_handled_total", outcome=outcome)


async def until_taken(bench: Bench, records: int) -> None:
    await until(lambda: sample(bench, "messages_in_flight") == records)


async def test_inside_a_tier_the_earliest_deadline_is_served_first(bench: Bench) -> None:
    desk = Desk()
    for number, life_s in enumerate((60, 500, 100, 300)):
        await bench.asks([number], life_s=life_s)
    async with bench.working(consume(bench.command, desk.handle, slots=1)):
        await until_taken(bench, 4)
        desk.release.set()
        await bench.until_answered(0, 1, 2, 3)
    assert desk.order == [0, 2, 3, 1]


async def test_a_batch_is_as_urgent_as_its_most_urgent_message(bench: Bench) -> None:
    desk = Desk()
    for number, life_s in enumerate((60, 60, 500, 400, 590, 100)):
        await bench.asks([number], life_s=life_s)
    batches = Consumption(
        topic=bench.command,
        handle_batch=desk.handle_batch,
        batch=Batch(messages=2, wait_s=1),
        slots=1,
        prefetch=2,
    )
    async with bench.working(batches):
        await until_taken(bench, 6)
        desk.release.set()
        await bench.until_answered(*range(6))
    assert desk.order == [0, 1, 4, 5, 2, 3]


async def test_a_command_that_expires_while_it_waits_is_answered_so_and_not_handled(bench: Bench) -> None:
    desk = Desk()
    await bench.asks([0])
    async with bench.working(consume(bench.command, desk.handle, slots=1)):
        await until(lambda: desk.order == [0])
        short = bench.ask(1, life_s=4)
        await bench.publisher.publish(short)
        await until_taken(bench, 2)
        assert handled(bench, "expired") == 0
        await until(lambda: time.time() > short.deadline)
        desk.release.set()
        await bench.until_committed(bench.command[Tier.STANDARD], 2)
    assert desk.order == [0]
    expired = [item for item in await bench.outcomes() if isinstance(item.payload, CommandExpired)]
    assert [item.envelope.correlation_id for item in expired] == ["req_1"]
    assert (handled(bench, "handled"), handled(bench, "expired")) == (1, 1)


async def test_a_command_cancelled_while_it_waits_is_answered_so_and_not_handled(bench: Bench) -> None:
    desk, cancelled = Desk(), set[int]()

    def when_cancelled(message: Received[Any]) -> Message | None:
        number = message.payload.number
        return Answered(number=100 + number) if number in cancelled else None

    await bench.asks([0, 1, 2])
    streams = consume_stream(bench.command, desk.handle_stream, slots=1, prefetch=2, when_cancelled=when_cancelled)
    async with bench.working(streams):
        await until_taken(bench, 3)
        cancelled |= {0, 1}
        desk.release.set()
        await bench.until_answered(0, 2, 101)
        await bench.until_committed(bench.command[Tier.STANDARD], 3)
    assert desk.order == [0, 2], "what runs is stopped by its handler"
    assert (handled(bench, "handled"), handled(bench, "cancelled")) == (2, 1)


async def test_a_command_cancelled_before_it_was_read_or_between_two_tries_is_not_tried(bench: Bench) -> None:
    cancelled = {0}
    tries: list[int] = []

    async def fail(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        tries.append(message.payload.number)
        cancelled.add(message.payload.number)
        if tries:
            raise ZeroDivisionError
        yield reply(message, Answered(number=-1))

    def when_cancelled(message: Received[Any]) -> Message | None:
        number = message.payload.number
        return Answered(number=100 + number) if number in cancelled else None

    await bench.asks([0, 1])
    async with bench.working(consume_stream(bench.command, fail, slots=1, when_cancelled=when_cancelled)):
        await bench.until_answered(100, 101)
        await bench.until_committed(bench.command[Tier.STANDARD], 2)
    assert tries == [1]
    assert await bench.dead() == []


async def test_a_bug_in_telling_whether_a_command_was_cancelled_costs_nobody_anything(bench: Bench) -> None:
    desk = Desk()
    desk.release.set()

    def when_cancelled(message: Received[Any]) -> Message | None:
        raise ZeroDivisionError(message.payload.note)

    await bench.asks([0, 1])
    async with bench.working(consume_stream(bench.command, desk.handle_stream, slots=1, when_cancelled=when_cancelled)):
        await bench.until_answered(0, 1)


async def test_what_cannot_be_read_waits_for_no_slot(bench: Bench) -> None:
    desk, topic = Desk(), bench.command[Tier.STANDARD]
    await bench.asks([0])
    await bench.raw(topic, b"{", [])
    await bench.asks([1], life_s=-1)
    async with bench.working(consume(bench.command, desk.handle, slots=1)):
        await until(lambda: handled(bench, "expired") == 1)
        await until(lambda: sample(bench, "messages_in_flight") == 1)
        assert len(await bench.dead()) == 1
        assert [item.payload for item in await bench.outcomes()] == [CommandExpired(command="Ask")]
        desk.release.set()
        await bench.until_committed(topic, 3)
    assert desk.order == [0]


async def test_the_oldest_wait_grows_while_a_record_waits_and_is_over_with_its_turn(bench: Bench) -> None:
    desk = Desk()
    await bench.asks([0, 1], tier=Tier.BULK)
    async with bench.working(consume(bench.command, desk.handle, slots=1)):
        await until(lambda: sample(bench, "oldest_wait_seconds", Tier.BULK) > 0.5)
        assert sample(bench, "oldest_wait_seconds") == 0
        desk.release.set()
        await until(lambda: sample(bench, "oldest_wait_seconds", Tier.BULK) == 0)


async def test_what_waits_when_its_process_stops_comes_again_unstarted(bench: Bench) -> None:
    desk, other = Desk(), Desk()
    await bench.asks([0, 1])
    await bench.raw(bench.command[Tier.STANDARD], b"{", [])
    async with bench.working(consume(bench.command, desk.handle, slots=1), drain_s=0):
        await until(lambda: desk.order == [0])
        await until(lambda: sample(bench, "messages_in_flight") == 2)
    other.release.set()
    async with bench.working(consume(bench.command, other.handle, slots=1)):
        await bench.until_answered(0, 1)
        await bench.until_committed(bench.command[Tier.STANDARD], 3)
    assert (desk.order, other.order) == ([0], [0, 1])
