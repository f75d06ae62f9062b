"""A client whose connection breaks reads on where it was, at any replica, and loses and doubles nothing."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

CLIENTS = 6
CUTS = 12
"""Of each client's connections."""
WORDS = 150
SHORT = " ".join(f"word{number}" for number in range(WORDS))


@dataclass
class Reader:
    """One resumable answer, read in pieces: each connection is cut after some events, and goes to any of `urls`."""

    urls: list[str]
    key: str
    question: str
    chance: Random
    text: str = ""
    position: int = 0
    request_id: str = ""
    endings: list[str] = field(default_factory=list)
    usages: int = 0
    connections: int = 0
    done: bool = False

    def read_all(self, cuts: int) -> None:
        body = {
            "model": "null",
            "messages": [{"role": "user", "content": self.question}],
            "stream": True,
            "groundswell": {"resumable": True},
        }
        with self._connected() as http, http.stream("POST", "/v1/chat/completions", json=body) as response:
            self.request_id = response.headers["x-request-id"]
            self._take(response.iter_lines(), self._until_cut(cuts))
        while not self.done:
            self._read_on(self._until_cut(cuts))

    def _read_on(self, events: int) -> None:
        by_header = self.chance.random() < 0.5
        headers = {"last-event-id": str(self.position)} if by_header else {}
        query = {} if by_header else {"after": self.position}
        path = f"/v1/requests/{self.request_id}/stream"
        with self._connected() as http, http.stream("GET", path, headers=headers, params=query) as response:
            response.raise_for_status()
            self._take(response.iter_lines(), events)

    def _connected(self) -> httpx.Client:
        self.connections += 1
        url = self.chance.choice(self.urls)
        return httpx.Client(base_url=url, headers={"authorization": f"Bearer {self.key}"}, timeout=60)

    def _until_cut(self, cuts: int) -> int:
        return self.chance.randint(0, 12) if self.connections <= cuts else 10_000

    def _take(self, lines: Iterator[str], events: int) -> None:
        for line in lines:
            if line.startswith("id: "):
                if events == 0:
                    return
                events -= 1
                position = int(line.removeprefix("id: "))
            elif line == "data: [DONE]":
                self.done = True
            elif line.startswith("data: "):
                self._event(json.loads(line.removeprefix("data: ")))
                self.position = position

    def _event(self, event: dict[str, Any]) -> None:
        self.usages += event.get("usage") is not None
        for choice in event.get("choices", ()):
            self.text += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                self.endings.append(choice["finish_reason"])


@pytest.fixture
def replicas(stack: Any, wait_until: Callable[..., Any]) -> list[str]:
    """The address of each orchestrator alone."""
    wait_until(lambda: stack.is_ready("orchestrator", 2), what="two orchestrators", within_s=60)
    return [f"http://127.0.0.1:{record.api_port}" for record in stack.of("orchestrator")]


def test_a_stream_that_is_cut_again_and_again_is_one_text(stack: Any, replicas: list[str], chance: Random) -> None:
    key = stack.key_for("resumed")
    readers = [Reader(replicas, key, f"{number} {SHORT}", Random(chance.random())) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(lambda reader: reader.read_all(CUTS), readers))
    for reader in readers:
        assert reader.text == reader.question
        # One that was cut behind its last chunk is told the end again.
        assert set(reader.endings) == {"stop"}
        assert reader.usages >= 1
        assert reader.connections > 1
    again = Reader(replicas, key, SHORT, chance, request_id=readers[0].request_id, position=len(readers[0].text) - 5)
    again._read_on(10_000)
    assert (again.text, again.endings, again.done) == (SHORT[-5:], ["stop"], True), "what ended is still told"


def test_a_replica_that_dies_costs_no_resumable_stream_and_no_answer(
    stack: Any,
    replicas: list[str],
    ask_beside: Callable[..., Any],
    wait_until: Callable[..., Any],
    chance: Random,
) -> None:
    key = stack.key_for("resumed-killed")
    resumable = [
        ask_beside(f"{number} {SHORT}", key, groundswell={"resumable": True, "deadline_s": 120}) for number in range(6)
    ]
    plain = [ask_beside(f"{number} {SHORT}", key, groundswell={"deadline_s": 120}) for number in range(2)]
    clients = [*resumable, *plain]
    wait_until(lambda: all(client.text for client in clients), what="streams under way", within_s=60)
    victim = chance.choice(stack.of("orchestrator"))
    os.kill(victim.pid, signal.SIGKILL)
    survivor = next(url for url in replicas if not url.endswith(f":{victim.api_port}"))
    wait_until(lambda: all(client.over for client in clients), what="every connection over", within_s=90)
    assert any(client.broken for client in clients)
    for client in resumable:
        reader = Reader([survivor], key, client.question, chance, text=client.text, position=len(client.text))
        reader.request_id = client.request_id
        if not client.done:
            reader._read_on(10_000)
            assert (reader.endings, reader.done) == (["stop"], True)
        assert reader.text == client.question
    for client in plain:
        with stack.http(key) as http:
            wait_until(
                lambda: http.get(f"/v1/requests/{client.request_id}").json()["state"] == "completed",  # noqa: B023
                what="the answer of a request whose stream broke",
                within_s=60,
            )


def test_a_request_is_cancelled_at_a_replica_that_does_not_carry_it(
    stack: Any, replicas: list[str], ask_beside: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("cancelled-elsewhere")
    clients = [ask_beside(f"{number} {SHORT}", key) for number in range(4)]
    wait_until(lambda: all(client.text for client in clients), what="streams under way")
    for client in clients:
        for url in replicas:
            response = httpx.post(
                f"{url}/v1/requests/{client.request_id}/cancel", headers={"authorization": f"Bearer {key}"}
            )
            assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    wait_until(lambda: all(client.over for client in clients), what="every stream over")
    assert [client.endings for client in clients] == [["request_cancelled"]] * 4
