"""Clients that ask beside the test, and eyes on what lies on Kafka."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.publisher import Publisher

OK = 200


@dataclass
class Client:
    """One streamed question, read in a thread of its own. `broken`: the connection ended before the answer did."""

    stack: Any
    question: str
    key: str
    body: dict[str, Any]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    broken: str | None = None
    leaving: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    @property
    def text(self) -> str:
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def endings(self) -> list[str]:
        """Every terminal event that came: the reason to finish, or the code of an error."""
        finished = [choice["finish_reason"] for event in self.events for choice in event.get("choices", ())]
        errors = [event["error"]["code"] for event in self.events if "error" in event]
        return [reason for reason in finished if reason] + errors

    @property
    def over(self) -> bool:
        return not self.thread.is_alive()

    def leave(self) -> None:
        """Close the connection at the next event."""
        self.leaving.set()

    def _read(self) -> None:
        messages = [{"role": "user", "content": self.question}]
        body = {"model": "null", "messages": messages, "stream": True, **self.body}
        try:
            with (
                self.stack.http(self.key) as http,
                http.stream("POST", "/v1/chat/completions", json=body) as response,
            ):
                self.status, self.headers = response.status_code, dict(response.headers)
                if response.status_code == OK:
                    self._take(response.iter_lines())
        except httpx.HTTPError as error:
            self.broken = type(error).__name__

    def _take(self, lines: Iterator[str]) -> None:
        for line in lines:
            if self.leaving.is_set():
                return
            if line == "data: [DONE]":
                self.done += 1
            elif line.startswith("data: "):
                self.events.append(json.loads(line.removeprefix("data: ")))


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> Random:
    """What a test leaves to chance: the same for the same test and seed."""
    return Random(f"{request.node.name} {seed}")


@pytest.fixture
def ask_beside(stack: Any) -> Callable[..., Client]:
    """Ask a bare model, which repeats the question word by word, without waiting for the answer."""

    def ask(question: str, key: str, **body: Any) -> Client:
        return Client(stack, question, key, body)

    return ask


@pytest.fixture(autouse=True)
def _recovered(stack: Any, wait_until: Callable[..., Any]) -> Iterator[None]:
    """The next test finds everything ready, whatever this one broke."""
    yield
    wait_until(lambda: stack.is_whole, what="every process and the public port ready", within_s=60)


@pytest.fixture
def kafka(stack: Any) -> str:
    """The address of the stack's broker."""
    return str(stack.kafka)


@pytest.fixture
def put(kafka: str) -> Callable[..., None]:
    """Put raw records on topics."""

    async def publish(topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        publisher = Publisher(kafka, service="test", clock=BrokerClock())
        try:
            await publisher.publish_raw(topic, value, headers, key=None)
        finally:
            await publisher.stop()

    return lambda topic, value, headers=(): asyncio.run(publish(topic, value, list(headers)))


@pytest.fixture
def lie_on(kafka: str) -> Callable[[str], list[Any]]:
    """Every record that lies on a topic now."""

    def look(topic: str) -> list[Any]:
        return list(asyncio.run(records_on(kafka, topic)))

    return look
