"""An SRE scales a service, kills one, and reads what runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize("service", ["ingest", "embedder"])
def test_an_upload_ends_live_although_a_service_on_its_way_is_killed(
    stack: Any, service: str, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for(f"killed-{service}")
    file = stack.upload("mill.md", f"# Mill\n\nThe mill of {service} grinds rye on Fridays.\n", key)
    victims = stack.kill(service)
    wait_until(lambda: stack.is_ready(service, without=victims), what=f"another {service}", within_s=60)
    wait_until(lambda: stack.file_status(file, key) == "processed", what="the upload is live", within_s=60)
    assert "Fridays" in stack.ask("When does the mill grind rye?", key)["choices"][0]["message"]["content"]


def test_two_operators_at_once_both_get_what_they_asked_for(stack: Any, wait_until: Callable[..., Any]) -> None:
    before = {record.service: record.pid for record in stack.processes()}
    restarted = ("ingest", "moderator")
    with ThreadPoolExecutor() as operators:
        list(operators.map(lambda service: stack.native("restart", service), restarted))
    for service in restarted:
        wait_until(lambda name=service: stack.is_ready(name, without=before.values()), what=service, within_s=60)
    supervisor = (stack.home / "logs" / "supervisor.log").read_text(encoding="utf-8")
    assert "Traceback" not in supervisor


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
