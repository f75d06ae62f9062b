"""A COMMIT whose answer is lost: the rows say what happened, and a COMMIT on its way is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from groundswell.common.errors import Unavailable
from groundswell.common.outbox import Undecided, settled
from groundswell.common.postgres import Connection, Postgres

pytestmark = pytest.mark.connected

Cut = Literal["before COMMIT", "after COMMIT", "while COMMIT is on its way"]


class CuttingProxy:
    """Between a client and the server: breaks the first connection that sends COMMIT after `cut` was set."""

    def __init__(self, host: str, port: int) -> None:
        self.cut: Cut | None = None
        self.cuts = 0
        self.refuses = False
        self.arrive = asyncio.Event()
        self._server_at = host, port
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._breaking: asyncio.StreamWriter | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._server.close()
        self.arrive.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        if self.refuses:
            to_client.transport.abort()
            return
        server, to_server = await asyncio.open_connection(*self._server_at)
        self._writers |= {to_client, to_server}
        directions = [
            asyncio.create_task(self._to_server(client, to_client, to_server)),
            asyncio.create_task(_pass_on(server, to_client)),
        ]
        # Who breaks a connection waits until COMMIT has gone on its way.
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        if self._breaking is to_client:
            await directions[0]
        for writer in (to_client, to_server):
            writer.close()
        await asyncio.gather(*directions, return_exceptions=True)

    async def _to_server(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await client.read(65536):
                if self.cut is not None and b"COMMIT" in chunk:
                    cut, self.cut = self.cut, None
                    await self._break(cut, chunk, to_client, to_server)
                    return
                if self.refuses and b"COMMIT" not in chunk:
                    return
                to_server.write(chunk)

    async def _break(
        self, cut: Cut, chunk: bytes, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter
    ) -> None:
        self.cuts += 1
        self._breaking = to_client
        to_client.transport.abort()
        if cut == "while COMMIT is on its way":
            await self.arrive.wait()
        if cut != "before COMMIT":
            to_server.write(chunk)
            await to_server.drain()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(65536):
            target.write(chunk)


@pytest.fixture
async def proxy(fresh_database: Any) -> AsyncIterator[CuttingProxy]:
    address = urlsplit(fresh_database.dsns["ingest"])
    between = CuttingProxy(address.hostname or "", address.port or 0)
    yield between
    await between.stop()


@pytest.fixture
async def postgres(fresh_database: Any, proxy: CuttingProxy) -> AsyncIterator[Postgres]:
    dsn = fresh_database.dsns["ingest"]
    port = urlsplit(dsn).port
    through = dsn.replace(f":{port}/", f":{await proxy.start()}/")
    opened = Postgres(SecretStr(f"{through}?sslmode=disable&gssencmode=disable"), size=2, connect_within_s=2)
    await opened.open()
    async with opened.transaction() as connection:
        await connection.execute("CREATE TABLE ingest.things (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)")
    yield opened
    await opened.close()


async def write(connection: Connection) -> str:
    await connection.execute("INSERT INTO ingest.things VALUES (1)")
    return "written"


async def is_there(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT 1 FROM ingest.things WHERE id = 1")
    return await cursor.fetchone() is not None


async def things(postgres: Postgres) -> int:
    async with postgres.transaction() as connection:
        cursor = await connection.execute("SELECT id FROM ingest.things")
        return len(await cursor.fetchall())


async def test_without_a_break_the_work_is_done_and_nobody_asks(postgres: Postgres) -> None:
    async def asks(connection: Connection) -> bool:
        raise AssertionError("asked without need")

    assert await settled(postgres, write, asks) == "written"
    assert await things(postgres) == 1


async def test_a_commit_that_arrived_counts_although_its_answer_did_not(
    postgres: Postgres, proxy: CuttingProxy
) -> None:
    proxy.cut = "after COMMIT"
    assert await settled(postgres, write, is_there) == "written"
    assert (proxy.cuts, await things(postgres)) == (1, 1)


async def test_a_commit_that_never_arrived_is_unavailable_and_may_be_tried_again(
    postgres: Postgres, proxy: CuttingProxy
) -> None:
    proxy.cut = "before COMMIT"
    with pytest.raises(Unavailable, match="did not commit"):
        await settled(postgres, write, is_there)
    assert (proxy.cuts, await things(postgres)) == (1, 0)
    assert await settled(postgres, write, is_there) == "written"


async def test_a_row_that_is_not_there_yet_says_nothing_while_commit_is_on_its_way(
    postgres: Postgres, proxy: CuttingProxy
) -> None:
    answers: list[bool] = []

    async def asks(connection: Connection) -> bool:
        answers.append(await is_there(connection))
        if len(answers) == 2:
            proxy.arrive.set()
        return answers[-1]

    proxy.cut = "while COMMIT is on its way"
    assert await settled(postgres, write, asks) == "written"
    assert answers[:2] == [False, False]
    assert answers[-1]


async def test_what_nobody_can_tell_in_time_is_unavailable(postgres: Postgres, proxy: CuttingProxy) -> None:
    async def asks(connection: Connection) -> bool:
        return False

    proxy.cut = "while COMMIT is on its way"
    with pytest.raises(Undecided, match="nobody could say within"):
        await settled(postgres, write, asks, within_s=0.5)


async def test_a_server_that_stays_away_is_unavailable(postgres: Postgres, proxy: CuttingProxy) -> None:
    async def write_and_lose(connection: Connection) -> None:
        await write(connection)
        proxy.refuses = True

    proxy.cut = "after COMMIT"
    with pytest.raises(Undecided, match="nobody could say within"):
        await settled(postgres, write_and_lose, is_there, within_s=0.5)


async def test_a_commit_that_the_server_refuses_is_an_answer(postgres: Postgres) -> None:
    await settled(postgres, write, is_there)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await settled(postgres, write, is_there)


async def test_a_connection_that_breaks_before_commit_is_unavailable_at_once(postgres: Postgres) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def asks(connection: Connection) -> bool:
        raise AssertionError("asked without need")

    with pytest.raises(Unavailable):
        await settled(postgres, work, asks)
