from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.ids import RequestId
from groundswell.generator.domain.cancellations import Cancellation, RecentCancellations

REQUEST = RequestId("req_1")


def cancelled(*cancellations: Cancellation) -> RecentCancellations:
    recent = RecentCancellations(horizon_s=10.0, limit=3)
    for cancellation in cancellations:
        recent.add(REQUEST, cancellation, 0.0)
    return recent


@given(st.integers(0, 5), st.integers(1, 5), st.integers(0, 5), st.integers(1, 5))
def test_covers_attempts_up_to_the_cancelled_one_and_all_of_earlier_owners(
    epoch: int, attempt: int, of_epoch: int, up_to: int
) -> None:
    covered = cancelled(Cancellation(of_epoch, up_to)).covers(REQUEST, epoch=epoch, attempt=attempt, now=0.0)
    assert covered == (epoch < of_epoch or (epoch == of_epoch and attempt <= up_to))


@given(st.permutations([Cancellation(1, 1), Cancellation(1, 3), Cancellation(0, 9)]))
def test_order_of_arrival_does_not_matter(order: list[Cancellation]) -> None:
    recent = cancelled(*order)
    assert recent.covers(REQUEST, epoch=1, attempt=3, now=0.0)
    assert not recent.covers(REQUEST, epoch=1, attempt=4, now=0.0)


def test_another_request_is_not_covered() -> None:
    assert not cancelled(Cancellation(9, 9)).covers(RequestId("req_2"), epoch=0, attempt=1, now=0.0)


def test_forgets_after_the_horizon() -> None:
    recent = cancelled(Cancellation(1, 1))
    assert recent.covers(REQUEST, epoch=1, attempt=1, now=10.0)
    assert not recent.covers(REQUEST, epoch=1, attempt=1, now=10.1)


@given(st.lists(st.integers(0, 20), max_size=60))
def test_never_remembers_more_than_its_limit(requests: list[int]) -> None:
    recent = RecentCancellations(limit=5)
    for at, number in enumerate(requests):
        recent.add(RequestId(f"req_{number}"), Cancellation(0, 1), float(at))
        assert len(recent) <= 5
        assert recent.covers(RequestId(f"req_{number}"), epoch=0, attempt=1, now=float(at))
