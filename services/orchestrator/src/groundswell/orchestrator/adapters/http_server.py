"""The public HTTP port: served from the first moment, so that a client is told what is missing, not turned away."""

import socket

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.serving import ASGIApp, HttpServer

CLOSE_WITHIN_S = 2.0
UNREAD_S = 90.0
"""More than a stream waits, which then says why it ended."""


class PublicHttp:
    """A resource of the service. `fd` is a listening socket that every replica inherits; without it `host:port`.

    It also serves on a loopback port of its own, so that one can ask this very replica.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, fd: int | None) -> None:
        self._app = app
        self._host, self._port, self._fd = host, port, fd
        self._server: HttpServer | None = None
        self._own = socket.create_server(("127.0.0.1", 0))

    @property
    def own_port(self) -> int:
        port: int = self._own.getsockname()[1]
        return port

    async def open(self) -> None:
        self._server = HttpServer(self._app, self._listening(), self._own)
        await self._server.start()

    async def check(self) -> None:
        if self._server is None or not self._server.is_serving:
            raise Unavailable("the HTTP server stopped")

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(CLOSE_WITHIN_S)

    def refuse_new(self) -> None:
        """Leave new connections to the other replicas."""
        if self._server is not None:
            self._server.refuse_new()

    def _listening(self) -> socket.socket:
        listening = socket.socket(fileno=self._fd) if self._fd is not None else self._bound()
        # Of a client that is gone, or does not read: the kernel would keep what was sent for as long as it likes.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
        return listening

    def _bound(self) -> socket.socket:
        try:
            return socket.create_server((self._host, self._port))
        except OSError as error:
            raise Misconfigured(f"GROUNDSWELL_HTTP_PORT: {self._port} cannot be served on: {error.strerror}") from None
