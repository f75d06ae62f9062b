"""Since when the server has answered without a gap."""

from groundswell.common.postgres import Presence


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def presence(clock: Clock) -> Presence:
    return Presence(5.0, clock=clock)


def test_who_never_asked_has_seen_nothing() -> None:
    assert presence(Clock()).unbroken_s() == 0.0


def test_answers_that_follow_each_other_count_together() -> None:
    clock = Clock()
    seen = presence(clock)
    for _ in range(4):
        seen.answered()
        clock.now += 4.0
    assert seen.unbroken_s() == 16.0


def test_an_outage_ends_what_was_seen_before_and_counts_nothing_until_it_is_over() -> None:
    clock = Clock()
    seen = presence(clock)
    seen.answered()
    clock.now += 6.0
    assert seen.unbroken_s() == 0.0
    seen.answered()
    clock.now += 1.0
    assert seen.unbroken_s() == 1.0


def test_a_late_answer_comes_out_of_an_outage() -> None:
    clock = Clock()
    seen, began = presence(clock), clock.now
    clock.now += 5.0
    assert not seen.is_gap_since(began)
    clock.now += 0.1
    assert seen.is_gap_since(began)
