"""Members come and go while work is in hand: nothing is lost, and what was admitted is not done twice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import pytest

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import Batch, Consumption, consume, consume_batches, consume_stream
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.bus.watchdog import is_behind
from groundswell.common.bus.work_source import WorkSource
from groundswell.common.errors import Overloaded
from groundswell.common.testing.bench import SERVICE, Answered, Ask, Bench, answer
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected


def source_of(bus: Bus, bench: Bench) -> WorkSource:
    """Its source of the standard tier."""
    (source,) = (source for source in bus._sources if source.topic == bench.command[Tier.STANDARD])
    return source


def partitions_of(bus: Bus, bench: Bench) -> int:
    return len(source_of(bus, bench)._consumer.assignment())


async def test_two_members_share_the_partitions_and_hand_over_without_doubling_short_work(wide_bench: Bench) -> None:
    bench, handled = wide_bench, Counter[int]()

    async def work(message: Received[Ask]) -> Sequence[Outgoing]:
        await asyncio.sleep(0.02)
        handled[message.payload.number] += 1
        return await answer(message)

    async with bench.working(consume(bench.command, work, slots=2)) as first:
        await bench.asks(range(40))
        async with bench.working(consume(bench.command, work, slots=2)) as second:
            await until(lambda: [partitions_of(bus, bench) for bus in (first, second)] == [2, 2])
            await bench.asks(range(40, 80))
        await bench.asks(range(80, 100))
        await bench.until_answered(*range(100))
        await bench.until_committed(bench.command[Tier.STANDARD], 100)
    assert set(handled.values()) == {1}


async def test_a_rebalance_while_a_batch_fills_loses_and_doubles_nothing(wide_bench: Bench) -> None:
    bench, handled = wide_bench, Counter[int]()

    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        handled.update(message.payload.number for message in messages)
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    def batches() -> Consumption:
        return consume_batches(bench.command, embed, batch=Batch(messages=500, wait_s=0.4))

    async with bench.working(batches()) as first:
        await until(lambda: partitions_of(first, bench) == 4)
        for wave in range(3):
            await bench.asks(range(wave * 10, wave * 10 + 10))
            async with bench.working(batches()) as second:
                await until(lambda second=second: partitions_of(second, bench) == 2)  # type: ignore[misc]
        await bench.until_answered(*range(30))
        await bench.until_committed(bench.command[Tier.STANDARD], 30)
    assert set(handled.values()) == {1}


async def test_admitted_work_goes_on_through_a_rebalance_and_is_admitted_once(wide_bench: Bench) -> None:
    bench, finish, admitted = wide_bench, asyncio.Event(), Counter[int]()

    async def generate(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        number = message.payload.number
        admitted[number] += 1
        yield reply(message, Answered(number=number))
        await finish.wait()
        yield reply(message, Answered(number=100 + number))

    def streams() -> Consumption:
        return consume_stream(bench.command, generate, slots=4)  # one is kept for interactive work

    async with bench.working(streams()) as first:
        await bench.asks(range(3))
        await bench.until_answered(0, 1, 2)
        async with bench.working(streams()) as second:
            await until(lambda: [partitions_of(bus, bench) for bus in (first, second)] == [2, 2])
            await bench.asks(range(3, 6))
            finish.set()
            await bench.until_answered(*range(6), *range(100, 106))
    assert admitted == Counter(range(6))


async def test_work_that_outlasts_a_rebalance_is_done_again_and_nothing_is_lost(wide_bench: Bench) -> None:
    bench, chance = wide_bench, random.Random(7)

    async def work(message: Received[Ask]) -> Sequence[Outgoing]:
        await asyncio.sleep(chance.choice([0, 0.01, 0.2]))
        return await answer(message)

    async def member(stays_s: float) -> None:
        async with bench.working(consume(bench.command, work, slots=3), drain_s=0):
            await asyncio.sleep(stays_s)

    async with asyncio.TaskGroup() as group:
        for stays_s in (0.5, 0.9, 1.3):
            group.create_task(member(stays_s))
        await bench.asks(range(60))
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(bench.command[Tier.STANDARD], 60)
    assert set(await bench.answered()) == set(range(60))


async def test_a_consumer_that_stands_still_is_seen_to_be_behind(bench: Bench) -> None:
    async with bench.working(consume(bench.command, answer)) as bus:
        source = source_of(bus, bench)
        await until(lambda: source.assigned)
        assert not await is_behind(source._consumer)
        source._pause_for(60)
        await bench.asks([1])
        assert await is_behind(source._consumer)


async def test_dead_letters_above_their_rate_wait(bench: Bench) -> None:
    await bench.asks([0, 1])
    first, second = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    letters = DeadLetters(bench.publisher, service=SERVICE, burst=1, per_s=0.01)
    await letters.bury(bench.command, first, reason="x", attempts=0)
    with pytest.raises(Overloaded, match="too many dead letters") as caught:
        await letters.bury(bench.command, second, reason="x", attempts=0)
    assert caught.value.retry_after_s == pytest.approx(100, rel=0.1)
    assert [letter["dlq_offset"] for letter in await bench.dead()] == ["0"]
