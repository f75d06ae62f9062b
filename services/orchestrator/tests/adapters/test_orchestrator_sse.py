"""The event stream's frame: heartbeats where nothing comes, one piece for one event, and who does not read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from openai._streaming import SSEDecoder

from groundswell.common.contracts.answers import Outcome
from groundswell.common.ids import RequestId
from groundswell.orchestrator.adapters.http_sse import DONE, KEEP_ALIVE, UNREAD, EventStream, event
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.ports import CLIENT_LEFT, Released, StreamItem

REQUEST = RequestId("req_1")
ENDED = Answer(outcome=Outcome.COMPLETED, text="12", finish_reason="stop")


@dataclass
class Stream:
    """Gives its items, then nothing."""

    items: list[StreamItem]
    request_id: RequestId = REQUEST
    left: list[str] = field(default_factory=list)

    def take(self) -> StreamItem | None:
        return self.items.pop(0) if self.items else None

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def abandon(self, reason: str) -> None:
        self.left.append(reason)


class Plain:
    """Text as it is."""

    def first(self) -> bytes:
        return b"first"

    def of(self, item: StreamItem) -> bytes:
        return item.text.encode() if isinstance(item, Released) else b"end"


async def run(
    stream: Stream, *, leaves: Callable[[list[bytes]], bool] = lambda _: False, reads: int = 99, **times: float
) -> list[bytes]:
    """Bodies sent, to a client that reads so many of them and leaves when `leaves` says so."""
    bodies: list[bytes] = []
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] != "http.response.body":
            return
        if len(bodies) == reads:
            await asyncio.Event().wait()
        bodies.append(message["body"])
        if leaves(bodies):
            left.set()

    await EventStream(stream, Plain(), headers={}, **times)({"type": "http"}, receive, send)
    return bodies


async def test_silence_is_filled_with_comments_until_the_client_leaves() -> None:
    stream = Stream([])
    sent = await run(stream, leaves=lambda bodies: len(bodies) == 4, heartbeat_s=0.01)
    assert sent == [b"first", KEEP_ALIVE, KEEP_ALIVE, KEEP_ALIVE]
    assert stream.left == [CLIENT_LEFT]


async def test_a_stream_that_ends_is_closed() -> None:
    stream = Stream([Released(0, "1"), Released(1, "2"), ENDED])
    assert await run(stream, heartbeat_s=60) == [b"first", b"1", b"2", b"end", b""]
    assert stream.left == []


@pytest.mark.parametrize("reads", [1, 2])
async def test_a_client_that_does_not_read_is_left_with_that_reason(reads: int) -> None:
    stream = Stream([Released(0, "1"), Released(1, "2"), ENDED])
    assert await run(stream, reads=reads, unread_s=0.02) == [b"first", b"1"][:reads]
    assert stream.left == [UNREAD]


async def test_silence_is_not_taken_for_a_client_that_does_not_read() -> None:
    stream = Stream([])
    await run(stream, leaves=lambda bodies: len(bodies) == 20, heartbeat_s=0.01, unread_s=0.05)
    assert stream.left == [CLIENT_LEFT]


def test_an_event_is_one_line_of_data_whatever_is_in_it() -> None:
    framed = event({"text": "a\r\nb\u2028c\u0085"}, 7)
    assert framed.startswith(b"id: 7\ndata: {")
    assert framed.endswith(b"}\n\n")
    assert framed.count(b"\n") == 3
    assert b"\r" not in framed


def test_a_heartbeat_is_no_event_to_the_decoder_of_the_openai_sdk() -> None:
    wire = event({"n": 1}, 0) + KEEP_ALIVE + KEEP_ALIVE + event({"n": 2}, 5) + KEEP_ALIVE + DONE
    heard = [decoded.data for decoded in SSEDecoder().iter_bytes(iter([wire]))]
    assert heard == ['{"n":1}', '{"n":2}', "[DONE]"]
