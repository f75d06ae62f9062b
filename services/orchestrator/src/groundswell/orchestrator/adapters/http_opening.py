"""A replica that has only just started lets requests wait a moment, instead of answering 503."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

PATIENCE_S = 10.0


class UntilOpen:
    """ASGI middleware. All replicas share one socket, so a connection may come to one that cannot take it yet.

    For `patience_s` after the first of them they wait for `opened`; from then on a client is told at once what is
    missing.
    """

    def __init__(self, app: ASGIApp, opened: asyncio.Event, patience_s: float = PATIENCE_S) -> None:
        self._app = app
        self._opened = opened
        self._patience_s = patience_s
        self._until: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and not self._opened.is_set():
            now = asyncio.get_running_loop().time()
            self._until = self._until or now + self._patience_s
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._until):
                    await self._opened.wait()
        await self._app(scope, receive, send)
