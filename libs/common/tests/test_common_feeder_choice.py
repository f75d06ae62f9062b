"""Whose line is next: within bounds, in turns, deterministic, and nobody starves."""

import random
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.feeder.domain import Bounds, Choice, Standing, choose
from groundswell.common.ids import TeamId

TENANTS = [TeamId(name) for name in ("amber", "blue", "cyan", "denim", "ebony")]
BOUNDS = st.builds(Bounds, per_tenant=st.integers(0, 6), in_all=st.integers(0, 20))


@st.composite
def standings_of(draw: st.DrawFn) -> list[Standing]:
    tenants = draw(st.lists(st.sampled_from(TENANTS), unique=True))
    return [
        Standing(
            tenant,
            accepted=draw(st.integers(0, 8)),
            waiting=tuple(f"{tenant}-{number}" for number in range(draw(st.integers(0, 8)))),
        )
        for tenant in tenants
    ]


STANDINGS = standings_of()
AFTER = st.none() | st.sampled_from(TENANTS)


def standing(tenant: str, accepted: int, waiting: int) -> Standing:
    return Standing(TeamId(tenant), accepted, tuple(f"{tenant}{number}" for number in range(waiting)))


def test_tenants_get_turns_oldest_line_first() -> None:
    chosen = choose([standing("b", 0, 3), standing("a", 0, 1), standing("c", 1, 2)], Bounds(per_tenant=2, in_all=9))
    assert [choice.line for choice in chosen] == ["a0", "b0", "c0", "b1"]


def test_turns_go_on_behind_the_tenant_that_was_served_last() -> None:
    standings = [standing(tenant, 0, 5) for tenant in "abc"]
    for after, line in (("a", "b0"), ("b", "c0"), ("c", "a0"), ("bb", "c0")):
        assert choose(standings, Bounds(per_tenant=1, in_all=1), TeamId(after)) == [Choice(TeamId(line[0]), line)]


@given(STANDINGS, BOUNDS, AFTER)
def test_the_bounds_hold_for_each_tenant_and_in_all(
    standings: list[Standing], bounds: Bounds, after: TeamId | None
) -> None:
    chosen = choose(standings, bounds, after)
    accepted = {item.tenant: item.accepted for item in standings}
    by_tenant: dict[TeamId, int] = defaultdict(int)
    for choice in chosen:
        by_tenant[choice.tenant] += 1
    for tenant, count in by_tenant.items():
        assert accepted[tenant] + count <= bounds.per_tenant
    assert not chosen or sum(accepted.values()) + len(chosen) <= bounds.in_all


@given(STANDINGS, BOUNDS, AFTER)
def test_each_tenants_lines_go_in_order_and_once(
    standings: list[Standing], bounds: Bounds, after: TeamId | None
) -> None:
    chosen = choose(standings, bounds, after)
    for item in standings:
        lines = [choice.line for choice in chosen if choice.tenant == item.tenant]
        assert lines == list(item.waiting[: len(lines)])


@given(STANDINGS, BOUNDS, AFTER, st.randoms(use_true_random=False))
def test_the_same_rows_give_the_same_choice_in_whatever_order_they_come(
    standings: list[Standing], bounds: Bounds, after: TeamId | None, rng: random.Random
) -> None:
    shuffled = rng.sample(standings, len(standings))
    assert choose(standings, bounds, after) == choose(shuffled, bounds, after)


@given(STANDINGS, BOUNDS, AFTER)
def test_room_is_never_left_while_a_line_may_use_it(
    standings: list[Standing], bounds: Bounds, after: TeamId | None
) -> None:
    chosen = choose(standings, bounds, after)
    room = max(0, bounds.in_all - sum(item.accepted for item in standings))
    may = sum(min(len(item.waiting), max(0, bounds.per_tenant - item.accepted)) for item in standings)
    assert len(chosen) == min(room, may)


@given(
    tenants=st.integers(1, len(TENANTS)),
    bounds=st.builds(Bounds, per_tenant=st.integers(1, 4), in_all=st.integers(1, 8)),
    events=st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(0, 5), st.integers(0, 5)), max_size=60),
)
def test_a_tenant_that_could_be_served_is_passed_by_at_most_once_by_each_other(
    tenants: int, bounds: Bounds, events: list[tuple[TeamId, int, int]]
) -> None:
    known = TENANTS[:tenants]
    waiting, accepted = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    passed_by: dict[TeamId, list[TeamId]] = {tenant: [] for tenant in known}
    after: TeamId | None = None
    for tenant, come, done in events:
        if tenant in known:
            waiting[tenant] += come
            accepted[tenant] -= min(done, accepted[tenant])
        could = [each for each in known if waiting[each] and accepted[each] < bounds.per_tenant]
        standings = [Standing(each, accepted[each], tuple(map(str, range(waiting[each])))) for each in known]
        chosen = [choice.tenant for choice in choose(standings, bounds, after)]
        for served in chosen:
            waiting[served] -= 1
            accepted[served] += 1
            after = served
        for each in known:
            if each in chosen or each not in could:
                passed_by[each] = []
            else:
                passed_by[each] += chosen
                assert len(passed_by[each]) == len(set(passed_by[each])) < tenants
