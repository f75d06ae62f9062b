"""An HTTP server inside a process that has its own life: it leaves the signals alone and stops within a bound."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

ASGIApp = Callable[..., Any]


class HttpServer:
    """Serves an ASGI app on listening sockets. `stop` lets responses that run finish within its grace."""

    def __init__(self, app: ASGIApp, *listening: socket.socket) -> None:
        self._server = _Server(
            uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, server_header=False),
        )
        self._sockets = listening
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def is_serving(self) -> bool:
        return self._serving is not None and not self._serving.done()

    async def start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve(sockets=[*self._sockets]))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)

    def refuse_new(self) -> None:
        """Take no more connections; responses that run go on."""
        self._server.should_exit = True

    async def stop(self, grace_s: float) -> None:
        """Always returns: what still runs after `grace_s` is cut off."""
        self._server.should_exit = True
        if self._serving is None:
            return
        _, unfinished = await asyncio.wait({self._serving}, timeout=grace_s)
        if unfinished:
            self._server.force_exit = True
            await asyncio.wait({self._serving}, timeout=1.0)


class _Server(uvicorn.Server):
    """Leaves the signals to the process: it drains before it stops answering."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
