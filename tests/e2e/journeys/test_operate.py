"""An SRE scales a service, kills one, and reads what runs."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def test_two_generators_work_and_one_goes_again(stack: Any, wait_until: Callable[..., Any]) -> None:
    stack.native("scale", "generator", "2")
    wait_until(lambda: stack.is_ready("generator", 2), what="two generators", within_s=60)
    key = stack.key_for("scaled")
    for number in range(4):
        answer = stack.ask(f"Say {number}", key, model="null")
        assert answer["choices"][0]["message"]["content"]
    stack.native("scale", "generator", "1")
    wait_until(lambda: stack.is_ready("generator"), what="one generator", within_s=60)
    assert stack.ask("Say more", key, model="null")["choices"][0]["message"]["content"]


@pytest.mark.parametrize("service", ["moderator", "retriever", "generator", "ingest", "embedder", "orchestrator"])
def test_a_killed_service_comes_back_and_questions_are_answered_again(
    stack: Any, service: str, wait_until: Callable[..., Any]
) -> None:
    victims = stack.kill(service)
    wait_until(lambda: stack.is_ready(service, without=victims), what=f"another {service}", within_s=60)
    key = stack.key_for("killed")
    assert stack.ask("Say it", key, model="null")["choices"][0]["message"]["content"]


def test_every_service_says_that_it_is_ready_and_measures_itself(stack: Any) -> None:
    services = [record for record in stack.processes() if not record.component]
    assert {record.service for record in services} >= {
        "ingest",
        "embedder",
        "retriever",
        "orchestrator",
        "generator",
        "moderator",
    }
    for record in services:
        address = f"http://127.0.0.1:{record.port}"
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert httpx.get(f"{address}/readyz").json() == {"ready": True, "missing": {}}
        assert "groundswell_" in httpx.get(f"{address}/metrics", follow_redirects=True).text
