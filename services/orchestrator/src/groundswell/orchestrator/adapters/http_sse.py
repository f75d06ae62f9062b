"""Server-sent events, and the client that goes away meanwhile."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import structlog
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from groundswell.common.telemetry import names
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.ports import CLIENT_LEFT, AnswerStream, StreamItem

HEARTBEAT_S = 10.0
UNREAD_S = 60.0
LOOKS = 4
"""At whether the client reads, in the time that it has for that."""
UNREAD = "its client did not read its answer"
# No blank line behind it: OpenAI's decoder, and those made after it, would take one for an event without data.
KEEP_ALIVE = b": keep-alive\n"
DONE = b"data: [DONE]\n\n"

log = structlog.get_logger(__name__)
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


class Events(Protocol):
    """What a stream looks like on the wire."""

    def first(self) -> bytes: ...

    def of(self, item: StreamItem) -> bytes: ...


class EventStream(Response):
    """Sends the head at once, then events as they come, and a comment where none came for a while.

    A client that reads slowly is sent what there is when it has read what was sent, so it costs no memory. `stream` is
    abandoned if the client leaves before the last event, or reads nothing for `unread_s`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        stream: AnswerStream,
        events: Events,
        *,
        headers: Mapping[str, str],
        heartbeat_s: float = HEARTBEAT_S,
        unread_s: float = UNREAD_S,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._stream = stream
        self._events = events
        self._heartbeat_s = heartbeat_s
        self._unread_s = unread_s
        self._sending_since: float | None = None
        # Proxies must not hold events back.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        with names.STREAMS_OPEN.track_inprogress():
            try:
                await unless_client_leaves(receive, self._send_all(send))
            except (ClientLeft, OSError) as error:
                reason = UNREAD if isinstance(error, TimeoutError) else CLIENT_LEFT
                log.info("stream ended early", request_id=self._stream.request_id, reason=reason)
                await self._stream.abandon(reason)

    async def _send_all(self, send: Send) -> None:
        """Raises TimeoutError when nothing is read for too long."""
        async with asyncio.timeout(None) as limit:
            with self._reading_watched(limit):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._write(send, self._events.first())
                await self._write_items(send)
                await self._write(send, b"", more=False)

    async def _write_items(self, send: Send) -> None:
        now = asyncio.get_running_loop().time
        silent_at = now() + self._heartbeat_s
        while True:
            item = self._stream.take()
            if item is not None:
                await self._write(send, self._events.of(item))
                if isinstance(item, Answer):
                    return
            elif now() < silent_at:
                await self._stream.wait(silent_at - now())
                continue
            else:
                await self._write(send, KEEP_ALIVE)
            silent_at = now() + self._heartbeat_s

    async def _write(self, send: Send, body: bytes, *, more: bool = True) -> None:
        self._sending_since = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body, "more_body": more})
        self._sending_since = None

    @contextmanager
    def _reading_watched(self, limit: asyncio.Timeout) -> Iterator[None]:
        """One timer for the whole stream: one for each event would cost as much as the event."""
        self._look(limit)
        try:
            yield
        finally:
            self._next_look.cancel()

    def _look(self, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(self._unread_s / LOOKS, self._look, limit)
        if self._sending_since is not None and loop.time() - self._sending_since >= self._unread_s:
            limit.reschedule(loop.time())


async def _closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
