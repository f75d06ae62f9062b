"""The event stream's frame: heartbeats where nothing comes, and one piece for one event."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from openai._streaming import SSEDecoder

from groundswell.orchestrator.adapters.http_sse import DONE, KEEP_ALIVE, EventStream, event


async def run(events: AsyncIterator[bytes], heartbeat_s: float, until: int) -> list[bytes]:
    """Bodies sent, of a client that leaves after `until` of them."""
    bodies: list[bytes] = []
    left = asyncio.Event()
    response = EventStream(events, stream=_Stream(left), headers={}, heartbeat_s=heartbeat_s)

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])
            if len(bodies) == until:
                left.set()

    await response({"type": "http"}, receive, send)
    return bodies


class _Stream:
    request_id: Any = "req_1"

    def __init__(self, left: asyncio.Event) -> None:
        self.left = left

    def __aiter__(self) -> AsyncIterator[Any]:
        raise AssertionError("the frame reads events, not the stream")

    async def abandon(self) -> None:
        assert self.left.is_set()


async def silence() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


async def test_silence_is_filled_with_comments_until_the_client_leaves() -> None:
    assert await run(silence(), heartbeat_s=0.01, until=4) == [b"first", KEEP_ALIVE, KEEP_ALIVE, KEEP_ALIVE]


async def test_a_stream_that_ends_is_closed() -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"

    assert await run(two(), heartbeat_s=60, until=99) == [b"1", b"2", b""]


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
