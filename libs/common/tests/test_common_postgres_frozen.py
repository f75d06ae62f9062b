"""PostgreSQL that is frozen: whoever asks it hears in time that it is away, and goes on when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from groundswell.common.errors import Unavailable
from groundswell.common.outbox import Undecided, settled
from groundswell.common.postgres import CHECK_WITHIN_S, Connection, Postgres
from groundswell.common.testing.freezing import FreezingProxy, freezing_proxy
from groundswell.common.testing.waiting import eventually

pytestmark = [pytest.mark.connected, pytest.mark.timeout(60)]

CONNECT_WITHIN_S = 3.0
FAR_TOO_LATE_S = 20.0
"""A hang: the bounds in these tests are 1 to 5 s."""


@pytest.fixture
async def proxy(fresh_database: Any) -> AsyncIterator[tuple[FreezingProxy, int]]:
    address = urlsplit(fresh_database.dsns["ingest"])
    async with freezing_proxy(address.hostname or "", address.port or 0) as between:
        yield between


@pytest.fixture
async def server(proxy: tuple[FreezingProxy, int]) -> AsyncIterator[FreezingProxy]:
    yield proxy[0]
    proxy[0].thaw()


@pytest.fixture
async def postgres(
    fresh_database: Any, proxy: tuple[FreezingProxy, int], server: FreezingProxy
) -> AsyncIterator[Postgres]:
    dsn = fresh_database.dsns["ingest"]
    through = dsn.replace(f":{urlsplit(dsn).port}/", f":{proxy[1]}/")
    url = SecretStr(f"{through}?sslmode=disable&gssencmode=disable")
    opened = Postgres(url, size=2, connect_within_s=CONNECT_WITHIN_S)
    await opened.open()
    async with opened.transaction() as connection:
        await connection.execute("CREATE TABLE ingest.things (id int PRIMARY KEY)")
    yield opened
    await opened.close()


async def write(connection: Connection) -> str:
    await connection.execute("INSERT INTO ingest.things VALUES (1)")
    return "written"


async def is_there(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT 1 FROM ingest.things WHERE id = 1")
    return await cursor.fetchone() is not None


async def answers(postgres: Postgres) -> bool:
    try:
        await postgres.check()
    except Unavailable:
        return False
    return True


async def test_a_frozen_server_is_away_for_all_who_ask(postgres: Postgres, server: FreezingProxy) -> None:
    server.freeze()
    async with asyncio.timeout(FAR_TOO_LATE_S):
        asked = await asyncio.gather(*(postgres.check() for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in asked] == [Unavailable] * 5
    server.thaw()
    await eventually(lambda: answers(postgres), within_s=FAR_TOO_LATE_S)


async def test_a_server_that_freezes_during_a_statement_is_away(postgres: Postgres, server: FreezingProxy) -> None:
    server.freeze_before(b"pg_sleep")
    with pytest.raises(Unavailable):
        async with asyncio.timeout(FAR_TOO_LATE_S), postgres.transaction(answer_within_s=1.0) as connection:
            await connection.execute("SELECT pg_sleep(0)")
    server.thaw()
    await eventually(lambda: answers(postgres), within_s=FAR_TOO_LATE_S)


async def test_the_bound_of_one_transaction_is_not_that_of_the_next(postgres: Postgres) -> None:
    async with postgres.transaction(answer_within_s=0.5):
        pass
    async with postgres.transaction() as connection:
        await connection.execute("SELECT pg_sleep(1)")


async def test_a_loop_that_stood_still_reads_what_has_come(postgres: Postgres) -> None:
    async with postgres.transaction(answer_within_s=CHECK_WITHIN_S) as connection:
        asking = asyncio.create_task(is_there(connection))
        await asyncio.sleep(0)
        time.sleep(CHECK_WITHIN_S + 0.5)  # noqa: ASYNC251 - the loop stands still
        assert await asking is False


async def test_a_commit_that_froze_counts_once_it_arrives(postgres: Postgres, server: FreezingProxy) -> None:
    server.freeze_before(b"COMMIT")
    running = asyncio.create_task(settled(postgres, write, is_there, answer_within_s=1.0))
    await asyncio.sleep(2.0)
    assert not running.done(), "a COMMIT that may still arrive is neither done nor failed"
    server.thaw()
    async with asyncio.timeout(FAR_TOO_LATE_S):
        assert await running == "written"


async def test_a_commit_that_stays_frozen_is_undecided(postgres: Postgres, server: FreezingProxy) -> None:
    server.freeze_before(b"COMMIT")
    with pytest.raises(Undecided):
        async with asyncio.timeout(FAR_TOO_LATE_S):
            await settled(postgres, write, is_there, within_s=1.0, answer_within_s=1.0)
