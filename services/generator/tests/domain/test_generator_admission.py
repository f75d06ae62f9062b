from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.tiers import Tier
from groundswell.generator.domain.admission import most_urgent, urgency

WAITING = st.lists(st.tuples(st.sampled_from(Tier), st.integers(0, 9).map(float)), min_size=1)


def key(job: tuple[Tier, float]) -> tuple[int, float]:
    return urgency(*job)


@given(WAITING)
def test_the_most_urgent_tier_goes_first_and_in_it_the_earliest_deadline(waiting: list[tuple[Tier, float]]) -> None:
    chosen = most_urgent(waiting, key)
    assert chosen is not None
    tiers = list(Tier)
    assert tiers.index(chosen[0]) == min(tiers.index(tier) for tier, _ in waiting)
    assert chosen[1] == min(deadline for tier, deadline in waiting if tier is chosen[0])


def test_nobody_goes_when_nobody_waits() -> None:
    assert most_urgent([], key) is None
