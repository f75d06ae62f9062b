"""Server-sent events, and the client that goes away meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from groundswell.common.telemetry import names
from groundswell.orchestrator.ports import AnswerStream

HEARTBEAT_S = 10.0
# No blank line behind it: OpenAI's decoder, and those made after it, would take one for an event without data.
KEEP_ALIVE = b": keep-alive\n"
DONE = b"data: [DONE]\n\n"

T = TypeVar("T")


def event(content: object, position: int) -> bytes:
    """One event. Its id is the number of code points released so far: what a client names to resume."""
    return b"id: %d\ndata: %b\n\n" % (position, to_json(content))


class ClientLeft(Exception):
    """The client closed its connection."""


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises ClientLeft, with `work` cancelled, as soon as the client's connection is closed."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_closed(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class EventStream(Response):
    """Sends the head at once, then events as they come, and a comment where none came for a while.

    `stream` is abandoned if the client leaves before the last event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        stream: AnswerStream,
        headers: Mapping[str, str],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._events = events
        self._stream = stream
        self._heartbeat_s = heartbeat_s
        # Proxies must not hold events back.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        with names.STREAMS_OPEN.track_inprogress():
            try:
                await unless_client_leaves(receive, self._send_all(send))
            except (ClientLeft, OSError):
                await self._stream.abandon()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in _with_heartbeat(self._events, self._heartbeat_s):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _with_heartbeat(events: AsyncIterator[bytes], every_s: float) -> AsyncIterator[bytes]:
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({coming}, timeout=every_s)
            if not done:
                yield KEEP_ALIVE
                continue
            piece, coming = coming.result(), None
            if piece is None:
                return
            yield piece
    finally:
        if coming is not None:
            coming.cancel()


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
