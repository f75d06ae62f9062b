"""Turns by weight: nobody starves, slots are never exceeded, who gives up leaves no trace."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.bus.turns import TierGate
from groundswell.common.tiers import WEIGHTS, Tier, WeightedTurns

OTHERS = st.lists(st.sets(st.sampled_from(Tier)), max_size=200)


@given(before=OTHERS, during=OTHERS, waiting=st.sampled_from(Tier))
def test_who_waits_is_picked_within_the_bound_however_many_others_wait(
    before: list[set[Tier]], during: list[set[Tier]], waiting: Tier
) -> None:
    turns = WeightedTurns()
    for others in before:
        if others:
            turns.pick(others)
    bound = sum(WEIGHTS.values()) / WEIGHTS[waiting] + len(Tier)
    waited = 0
    for others in during:
        waited += 1
        if turns.pick({*others, waiting}) is waiting:
            assert waited <= bound
            waited = 0


@given(st.integers(1, 20))
def test_when_all_wait_turns_go_by_weight(rounds: int) -> None:
    turns = WeightedTurns()
    picked = Counter(turns.pick(Tier) for _ in range(rounds * sum(WEIGHTS.values())))
    for tier, weight in WEIGHTS.items():
        assert abs(picked[tier] - rounds * weight) <= len(Tier)


def test_idle_time_is_not_saved_up_for_a_burst() -> None:
    turns = WeightedTurns()
    for _ in range(1000):
        turns.pick({Tier.BULK})
    picked = [turns.pick(Tier) for _ in range(24)]
    assert Counter(picked)[Tier.BULK] >= 1, "bulk waits for no debt of the time when it was alone"


def test_the_most_urgent_goes_first() -> None:
    assert WeightedTurns().pick([Tier.BULK, Tier.STANDARD, Tier.INTERACTIVE]) is Tier.INTERACTIVE


def test_nobody_waiting_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        WeightedTurns().pick([])


class Held:
    """A task that takes a turn and keeps it until released."""

    def __init__(self, gate: TierGate, tier: Tier, order: list[Tier]) -> None:
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._hold(gate, tier, order))

    async def _hold(self, gate: TierGate, tier: Tier, order: list[Tier]) -> None:
        async with gate.turn(tier):
            order.append(tier)
            await self.release.wait()


async def steps(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_slots_are_never_exceeded_and_all_get_one() -> None:
    gate, running, most = TierGate(3), 0, 0

    async def work(tier: Tier) -> None:
        nonlocal running, most
        async with gate.turn(tier):
            running += 1
            most = max(most, running)
            await steps(2)
            running -= 1

    await asyncio.gather(*(work(tier) for tier in [*Tier] * 20))
    assert (most, running) == (3, 0)


async def test_a_free_slot_goes_by_weight_and_by_arrival_within_a_tier() -> None:
    gate, order = TierGate(1), list[Tier]()
    holders = [Held(gate, tier, order) for tier in [Tier.BULK] * 2 + [Tier.STANDARD] * 4 + [Tier.INTERACTIVE] * 8]
    await steps()
    for holder in holders:
        holder.release.set()
    await asyncio.gather(*(holder.task for holder in holders))
    assert order[0] is Tier.BULK, "it was alone when the slot was free"
    assert Counter(order[1:9])[Tier.INTERACTIVE] >= 5
    assert Tier.BULK in order[1:14]


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
    assert not any(gate._waiting.values())


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
        assert (gate._free, any(gate._waiting.values())) == (2, False)


async def test_a_handler_that_fails_gives_its_slot_back() -> None:
    gate = TierGate(1)

    async def fail() -> None:
        async with gate.turn(Tier.BULK):
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fail()
    assert gate._free == 1
