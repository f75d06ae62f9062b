"""The broker's clock, learnt from publishes: wrong by at most half the round trip of the best one."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.bus.clock import BrokerClock

START_S = 1_700_000_000.0


@given(
    offset_ms=st.integers(-600_000, 600_000),
    trips=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_the_error_is_at_most_half_of_the_shortest_trip(offset_ms: int, trips: list[tuple[float, float]]) -> None:
    clock = BrokerClock()
    for trip_s, share in trips:
        appended_s = START_S + trip_s * share + offset_ms / 1000
        clock.observe(START_S, START_S + trip_s, int(appended_s * 1000))
    error_s = abs(clock.to_local_s((START_S * 1000) + offset_ms) - START_S)
    assert error_s <= min(trip for trip, _ in trips) / 2 + 0.0021


def test_a_slow_publish_does_not_spoil_what_a_quick_one_taught() -> None:
    clock = BrokerClock()
    clock.observe(START_S, START_S + 0.002, int((START_S + 5) * 1000))
    clock.observe(START_S + 1, START_S + 4, int((START_S + 6) * 1000))
    assert clock.to_local_s((START_S + 5) * 1000) == pytest.approx(START_S, abs=0.01)


@pytest.mark.parametrize("set_by_s", [0.0, 3600.0, -3600.0])
def test_what_was_learnt_long_ago_or_before_the_clock_was_set_gives_way(set_by_s: float) -> None:
    clock = BrokerClock()
    clock.observe(START_S, START_S + 0.001, int((START_S + 5) * 1000))
    later_s = START_S + 60 + set_by_s
    clock.observe(later_s, later_s + 0.05, int((later_s + 9) * 1000))
    assert clock.to_local_s((later_s + 9) * 1000) == pytest.approx(later_s, abs=0.03)


def test_a_publish_that_waited_for_the_broker_spoils_nothing_after_an_idle_hour() -> None:
    clock = BrokerClock()
    clock.observe(START_S, START_S + 0.002, int(START_S * 1000))
    clock.observe(START_S + 3600, START_S + 3615, int((START_S + 3615) * 1000))
    assert clock.to_local_s((START_S + 3615) * 1000) == pytest.approx(START_S + 3615, abs=0.01)


def test_before_the_first_publish_the_local_clock_is_believed() -> None:
    clock = BrokerClock()
    assert clock.to_local_s(START_S * 1000) == START_S
    assert clock.now_ms() <= int(time.time() * 1000)


def test_its_now_is_the_brokers() -> None:
    clock, now_s = BrokerClock(), time.time()
    clock.observe(now_s, now_s, int((now_s + 3600) * 1000))
    assert clock.now_ms() >= int((now_s + 3599) * 1000)
