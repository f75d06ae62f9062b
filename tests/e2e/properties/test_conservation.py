"""Every accepted request ends in exactly one terminal answer, whatever is killed meanwhile."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

LONG = " ".join(f"word{number}" for number in range(150))
RUNNING = "groundswell_running_attempts"
PATIENT_S = 60
IMPATIENT_S = 4
"""Less than the long answer takes."""


def state(stack: Any, request_id: str, key: str) -> dict[str, Any]:
    with stack.http(key) as http:
        found: dict[str, Any] = http.get(f"/v1/requests/{request_id}").json()
    return found


def in_the_middle(clients: list[Any]) -> bool:
    return all(client.text and not client.over for client in clients)


@pytest.mark.parametrize("victim", ["generator", "moderator", "retriever", "kafka", "postgres"])
def test_every_accepted_request_ends_once_although_something_is_killed(
    stack: Any, victim: str, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for(f"conserved-{victim}")
    patient = [ask_beside(f"{number} {LONG}", key, groundswell={"deadline_s": PATIENT_S}) for number in range(3)]
    impatient = ask_beside(LONG, key, groundswell={"deadline_s": IMPATIENT_S})
    wait_until(lambda: in_the_middle(patient), what="three streams under way")
    just_accepted = ask_beside("Is there anything?", key, model="docs-qa", groundswell={"deadline_s": PATIENT_S})
    wait_until(lambda: just_accepted.status, what="a question accepted")
    stack.kill(victim)

    clients = [*patient, impatient, just_accepted]
    wait_until(lambda: all(client.over for client in clients), what="every stream over", within_s=PATIENT_S)
    for client in clients:
        kept = state(stack, client.request_id, key)
        assert (client.broken, client.done, len(client.endings)) == (None, 1, 1), client.endings
        assert kept["state"] == ("expired" if client is impatient else "completed")
    assert [client.text for client in patient] == [client.question for client in patient]
    assert LONG.startswith(impatient.text)
    assert impatient.endings == ["deadline_exceeded"]


def test_a_generator_that_drains_hands_its_answer_to_the_other_without_a_gap(
    stack: Any, ask_beside: Callable[..., Any], lie_on: Callable[[str], list[Any]], wait_until: Callable[..., Any]
) -> None:
    stack.native("scale", "generator", "2")
    wait_until(lambda: stack.is_ready("generator", 2), what="two generators", within_s=60)
    key = stack.key_for("handed-back")
    client = ask_beside(LONG, key, groundswell={"deadline_s": 60})
    wait_until(lambda: in_the_middle([client]), what="a stream under way")
    [busy] = [pid for pid, running in stack.metric("generator", RUNNING).items() if running]
    os.kill(busy, signal.SIGTERM)

    wait_until(lambda: client.over, what="the end of the stream", within_s=50)
    assert (client.broken, client.done, client.endings) == (None, 1, ["stop"])
    assert client.text == LONG
    commands = [json.loads(record.value) for record in lie_on("cmd.generate-answer.interactive.v1")]
    assert [each["attempt"] for each in commands if each["request_id"] == client.request_id] == [1, 2]
    stack.native("scale", "generator", "1")


def test_requests_of_a_killed_orchestrator_become_terminal(
    stack: Any, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("orphaned")
    clients = [ask_beside(f"{number} {LONG}", key, groundswell={"deadline_s": 6}) for number in range(2)]
    wait_until(lambda: in_the_middle(clients), what="two streams under way")
    stack.kill("orchestrator")
    wait_until(lambda: all(client.over for client in clients), what="the connections end")
    wait_until(lambda: stack.is_ready("orchestrator"), what="another orchestrator", within_s=60)

    def swept() -> bool:
        return all(state(stack, client.request_id, key)["state"] == "expired" for client in clients)

    wait_until(swept, what="both requests expired", within_s=30)
    assert all(client.endings == [] for client in clients)


def test_two_orchestrators_answer_on_one_socket(stack: Any, wait_until: Callable[..., Any]) -> None:
    stack.native("scale", "orchestrator", "2")
    wait_until(lambda: stack.is_ready("orchestrator", 2), what="two orchestrators", within_s=60)
    key = stack.key_for("two-doors")

    def answered(number: int) -> str:
        content: str = stack.ask(f"Say {number}", key, model="null")["choices"][0]["message"]["content"]
        return content

    with ThreadPoolExecutor(8) as askers:
        said = list(askers.map(answered, range(24)))
    assert said == [f"Say {number}" for number in range(24)]
    ended = stack.metric("orchestrator", "groundswell_requests_ended_total")
    assert all(ended.values()), ended

    with ThreadPoolExecutor(4) as askers:
        asked = [askers.submit(answered, number) for number in range(4)]
        stack.native("scale", "orchestrator", "1")
        assert [each.result() for each in asked] == [f"Say {number}" for number in range(4)]
