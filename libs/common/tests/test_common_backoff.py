"""What failed is tried again later each time, and not all of it at once."""

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from groundswell.common.bus.work import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Work, backoff_s, until_done
from groundswell.common.errors import Overloaded, Unavailable


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


async def test_handlers_that_were_overloaded_together_do_not_come_again_together() -> None:
    nothing, paused = cast("Any", None), list[float]()
    work = Work(nothing, nothing, paused.append)
    await asyncio.gather(*(work._stand_back(Overloaded("busy", retry_after_s=0.01)) for _ in range(8)))
    assert len(set(paused)) == 8
    assert all(0.5 <= (seconds - 0.01) / FIRST_BACKOFF_S <= 1.5 for seconds in paused)
