from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.bus.work import FIRST_BACKOFF_S, backoff_s


@given(st.integers(1, 10))
def test_tries_come_later_each_time_and_not_all_at_once(failures: int) -> None:
    waits = {backoff_s(failures) for _ in range(20)}
    assert len(waits) > 1
    assert all(0.5 <= wait / (FIRST_BACKOFF_S * 2 ** (failures - 1)) <= 1.5 for wait in waits)
