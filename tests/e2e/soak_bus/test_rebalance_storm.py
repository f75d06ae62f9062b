"""Members join and leave every second under load: every command is answered, few twice, and the offsets are right."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.testing.bench import Ask, Bench, answer, bench_on
from groundswell.common.testing.waiting import eventually, until
from groundswell.common.tiers import Tier

pytestmark = [pytest.mark.soak, pytest.mark.timeout(180)]

STORM_S = 25.0
EVERY_S = 1.0
STAYS_S = (0.5, 4.0)
DRAINS_S = (0.0, 5.0)
"""Half of the members leave what they have in hand undone."""
SLOTS = 4


async def work(message: Received[Ask]) -> Sequence[Outgoing]:
    await asyncio.sleep(0.02)
    return await answer(message)


async def member(bench: Bench, stays_s: float, drain_s: float) -> None:
    async with bench.working(consume(bench.command, work, slots=SLOTS), drain_s=drain_s):
        await asyncio.sleep(stays_s)


async def load(bench: Bench, until_s: float) -> int:
    """How many commands were sent."""
    sent = 0
    while time.monotonic() < until_s:
        await bench.asks([sent])
        sent += 1
        await asyncio.sleep(0.005)
    return sent


async def test_a_rebalance_storm_loses_nothing_and_doubles_little(components: Any, seed: int) -> None:
    chance = random.Random(seed)
    async with bench_on(components.kafka, partitions=4) as bench, asyncio.TaskGroup() as group:
        storm_ends = time.monotonic() + STORM_S
        loading = group.create_task(load(bench, storm_ends))
        members = 0
        while time.monotonic() < storm_ends:
            group.create_task(member(bench, chance.uniform(*STAYS_S), chance.choice(DRAINS_S)))
            members += 1
            await asyncio.sleep(EVERY_S)
        await loading
        async with bench.working(consume(bench.command, work, slots=SLOTS)) as last:
            await until(lambda: len(last.partitions(bench.command)[Tier.STANDARD]) == 4, within_s=40)
            sent = loading.result()

            async def all_answered() -> bool:
                missing = set(range(sent)) - set(await bench.answered())
                assert not missing, f"{len(missing)} of {sent}, {min(missing)} first"
                return True

            await eventually(all_answered, within_s=40)
            await bench.until_committed(bench.command[Tier.STANDARD], sent)
        doubled = {number: times for number, times in Counter(await bench.answered()).items() if times > 1}
        print(f"{sent} commands, {members} members, {len(doubled)} answered twice or more")  # noqa: T201
        # Each membership that ends or begins can cost what a member had in hand, once.
        assert max(doubled.values(), default=1) <= 3
        assert len(doubled) <= members * SLOTS
        assert await bench.dead() == []
