"""Who is next among those who wait: by weight, by deadline, and never too late."""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.scheduling import (
    AGED_TURN_EVERY,
    HORIZON_S,
    PATIENCE_S,
    Slots,
    TurnQueue,
    most_beside_interactive,
)
from groundswell.common.tiers import WEIGHTS, Tier

FAR = 1e9
TIERS = st.sampled_from(Tier)
COSTS = st.integers(1, 50)
SECONDS = st.floats(0.001, 60)


def turns_until_served(tier: Tier) -> int:
    """The latest turn, counted from 1, in which a tier that waits is served when every turn costs 1."""
    by_weight = sum(WEIGHTS[other] // WEIGHTS[tier] + 1 for other in Tier if other is not tier)
    return 1 + by_weight + 1 + by_weight // (AGED_TURN_EVERY - 1)


TURNS_UNTIL_SERVED_AGED = AGED_TURN_EVERY * len(Tier)


@dataclass
class Flood:
    """What waits for turns, in `queue` or where `enter` puts it, while a test's own clock stands at `now`."""

    now: float = 0.0
    queue: TurnQueue[int] = field(default_factory=TurnQueue)
    enter: Callable[..., None] | None = None
    tiers: list[Tier] = field(default_factory=list)
    waits: Counter[Tier] = field(default_factory=Counter)

    def push(self, tier: Tier, *, cost: int = 1, deadline: float = FAR) -> int:
        """A key that tells its tier by its place in `tiers`."""
        key = len(self.tiers)
        self.tiers.append(tier)
        enter = self.enter or self.queue.push
        enter(key, tier=tier, deadline=deadline, since=self.now, cost=cost)
        self.waits[tier] += 1
        return key

    def fill(self, tiers: Iterable[Tier], *, cost: int = 1) -> None:
        """Let somebody wait in each of `tiers`."""
        for tier in tiers:
            if not self.waits[tier]:
                self.push(tier, cost=cost)

    def pop(self) -> Tier:
        key = self.queue.pop(self.now)
        assert key is not None
        return self.leave(key)

    def leave(self, key: int) -> Tier:
        """It waits no longer."""
        tier = self.tiers[key]
        self.waits[tier] -= 1
        return tier


def test_the_bounds_that_the_docstring_names() -> None:
    assert [turns_until_served(tier) for tier in Tier] == [4, 6, 16]
    assert TURNS_UNTIL_SERVED_AGED == 24


@given(
    rounds=st.lists(st.tuples(st.sets(TIERS), st.floats(0, 2 * PATIENCE_S)), max_size=200),
    waiting=TIERS,
    begins=st.integers(0, 50),
)
def test_a_tier_that_waits_is_served_within_its_turns_whoever_else_comes(
    rounds: list[tuple[set[Tier], float]], waiting: Tier, begins: int
) -> None:
    flood, waited = Flood(), 0
    for number, (others, seconds) in enumerate(rounds):
        flood.now += seconds
        flood.fill(others | {waiting} if number >= begins else others)
        if not flood.queue:
            continue
        waited += flood.waits[waiting] > 0
        assert waited <= turns_until_served(waiting)
        if flood.pop() is waiting:
            waited = 0


class Worker:
    """Slots that work on a flood of some tiers; the clock goes from the end of one job to that of the next."""

    def __init__(
        self, slots: int, durations: Iterator[float], costs: Iterator[int], *, tiers: Iterable[Tier] = Tier
    ) -> None:
        self._slots: Slots[int] = Slots(slots)
        self._durations = durations
        self._costs = costs
        self._tiers = tuple(tiers)
        self._ends: list[tuple[float, int]] = []
        self.flood = Flood(enter=self._slots.push)

    def turns(self) -> Iterator[tuple[Tier, float]]:
        """Who has each turn, and when, for ever."""
        while True:
            self.flood.fill(self._tiers, cost=next(self._costs))
            while (key := self._slots.grant(self.flood.now)) is not None:
                heapq.heappush(self._ends, (self.flood.now + next(self._durations), key))
                yield self.flood.leave(key), self.flood.now
                self.flood.fill(self._tiers, cost=next(self._costs))
            self.flood.now, ended = heapq.heappop(self._ends)
            self._slots.release(ended)

    def held(self) -> Counter[Tier]:
        """Slots by tier."""
        return Counter(self.flood.tiers[key] for _, key in self._ends)


def longest_wait_s(worker: Worker, tier: Tier, *, turns: int = 300) -> float:
    """Between two turns of `tier`, or before its first, or since its last."""
    longest_s = last_s = now = 0.0
    for served, now in itertools.islice(worker.turns(), turns):
        longest_s = max(longest_s, now - last_s)
        if served is tier:
            last_s = now
    return longest_s


SLOW = st.lists(SECONDS, min_size=1, max_size=20)


@given(slots=st.integers(1, 16), durations=SLOW, costs=st.lists(COSTS, min_size=1, max_size=20), tier=TIERS)
def test_in_a_flood_of_costly_and_slow_work_a_tier_waits_its_patience_and_some_turns(
    slots: int, durations: list[float], costs: list[int], tier: Tier
) -> None:
    worker = Worker(slots, itertools.cycle(durations), itertools.cycle(costs))
    bound_s = PATIENCE_S + math.ceil(TURNS_UNTIL_SERVED_AGED / most_beside_interactive(slots)) * max(durations)
    assert longest_wait_s(worker, tier) <= bound_s + 1e-6


@given(slots=st.integers(1, 16), durations=SLOW, tier=TIERS)
def test_in_a_flood_of_single_messages_a_tier_waits_some_turns_only(
    slots: int, durations: list[float], tier: Tier
) -> None:
    worker = Worker(slots, itertools.cycle(durations), itertools.repeat(1))
    bound_s = math.ceil(turns_until_served(tier) / most_beside_interactive(slots)) * max(durations)
    assert longest_wait_s(worker, tier) <= bound_s + 1e-6


@given(slots=st.integers(2, 16), durations=SLOW, tiers=st.sets(TIERS, min_size=1), turns=st.integers(1, 100))
def test_a_slot_is_kept_for_interactive_work_and_no_other_is(
    slots: int, durations: list[float], tiers: set[Tier], turns: int
) -> None:
    worker = Worker(slots, itertools.cycle(durations), itertools.repeat(1), tiers=tiers)
    for _ in itertools.islice(worker.turns(), slots * turns):
        held = worker.held()
        assert held.total() - held[Tier.INTERACTIVE] <= slots - 1
        assert held.total() <= slots
    assert worker.held().total() >= min(slots - 1, slots * turns)


ARRIVALS = st.lists(st.tuples(TIERS, COSTS, st.floats(0, 2 * PATIENCE_S), st.integers(0, 2)), max_size=60)


@given(slots=st.integers(1, 4), arrivals=ARRIVALS)
def test_whoever_finds_a_free_slot_is_served_as_if_it_had_waited(
    slots: int, arrivals: list[tuple[Tier, int, float, int]]
) -> None:
    waits, at_once, now = Slots[int](slots), Slots[int](slots), 0.0
    held: list[int] = []
    for key, (tier, cost, seconds, ends) in enumerate(arrivals):
        now += seconds
        waits.push(key, tier=tier, deadline=FAR, since=now, cost=cost)
        if not at_once.take(key, tier, now, cost=cost):
            at_once.push(key, tier=tier, deadline=FAR, since=now, cost=cost)
        elif waits.grant(now) != key:
            pytest.fail("the one that came is the one that has it")
        else:
            held.append(key)
        for ended in held[:ends]:
            waits.release(ended)
            at_once.release(ended)
        del held[:ends]
        while (granted := waits.grant(now)) is not None:
            assert at_once.grant(now) == granted
            held.append(granted)
        assert at_once.grant(now) is None


def test_interactive_work_waits_for_no_bulk_that_holds_the_other_slots() -> None:
    slots: Slots[str] = Slots(3)
    for name, tier in {"b1": Tier.BULK, "b2": Tier.BULK, "b3": Tier.BULK}.items():
        slots.push(name, tier=tier, deadline=FAR, since=0)
    assert [slots.grant(0) for _ in range(3)] == ["b1", "b2", None]
    slots.push("i1", tier=Tier.INTERACTIVE, deadline=FAR, since=1)
    assert slots.grant(1) == "i1"
    slots.push("i2", tier=Tier.INTERACTIVE, deadline=FAR, since=2)
    assert slots.grant(2) is None
    slots.release("b1")
    assert slots.grant(3) == "i2", "by weight, now that a slot is there for all"
    slots.release("i1")
    assert slots.grant(4) == "b3", "the kept slot is any slot"
    slots.release("i2")
    assert slots.grant(5) is None


def test_age_helps_where_weights_alone_would_let_a_costly_tier_wait() -> None:
    patient, dear = Worker(1, itertools.repeat(1.0), itertools.repeat(1)), 50
    patient.flood.push(Tier.BULK, cost=dear)
    patient.flood.push(Tier.BULK, cost=dear)
    waited_s = longest_wait_s(patient, Tier.BULK)
    assert PATIENCE_S <= waited_s <= PATIENCE_S + AGED_TURN_EVERY
    assert waited_s < dear * WEIGHTS[Tier.INTERACTIVE]


def test_tiers_that_age_side_by_side_all_have_their_turns() -> None:
    flood, served_at = Flood(), dict.fromkeys(Tier, 0)
    for tier in [*Tier] * 200:
        flood.push(tier, cost=1 if tier is Tier.INTERACTIVE else 10_000)
    for turn in range(1, 200):
        flood.now += PATIENCE_S
        tier = flood.pop()
        assert turn - served_at[tier] <= TURNS_UNTIL_SERVED_AGED
        served_at[tier] = turn
    assert min(served_at.values()) > 200 - TURNS_UNTIL_SERVED_AGED


def test_a_tier_ages_from_when_somebody_came_not_while_nobody_waited() -> None:
    flood = Flood()
    flood.push(Tier.BULK, cost=10_000)
    flood.pop()
    flood.now = 10 * PATIENCE_S
    flood.push(Tier.BULK)
    for _ in range(10 * AGED_TURN_EVERY):
        flood.fill([Tier.INTERACTIVE])
        assert flood.pop() is Tier.INTERACTIVE
    flood.now += PATIENCE_S
    flood.fill([Tier.INTERACTIVE])
    assert flood.pop() is Tier.BULK


def test_when_all_wait_beyond_their_patience_weights_still_decide_most_turns() -> None:
    worker = Worker(1, itertools.repeat(2 * PATIENCE_S), itertools.repeat(1))
    served = Counter(tier for tier, _ in itertools.islice(worker.turns(), 1200))
    assert served[Tier.INTERACTIVE] >= 800 * (1 - 1 / AGED_TURN_EVERY) - len(Tier)
    assert served[Tier.INTERACTIVE] > served[Tier.STANDARD] > served[Tier.BULK]


@given(rounds=st.integers(1, 100), costs=st.lists(COSTS, min_size=len(Tier), max_size=len(Tier)))
def test_while_all_wait_costs_go_by_weight(rounds: int, costs: list[int]) -> None:
    flood, spent = Flood(), Counter[Tier]()
    cost_of = dict(zip(Tier, costs, strict=True))
    for _ in range(rounds):
        for tier, cost in cost_of.items():
            flood.fill([tier], cost=cost)
        served = flood.pop()
        spent[served] += cost_of[served]
    share = sum(spent.values()) / sum(WEIGHTS.values())
    for tier, weight in WEIGHTS.items():
        assert abs(spent[tier] - share * weight) <= len(Tier) * max(costs)


def test_idle_time_is_not_saved_up_for_a_burst() -> None:
    flood = Flood()
    for _ in range(1000):
        flood.fill([Tier.BULK])
        flood.pop()
    served = Counter[Tier]()
    for _ in range(24):
        flood.fill(Tier)
        served[flood.pop()] += 1
    assert served[Tier.BULK] >= 1, "bulk waits for no debt of the time when it was alone"
    assert served[Tier.INTERACTIVE] <= 16 + 1, "interactive has no credit of the time when it was idle"


def test_of_tiers_that_were_idle_the_most_urgent_goes_first_whoever_was_idle_for_longer() -> None:
    flood = Flood()
    flood.fill([Tier.INTERACTIVE])
    flood.pop()
    for _ in range(100):
        flood.fill([Tier.STANDARD])
        flood.pop()
    flood.fill([Tier.BULK, Tier.INTERACTIVE])
    assert flood.pop() is Tier.INTERACTIVE


def test_the_most_urgent_tier_goes_first() -> None:
    flood = Flood()
    flood.fill(reversed(Tier))
    assert [flood.pop() for _ in Tier] == list(Tier)


def keys_in_turn(queue: TurnQueue[int], now: float) -> list[int]:
    return list(iter(lambda: queue.pop(now), None))


@given(deadlines=st.lists(st.floats(0, HORIZON_S), max_size=30))
def test_inside_a_tier_the_earliest_deadline_goes_first_then_who_came_first(deadlines: list[float]) -> None:
    flood = Flood()
    keys = [flood.push(Tier.STANDARD, deadline=deadline) for deadline in deadlines]
    assert keys_in_turn(flood.queue, 0.0) == sorted(keys, key=lambda key: deadlines[key])


@given(
    gaps=st.lists(st.tuples(st.floats(0, HORIZON_S / 4), st.floats(-HORIZON_S, 10 * HORIZON_S)), max_size=60),
    served_after=st.integers(0, 60),
)
def test_work_is_passed_only_by_work_of_its_tier_that_came_less_than_the_horizon_after_it(
    gaps: Sequence[tuple[float, float]], served_after: int
) -> None:
    flood, came, order = Flood(), list[float](), list[int]()
    for number, (gap_s, remaining_s) in enumerate(gaps):
        flood.now += gap_s
        came.append(flood.now)
        flood.push(Tier.BULK, deadline=flood.now + remaining_s)
        if number >= served_after and (key := flood.queue.pop(flood.now)) is not None:
            order.append(key)
    order += keys_in_turn(flood.queue, flood.now)
    for place, key in enumerate(order):
        assert all(came[passed] > came[key] - HORIZON_S - 1e-6 for passed in order[place + 1 :])


def test_a_far_deadline_is_served_although_near_ones_never_end() -> None:
    flood = Flood()
    far = flood.push(Tier.BULK, deadline=math.inf)
    while far in flood.queue:
        flood.now += 1.0
        flood.push(Tier.BULK, deadline=flood.now + 5)
        flood.pop()
        assert flood.now <= HORIZON_S


@given(
    pushes=st.lists(st.tuples(TIERS, COSTS, st.floats(allow_nan=False)), max_size=40),
    removed=st.sets(st.integers(0, 45)),
)
def test_each_key_has_one_turn_unless_it_was_removed(pushes: list[tuple[Tier, int, float]], removed: set[int]) -> None:
    flood = Flood()
    for tier, cost, deadline in pushes:
        flood.push(tier, cost=cost, deadline=deadline)
    for key in removed:
        flood.queue.remove(key)
    left = [key for key in range(len(pushes)) if key not in removed]
    assert list(flood.queue) == left
    assert sorted(keys_in_turn(flood.queue, 0.0)) == left
    assert len(flood.queue) == 0


def test_who_is_removed_costs_its_tier_no_turn() -> None:
    flood = Flood()
    for _ in range(100):
        flood.queue.remove(flood.push(Tier.INTERACTIVE))
    for tier in Tier:
        flood.push(tier)
    assert flood.pop() is Tier.INTERACTIVE


def test_what_waits_already_or_costs_nothing_is_an_error() -> None:
    queue = TurnQueue[str]()
    queue.push("a", tier=Tier.BULK, deadline=1, since=0)
    for key, cost in (("a", 1.0), ("b", 0.0), ("b", math.nan)):
        with pytest.raises(ValueError, match="waits already, or its cost"):
            queue.push(key, tier=Tier.STANDARD, deadline=1, since=0, cost=cost)
    assert list(queue) == ["a"]
