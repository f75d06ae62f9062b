"""Turns on real slots: never more than there are, the most urgent first, who gives up leaves no trace."""

import asyncio
import math
from collections import Counter

import pytest

from groundswell.common.bus.turns import TierGate
from groundswell.common.scheduling import AGED_TURN_EVERY, PATIENCE_S
from groundswell.common.tiers import Tier

NEVER = math.inf


class Held:
    """A task that takes a turn and keeps it until released."""

    def __init__(
        self, gate: TierGate, tier: Tier, order: list[Tier], *, deadline: float = NEVER, cost: int = 1
    ) -> None:
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._hold(gate, tier, order, deadline, cost))

    async def _hold(self, gate: TierGate, tier: Tier, order: list[Tier], deadline: float, cost: int) -> None:
        async with gate.turn(tier, deadline=deadline, cost=cost):
            order.append(tier)
            await self.release.wait()


async def steps(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_slots_are_never_exceeded_and_all_get_one() -> None:
    gate, running, most = TierGate(3), 0, 0

    async def work(tier: Tier) -> None:
        nonlocal running, most
        async with gate.turn(tier, deadline=NEVER):
            running += 1
            most = max(most, running)
            await steps(2)
            running -= 1

    await asyncio.gather(*(work(tier) for tier in [*Tier] * 20))
    assert (most, running) == (3, 0)


async def test_a_free_slot_goes_by_weight() -> None:
    gate, order = TierGate(1), list[Tier]()
    holders = [Held(gate, tier, order) for tier in [Tier.BULK] * 2 + [Tier.STANDARD] * 4 + [Tier.INTERACTIVE] * 8]
    await steps()
    for holder in holders:
        holder.release.set()
    await asyncio.gather(*(holder.task for holder in holders))
    assert order[0] is Tier.BULK, "it was alone when the slot was free"
    assert Counter(order[1:9])[Tier.INTERACTIVE] >= 5
    assert Tier.BULK in order[1:14]


async def in_turn(gate: TierGate, waiting: dict[str, tuple[Tier, float, int]]) -> list[str]:
    """The names of those who wait while the only slot is held, in the order in which they get it."""
    order = list[str]()

    async def work(name: str, tier: Tier, deadline: float, cost: int) -> None:
        async with gate.turn(tier, deadline=deadline, cost=cost):
            order.append(name)

    first = Held(gate, Tier.INTERACTIVE, [])
    await steps()
    tasks = [asyncio.create_task(work(name, *terms)) for name, terms in waiting.items()]
    await steps()
    first.release.set()
    await asyncio.gather(first.task, *tasks)
    return order


async def test_inside_a_tier_a_free_slot_goes_to_the_earliest_deadline() -> None:
    gate = TierGate(1, now=lambda: 100.0)
    waiting = {"far": (Tier.BULK, 500.0, 1), "near": (Tier.BULK, 110.0, 1), "middle": (Tier.BULK, 200.0, 1)}
    assert await in_turn(gate, waiting) == ["near", "middle", "far"]


async def test_a_batch_of_many_messages_takes_the_turns_of_many() -> None:
    gate = TierGate(1, now=lambda: 100.0)
    batches = {f"batch {number}": (Tier.STANDARD, NEVER, 20) for number in range(2)}
    single = {f"single {number}": (Tier.BULK, NEVER, 1) for number in range(5)}
    order = await in_turn(gate, batches | single)
    assert order == ["batch 0", *single, "batch 1"]


async def test_a_tier_that_waited_beyond_its_patience_by_the_gates_clock_has_a_turn() -> None:
    seconds = 0.0
    gate, order = TierGate(1, now=lambda: seconds), list[Tier]()
    costly = [Held(gate, Tier.BULK, order, cost=1000) for _ in range(2)]
    await steps()
    others = [Held(gate, Tier.INTERACTIVE, order) for _ in range(50)]
    await steps()
    seconds = PATIENCE_S
    for holder in [*costly, *others]:
        holder.release.set()
    await asyncio.gather(*(holder.task for holder in [*costly, *others]))
    assert order.index(Tier.BULK, 1) == AGED_TURN_EVERY - 1


async def test_a_waiter_that_is_cancelled_leaves_no_trace() -> None:
    gate, order = TierGate(1), list[Tier]()
    first = Held(gate, Tier.STANDARD, order)
    await steps()
    waiting = [Held(gate, Tier.INTERACTIVE, order), Held(gate, Tier.BULK, order)]
    await steps()
    waiting[0].task.cancel()
    first.release.set()
    waiting[1].release.set()
    await asyncio.wait([holder.task for holder in [first, *waiting]])
    assert waiting[0].task.cancelled()
    assert order == [Tier.STANDARD, Tier.BULK]
    assert not [*gate._slots.waiting()]


async def test_a_waiter_cancelled_in_the_step_in_which_its_slot_came_passes_it_on() -> None:
    gate, order = TierGate(1), list[Tier]()
    first = Held(gate, Tier.STANDARD, order)
    await steps()
    unlucky, next_one = Held(gate, Tier.STANDARD, order), Held(gate, Tier.STANDARD, order)
    await steps()
    first.release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    unlucky.task.cancel()
    next_one.release.set()
    async with asyncio.timeout(5):
        await asyncio.wait([first.task, unlucky.task, next_one.task])
    assert unlucky.task.cancelled()
    assert next_one.task.exception() is None


async def test_whoever_is_cancelled_whenever_every_slot_comes_back() -> None:
    for after in range(12):
        gate, order = TierGate(2), list[Tier]()
        holders = [Held(gate, tier, order) for tier in [*Tier] * 3]
        holders[0].release.set()
        await steps(after)
        for holder in holders[::2]:
            holder.task.cancel()
        for holder in holders:
            holder.release.set()
        async with asyncio.timeout(5):
            await asyncio.wait([holder.task for holder in holders])
        assert {type(holder.task.exception()) for holder in holders if not holder.task.cancelled()} <= {type(None)}
        assert (gate._slots.free, [*gate._slots.waiting()]) == (2, [])


async def test_a_handler_that_fails_gives_its_slot_back() -> None:
    gate = TierGate(1)

    async def fail() -> None:
        async with gate.turn(Tier.BULK, deadline=NEVER):
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fail()
    assert gate._slots.free == 1
