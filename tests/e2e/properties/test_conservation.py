"""Every accepted request ends in exactly one terminal answer, whatever is killed meanwhile."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]


def words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


LONG, ENDLESS = words(150), words(2000)
RUNNING = "groundswell_running_attempts"
SLOTS = 8
"""Of a generator, by default."""
PATIENT_S = 60
IMPATIENT_S = 4
"""Less than the long answer takes."""
LATEST_S = 1.5
"""Into the streams, for what breaks them: by then none is over."""


def state(stack: Any, request_id: str, key: str) -> dict[str, Any]:
    with stack.http(key) as http:
        found: dict[str, Any] = http.get(f"/v1/requests/{request_id}").json()
    return found


def runs_in(lie_on: Callable[[str], list[Any]]) -> dict[str, str]:
    """The worker that admitted each request, by request id."""
    replies = [json.loads(record.value) for record in lie_on("rpl.orchestrator.v1")]
    return {reply["request_id"]: reply["worker"] for reply in replies if "prefix_length" in reply}


def in_the_middle(clients: list[Any]) -> bool:
    return all(client.text and not client.over for client in clients)


def in_a_moment(chance: Random) -> None:
    """Some time later, while what was under way still is."""
    time.sleep(chance.uniform(0, LATEST_S))


@pytest.mark.parametrize("victim", ["generator", "moderator", "retriever", "kafka", "postgres"])
def test_every_accepted_request_ends_once_although_something_is_killed(
    stack: Any, victim: str, chance: Random, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for(f"conserved-{victim}")
    patient = [
        ask_beside(
            f"{number} {words(chance.randint(120, 200))}",
            key,
            groundswell={"deadline_s": PATIENT_S, "tier": chance.choice(["interactive", "standard"])},
        )
        for number in range(chance.randint(2, 5))
    ]
    impatient = ask_beside(LONG, key, groundswell={"deadline_s": IMPATIENT_S})
    wait_until(lambda: in_the_middle(patient), what="streams under way")
    in_a_moment(chance)
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
    stack: Any,
    chance: Random,
    ask_beside: Callable[..., Any],
    lie_on: Callable[[str], list[Any]],
    wait_until: Callable[..., Any],
) -> None:
    stack.native("scale", "generator", "2")
    wait_until(lambda: stack.is_ready("generator", 2), what="two generators", within_s=60)
    key = stack.key_for("handed-back")
    client = ask_beside(LONG, key, groundswell={"deadline_s": 60})
    wait_until(lambda: in_the_middle([client]), what="a stream under way")
    in_a_moment(chance)
    [busy] = [pid for pid, running in stack.metric("generator", RUNNING).items() if running]
    os.kill(busy, signal.SIGTERM)

    wait_until(lambda: client.over, what="the end of the stream", within_s=50)
    assert (client.broken, client.done, client.endings) == (None, 1, ["stop"])
    assert client.text == LONG
    commands = [json.loads(record.value) for record in lie_on("cmd.generate-answer.interactive.v1")]
    assert sorted(each["attempt"] for each in commands if each["request_id"] == client.request_id) == [1, 2]
    stack.native("scale", "generator", "1")


def test_no_answer_waits_behind_a_busy_worker_while_another_has_room(
    stack: Any, ask_beside: Callable[..., Any], lie_on: Callable[[str], list[Any]], wait_until: Callable[..., Any]
) -> None:
    """The last one waits for a full worker; it is the first slot of either that lets it begin."""
    stack.native("scale", "generator", "2")
    wait_until(lambda: stack.is_ready("generator", 2), what="two generators", within_s=60)
    key = stack.key_for("placed")

    def ask(number: int) -> Any:
        """It is answered until it leaves, however long the others take to come."""
        return ask_beside(f"{number} {ENDLESS}", key, max_tokens=2000, groundswell={"deadline_s": 180})

    clients = [ask(number) for number in range(2 * SLOTS)]
    wait_until(lambda: all(client.text for client in clients), what="every slot taken", within_s=60)
    assert sorted(stack.metric("generator", RUNNING).values()) == [SLOTS, SLOTS]
    workers = runs_in(lie_on)
    for worker in {workers[client.request_id] for client in clients}:
        waiting = ask(0)
        wait_until(lambda: waiting.request_id, what="one more question accepted")  # noqa: B023
        next(client for client in clients if workers[client.request_id] == worker).leave()
        wait_until(lambda: waiting.text, what="an answer that waited")  # noqa: B023
        clients.append(waiting)
        workers = runs_in(lie_on)
    for client in clients:
        client.leave()
    stack.native("scale", "generator", "1")


def test_a_request_that_kills_whoever_runs_it_costs_itself_only(
    stack: Any, ask_beside: Callable[..., Any], lie_on: Callable[[str], list[Any]], wait_until: Callable[..., Any]
) -> None:
    """The test does the killing: each worker that admits the request gets SIGKILL, until the request is given up."""
    stack.native("scale", "generator", "2")
    wait_until(lambda: stack.is_ready("generator", 2), what="two generators", within_s=60)
    key = stack.key_for("poisoned")
    neighbours = [ask_beside(f"{number} {LONG}", key, groundswell={"deadline_s": 150}) for number in range(2)]
    poison = ask_beside(f"poison {LONG}", key, groundswell={"deadline_s": 150})
    struck = set[str]()

    def strike() -> bool:
        worker = runs_in(lie_on).get(poison.request_id or "")
        if worker is not None and worker not in struck and not poison.over:
            struck.add(worker)
            os.kill(int(worker.rsplit("-", 2)[1]), signal.SIGKILL)
        return bool(poison.over)

    wait_until(strike, what="the end of the request that kills", within_s=120)
    assert poison.endings == ["generation_failed"]
    assert len(struck) == 3
    wait_until(lambda: all(client.over for client in neighbours), what="the others' end", within_s=120)
    assert [(client.endings, client.text) for client in neighbours] == [
        (["stop"], client.question) for client in neighbours
    ]
    [letter] = [
        record
        for record in lie_on("cmd.generate-answer.dlq")
        if json.loads(record.value)["request_id"] == poison.request_id
    ]
    assert dict(letter.headers)["dlq_attempts"] == b"3"
    stack.native("scale", "generator", "1")


def test_requests_of_a_killed_orchestrator_are_carried_on_to_their_end(
    stack: Any, chance: Random, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("orphaned")
    patient = [ask_beside(f"{number} {LONG}", key, groundswell={"deadline_s": PATIENT_S}) for number in range(2)]
    impatient = ask_beside(LONG, key, groundswell={"deadline_s": IMPATIENT_S})
    clients = [*patient, impatient]
    wait_until(lambda: in_the_middle(clients), what="three streams under way")
    in_a_moment(chance)
    stack.kill("orchestrator")
    wait_until(lambda: all(client.over for client in clients), what="the connections end")
    assert all(client.endings == [] for client in clients)
    wait_until(lambda: not stack.missing(), what="another orchestrator", within_s=60)

    def ended(client: Any) -> bool:
        return state(stack, client.request_id, key)["ended_at"] is not None

    wait_until(lambda: all(map(ended, clients)), what="every request ended", within_s=PATIENT_S)
    kept = [state(stack, client.request_id, key) for client in clients]
    assert [each["state"] for each in kept] == ["completed", "completed", "expired"]
    texts = [each["answer"]["choices"][0]["message"]["content"] for each in kept]
    assert texts[:2] == [client.question for client in patient]
    assert all(text.startswith(client.text) for client, text in zip(clients, texts, strict=True))


def test_a_client_whose_replica_died_gets_its_one_answer_by_asking_again_with_the_same_key(
    stack: Any, chance: Random, lie_on: Callable[[str], list[Any]], wait_until: Callable[..., Any]
) -> None:
    key, once = stack.key_for("asked-again"), f"{chance.getrandbits(64):x}"
    body = {
        "model": "null",
        "messages": [{"role": "user", "content": LONG}],
        "groundswell": {"deadline_s": PATIENT_S},
    }

    def ask() -> httpx.Response:
        with stack.http(key) as http:
            answer: httpx.Response = http.post(
                "/v1/chat/completions", json=body, headers={"Idempotency-Key": once}, timeout=PATIENT_S
            )
        return answer

    with ThreadPoolExecutor(1) as asker:
        first = asker.submit(ask)
        wait_until(lambda: sum(stack.metric("generator", RUNNING).values()), what="an attempt that runs")
        in_a_moment(chance)
        stack.kill("orchestrator")
        with pytest.raises(httpx.HTTPError):
            first.result()
    wait_until(lambda: not stack.missing(), what="the public port ready", within_s=60)

    again, once_more = ask(), ask()
    assert again.headers["idempotent-replayed"] == once_more.headers["idempotent-replayed"] == "true"
    assert again.json() == once_more.json()
    assert again.json()["choices"][0]["message"]["content"] == LONG
    request_id = again.headers["x-request-id"]
    commands = [json.loads(record.value) for record in lie_on("cmd.generate-answer.interactive.v1")]
    assert [each["attempt"] for each in commands if each["request_id"] == request_id] == [1], "it was generated once"


def test_clients_of_a_replica_that_was_only_slow_get_one_text_from_its_adopter(
    stack: Any,
    chance: Random,
    ask_beside: Callable[..., Any],
    lie_on: Callable[[str], list[Any]],
    wait_until: Callable[..., Any],
) -> None:
    key = stack.key_for("slow")
    clients = [ask_beside(f"{number} {LONG}", key, groundswell={"deadline_s": PATIENT_S}) for number in range(3)]
    wait_until(lambda: in_the_middle(clients), what="three streams under way")
    in_a_moment(chance)
    carries = stack.metric("orchestrator", "groundswell_streams_open")
    slow = max(carries, key=carries.__getitem__)
    os.kill(slow, signal.SIGSTOP)
    try:

        def adopted() -> set[str]:
            events = [json.loads(record.value) for record in lie_on("evt.answer-stream.v1")]
            of_here = {client.request_id for client in clients}
            return {event["request_id"] for event in events if event.keys() == {"request_id", "epoch"}} & of_here

        wait_until(lambda: len(adopted()) == carries[slow], what="adoption", within_s=60)
    finally:
        os.kill(slow, signal.SIGCONT)
    wait_until(lambda: all(client.over for client in clients), what="every stream over", within_s=PATIENT_S)
    for client in clients:
        assert (client.broken, client.done, client.endings) == (None, 1, ["stop"])
        assert client.text == client.question
        kept = state(stack, client.request_id, key)
        assert kept["answer"]["choices"][0]["message"]["content"] == client.text
    wait_until(lambda: stack.is_ready("orchestrator", 2, without=[slow]), what="the slow one restarted", within_s=60)


def test_two_orchestrators_answer_on_one_socket(stack: Any, wait_until: Callable[..., Any]) -> None:
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
    stack.native("scale", "orchestrator", "2")
