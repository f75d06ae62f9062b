"""Who leaves or cancels frees the generator's slot at once."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100)]

LONG = " ".join(f"word{number}" for number in range(1000))
SOON_S = 3
"""A second is promised; a busy machine and the metrics of a process take their time too."""


def running(stack: Any) -> float:
    return float(sum(stack.metric("generator", "groundswell_running_attempts").values()))


def test_a_client_that_leaves_its_stream_frees_the_slot(
    stack: Any, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("leaving")
    client = ask_beside(LONG, key, max_tokens=2000)
    wait_until(lambda: client.text and running(stack) == 1, what="a stream under way")
    client.leave()
    wait_until(lambda: running(stack) == 0, what="a free slot", within_s=SOON_S)
    with stack.http(key) as http:
        wait_until(
            lambda: http.get(f"/v1/requests/{client.request_id}").json()["state"] == "cancelled", what="cancelled"
        )


def test_a_client_that_leaves_before_its_whole_answer_frees_the_slot(
    stack: Any, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("leaving-whole")
    body = {"model": "null", "messages": [{"role": "user", "content": LONG}], "max_tokens": 2000}
    with stack.http(key) as http, pytest.raises(httpx.ReadTimeout):
        http.post("/v1/chat/completions", json=body, timeout=3)
    wait_until(lambda: running(stack) == 0, what="a free slot", within_s=SOON_S)
    with stack.http(key) as http:
        assert http.get("/v1/requests").json()["data"][0]["state"] == "cancelled"


def test_a_request_that_is_cancelled_frees_the_slot_and_tells_its_client(
    stack: Any, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("cancelling")
    client = ask_beside(LONG, key, max_tokens=2000)
    wait_until(lambda: client.text and running(stack) == 1, what="a stream under way")
    with stack.http(key) as http:
        assert http.post(f"/v1/requests/{client.request_id}/cancel").status_code == 200
        wait_until(lambda: running(stack) == 0 and client.over, what="a free slot and the end", within_s=SOON_S)
        kept = http.get(f"/v1/requests/{client.request_id}").json()
    assert (kept["state"], client.done, client.endings) == ("cancelled", 1, [kept["error"]["code"]])
