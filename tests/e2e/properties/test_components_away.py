"""Kafka, Weaviate and PostgreSQL die, stay away or freeze, and come back: services wait, say so, and go on."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

NEEDED_BY = {
    "kafka": {"ingest", "embedder", "retriever", "orchestrator", "generator", "moderator"},
    "weaviate": {"embedder", "retriever"},
    "postgres": {"ingest", "retriever", "orchestrator"},
}
DEADLINE_S = 40
LATEST_S = DEADLINE_S + 10
NEEDED_TO_ACCEPT = "postgres"
"""By an upload, which waits in the outbox for Kafka."""
TURNED_AWAY_WITHIN_S = 10
"""What does not answer is given up after 2 s, and the search for another connection 5 s after it began."""
FROZEN_S = 14
"""Longer than a lease lives without renewal."""


def pids(stack: Any) -> dict[str, int]:
    return {record.service: record.pid for record in stack.processes() if not record.component}


def document(number: int) -> str:
    return f"# Lock {number}\n\nLock number {number} of the canal lifts boats by {number} metres.\n"


def ask(stack: Any, number: int, key: str, deadline_s: float = DEADLINE_S) -> httpx.Response:
    """One question, whatever comes; how long it took is in `elapsed`."""
    body = {
        "model": "docs-qa",
        "messages": [{"role": "user", "content": f"By how many metres does lock number {number} lift boats?"}],
        "groundswell": {"deadline_s": deadline_s},
    }
    with stack.http(key) as http:
        response: httpx.Response = http.post("/v1/chat/completions", json=body)
    return response


def is_polite(response: httpx.Response) -> bool:
    """An answer in time, or word that there is none now and when to ask again."""
    in_time = response.elapsed.total_seconds() < LATEST_S
    turned_away = response.status_code == 503 and int(response.headers["retry-after"]) > 0
    return in_time and (response.status_code == 200 or turned_away)


def upload(stack: Any, number: int, key: str) -> str | None:
    """The file's id, or None when the platform asked to try again later."""
    with stack.http(key) as http:
        files = {"file": (f"lock-{number}.md", document(number))}
        response = http.post("/v1/files", files=files, data={"purpose": "assistants"})
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) > 0
        return None
    response.raise_for_status()
    return str(response.json()["id"])


def say_so(stack: Any, component: str) -> bool:
    """Whether every process that needs the component names it, and no other does."""
    naming = {record.service for record in stack.processes() if not record.component and component in record.missing}
    return naming == NEEDED_BY[component]


@pytest.mark.parametrize("component", ["kafka", "weaviate", "postgres"])
def test_services_say_what_is_away_and_go_on_when_it_is_back(
    stack: Any, component: str, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for(f"away-{component}")
    before, files = pids(stack), {1: stack.upload("lock-1.md", document(1), key)}
    with ThreadPoolExecutor() as beside:
        with stack.without(component):
            wait_until(lambda: say_so(stack, component), what=f"{component} named by all who need it", within_s=30)
            asked = beside.submit(ask, stack, 1, key)
            sent = beside.submit(upload, stack, 2, key)
            if "orchestrator" in NEEDED_BY[component]:
                wait_until(lambda: component in stack.missing(), what=f"{component} named on the public port")
            wait_until(sent.done, what="an answer to the upload", within_s=30)
        response = asked.result()
    assert (sent.result() is None) == (component == NEEDED_TO_ACCEPT)
    assert is_polite(response), response.text
    wait_until(lambda: not stack.missing(), what="the stack is ready again", within_s=60)
    files[2] = sent.result() or stack.upload("lock-2.md", document(2), key)
    for number, file in files.items():
        wait_until(lambda file=file: stack.file_status(file, key) == "processed", what=f"upload {number}", within_s=60)
        assert f"{number} metres" in ask(stack, number, key).json()["choices"][0]["message"]["content"]
    assert pids(stack) == before


def test_a_question_during_an_outage_of_kafka_ends_soon_after_its_deadline(stack: Any) -> None:
    key = stack.key_for("away-deadline")
    with stack.without("kafka"):
        response = ask(stack, 1, key, deadline_s=3)
    assert response.status_code == 408, response.text
    assert response.json()["groundswell"]["outcome"] == "expired"
    assert response.elapsed.total_seconds() < 10


def test_everything_comes_back_after_all_components_were_killed_at_once(
    stack: Any, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("killed-components")
    before, file = pids(stack), stack.upload("lock-3.md", document(3), key)
    for component in NEEDED_BY:
        stack.kill(component)

    until = time.monotonic() + 90
    while (response := ask(stack, 3, key)).status_code != 200:
        assert is_polite(response), response.text
        assert time.monotonic() < until
    wait_until(lambda: stack.file_status(file, key) == "processed", what="the upload is live", within_s=60)
    assert "3 metres" in ask(stack, 3, key).json()["choices"][0]["message"]["content"]
    assert pids(stack) == before


@contextmanager
def frozen(stack: Any) -> Iterator[None]:
    """PostgreSQL's processes stand still: its connections stay open and the kernel takes new ones."""
    [postmaster] = [record.pid for record in stack.of("postgres")]
    os.kill(postmaster, signal.SIGSTOP)  # first: it starts no more of the others
    backends = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
    try:
        for backend in backends:
            os.kill(int(backend), signal.SIGSTOP)
        yield
    finally:
        for pid in (*map(int, backends), postmaster):
            os.kill(pid, signal.SIGCONT)


def test_a_frozen_database_turns_questions_away_in_time_and_cuts_no_stream(
    stack: Any, ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key, before = stack.key_for("frozen-database"), {record.pid for record in stack.of("orchestrator")}
    patient = {"max_tokens": 900, "groundswell": {"deadline_s": 120}}
    clients = [ask_beside(f"{number}" + " how deep" * 400, key, **patient) for number in range(4)]
    wait_until(lambda: all(client.text for client in clients), what="four streams under way")
    with frozen(stack):
        until, had = time.monotonic() + FROZEN_S, [len(client.text) for client in clients]
        with ThreadPoolExecutor() as askers:
            responses = list(askers.map(lambda number: ask(stack, number, key), range(4)))
        for response in responses:
            assert response.status_code == 503, response.text
            assert int(response.headers["retry-after"]) > 0
            assert response.elapsed.total_seconds() < TURNED_AWAY_WITHIN_S
        wait_until(lambda: "postgres" in stack.missing(), what="PostgreSQL named on the public port")
        assert all(len(client.text) > length for client, length in zip(clients, had, strict=True))
        time.sleep(max(0.0, until - time.monotonic()))
    wait_until(lambda: all(client.over for client in clients), what="every stream over", within_s=90)
    for client in clients:
        assert (client.broken, client.done, client.endings) == (None, 1, ["stop"])
        assert client.text == client.question
    wait_until(lambda: stack.is_whole, what="every process ready", within_s=60)
    # Who loses a lease starts again.
    assert {record.pid for record in stack.of("orchestrator")} == before
