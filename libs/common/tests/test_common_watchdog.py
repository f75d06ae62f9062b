"""What stands still is seen, what waits or works is not; dead letters come at a limited rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.bus.dead_letters import Allowance
from groundswell.common.bus.watchdog import StandsStill, Watchdog

PATIENCE_S = 60.0


def test_free_and_behind_without_taking_anything_for_too_long_stands_still() -> None:
    watchdog = Watchdog(PATIENCE_S)
    for now in (0, 15, 30, 45, 60):
        watchdog.look(now, free=True, behind=True, taken=4)
    with pytest.raises(StandsStill, match="no record taken for 60 s"):
        watchdog.look(75, free=True, behind=True, taken=4)


@pytest.mark.parametrize(
    "state",
    [
        {"free": False, "behind": True, "taken": 4},
        {"free": True, "behind": False, "taken": 4},
        {"free": True, "behind": True, "taken": 5},
    ],
)
def test_to_be_busy_or_to_have_nothing_to_do_or_to_move_starts_the_time_anew(state: dict[str, int]) -> None:
    watchdog = Watchdog(PATIENCE_S)
    for now in (0, 15, 30, 45, 60):
        watchdog.look(now, free=True, behind=True, taken=4)
    watchdog.look(70, **state)  # type: ignore[arg-type]
    for now in (75, 100, 130):
        watchdog.look(now, free=True, behind=True, taken=state["taken"])


@given(st.lists(st.floats(0, 10), max_size=300))
def test_no_more_are_let_through_than_the_burst_and_the_rate_allow(gaps: list[float]) -> None:
    allowance, now, passed = Allowance(burst=5, per_s=2), 0.0, 0
    for gap in gaps:
        now += gap
        passed += allowance.take(now) == 0
    assert passed <= 5 + now * 2 + 1e-6


def test_who_is_told_to_wait_may_pass_after_that_time() -> None:
    allowance = Allowance(burst=1, per_s=0.5)
    assert allowance.take(100) == 0
    wait_s = allowance.take(100)
    assert wait_s == pytest.approx(2)
    assert allowance.take(100 + wait_s) == 0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    allowance = Allowance(burst=1, per_s=1)
    assert allowance.take(100) == 0
    assert allowance.take(50) > 0
