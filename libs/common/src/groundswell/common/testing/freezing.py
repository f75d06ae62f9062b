"""A server that is frozen, as its clients see it: it takes connections, and nothing comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class FreezingProxy:
    """Stands between clients and a server. What is sent while it is frozen arrives after the thaw."""

    def __init__(self, host: str, port: int) -> None:
        self._server_at = host, port
        self._runs = asyncio.Event()
        self._runs.set()
        self._freezes_before: bytes | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._runs.clear()

    def freeze_before(self, word: bytes) -> None:
        """Freeze as soon as `word` comes by, which is held back too."""
        self._freezes_before = word

    def thaw(self) -> None:
        self._freezes_before = None
        self._runs.set()

    @property
    def is_frozen(self) -> bool:
        return not self._runs.is_set()

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        open_ones = [to_client]
        try:
            await self._runs.wait()
            server, to_server = await asyncio.open_connection(*self._server_at)
            open_ones.append(to_server)
            await asyncio.gather(self._pass_on(client, to_server), self._pass_on(server, to_client))
        finally:
            for writer in open_ones:
                writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(65536):
                if self._freezes_before is not None and self._freezes_before in chunk:
                    self.freeze()
                await self._runs.wait()
                target.write(chunk)
        await self._runs.wait()
        target.close()

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close at the loop's next step


@asynccontextmanager
async def freezing_proxy(host: str, port: int) -> AsyncIterator[tuple[FreezingProxy, int]]:
    """A proxy on a free port of loopback, and the port."""
    proxy = FreezingProxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await proxy.stop()
