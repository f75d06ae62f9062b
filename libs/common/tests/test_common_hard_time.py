"""Clocks two minutes apart, work longer than the poll interval, an event loop that stands still past its session."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.contracts.message import CommandExpired
from groundswell.common.testing.bench import SESSION_S, Answered, Ask, Bench, answer
from groundswell.common.testing.waiting import eventually, until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected

ODD_WORKER = Path(__file__).parent / "odd_worker.py"
APART_S = 120.0
LIFE_S = 60.0


@asynccontextmanager
async def odd_worker(bench: Bench, *, skew_s: float = 0.0, block_s: float = 0.0) -> AsyncIterator[None]:
    """It must leave in order."""
    arguments = (bench.kafka, bench.line.name, str(skew_s), str(block_s))
    process = await asyncio.create_subprocess_exec(sys.executable, str(ODD_WORKER), *arguments)
    try:
        yield
    finally:
        process.terminate()
        code = await process.wait()
    assert code == 0


@pytest.mark.parametrize("skew_s", [APART_S, -APART_S])
async def test_clocks_two_minutes_apart_change_no_deadline(bench: Bench, skew_s: float) -> None:
    await bench.publisher.publish(bench.ask(0, life_s=-1))
    await bench.asks(range(1, 6), life_s=LIFE_S)
    async with odd_worker(bench, skew_s=skew_s):
        await bench.until_answered(*range(1, 6))
        await bench.asks(range(6, 9), life_s=LIFE_S)
        await bench.until_answered(*range(1, 9))
        await bench.until_committed(bench.command[Tier.STANDARD], 9)
    outcomes = await bench.outcomes()
    left_s = [float(item.payload.note) for item in outcomes if isinstance(item.payload, Answered)]
    assert all(LIFE_S - 30 < each <= LIFE_S + 1 for each in left_s), left_s
    # A reply inherits the deadline of its command, so the way back is right too.
    assert all(LIFE_S - 30 < item.envelope.remaining_ms / 1000 <= LIFE_S + 1 for item in outcomes[1:])
    assert [item.payload for item in outcomes if not isinstance(item.payload, Answered)] == [
        CommandExpired(command="Ask")
    ]


async def test_work_longer_than_the_poll_interval_is_done_once_and_costs_no_membership(wide_bench: Bench) -> None:
    bench, handled = wide_bench, Counter[int]()

    async def work(message: Received[Ask]) -> Sequence[Outgoing]:
        handled[message.payload.number] += 1
        await asyncio.sleep(1.0)
        return await answer(message)

    consumption = consume(bench.command, work, slots=1, prefetch=0)
    async with bench.working(consumption) as first, bench.working(consumption) as second:
        sources = [source for bus in (first, second) for source in bus._sources if source.topic.endswith("standard.v1")]
        await until(lambda: [len(source.partitions) for source in sources] == [2, 2])
        coordinators: list[Any] = [source._consumer._coordinator for source in sources]
        for coordinator in coordinators:
            coordinator._max_poll_interval = 0.5
        generations = [coordinator.generation for coordinator in coordinators]
        for number in range(8):
            await bench.publisher.publish(bench.ask(number, partition=number % 4))
        await bench.until_answered(*range(8))
        await bench.until_committed(bench.command[Tier.STANDARD], 8)
        assert [coordinator.generation for coordinator in coordinators] == generations
    assert handled == Counter(range(8))


async def test_a_loop_that_stands_still_past_its_session_loses_nothing_and_commits_nothing_that_is_not_its(
    wide_bench: Bench,
) -> None:
    """The group gives its partitions to the other, and it comes back.

    What it had fetched is done there too: until its next heartbeat is answered it cannot know that it is out.
    """
    bench, topic = wide_bench, wide_bench.command[Tier.STANDARD]
    async with odd_worker(bench, block_s=SESSION_S + 7):
        await bench.asks([100])
        await bench.until_answered(100)
        async with bench.working(consume(bench.command, answer)) as other:
            await until(lambda: len(other.partitions(bench.command)[Tier.STANDARD]) == 2)
            theirs = next(iter({0, 1, 2, 3} - set(other.partitions(bench.command)[Tier.STANDARD])))
            for number in range(10):
                await bench.publisher.publish(bench.ask(number, partition=theirs))
            await until(lambda: len(other.partitions(bench.command)[Tier.STANDARD]) == 4)

            async def all_answered() -> bool:
                answered = Counter(await bench.answered())
                assert set(answered) == {*range(10), 100}, answered
                return True

            await eventually(all_answered)
            await bench.until_committed(topic, 11)
            await until(lambda: len(other.partitions(bench.command)[Tier.STANDARD]) == 2)
            await bench.asks(range(20, 30))
            await bench.until_committed(topic, 21)
    answered = Counter(await bench.answered())
    assert set(answered) == {*range(10), *range(20, 30), 100}
    assert {number for number, times in answered.items() if times > 1} <= set(range(10)), "it had fetched no others"
    assert max(answered.values()) <= 2
