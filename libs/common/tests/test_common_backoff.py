"""What failed is tried again later each time, and not all of it at once."""

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from groundswell.common.bus.work import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, backoff_s, until_done
from groundswell.common.errors import Unavailable


@given(st.integers(1, 10_000))
def test_tries_come_later_each_time_up_to_a_longest_wait_and_not_all_at_once(failures: int) -> None:
    waits = {backoff_s(failures) for _ in range(20)}
    middle = min(FIRST_BACKOFF_S * 2 ** min(failures, 99) / 2, LONGEST_BACKOFF_S)
    assert len(waits) > 1
    assert all(0.5 <= wait / middle <= 1.5 for wait in waits)


async def test_what_is_repeated_until_it_is_done_waits_longer_than_it_was_told_and_spread() -> None:
    failing = [Unavailable("Kafka: away", retry_after_s=0.01)] * 2

    async def attempt() -> str:
        if failing:
            raise failing.pop()
        return "done"

    with capture_logs() as logs:
        assert await until_done(attempt) == "done"
    first, second = [entry["retry_after_s"] for entry in logs if entry["event"] == "waiting"]
    assert 0.01 + 0.5 * FIRST_BACKOFF_S <= first <= 0.01 + 1.5 * FIRST_BACKOFF_S
    assert second >= 0.01 + FIRST_BACKOFF_S
