"""PostgreSQL: transactions, migrations under a lock, and errors as the bus understands them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.postgres import Postgres, heed_cancel, migrate
from groundswell.common.testing.waiting import until

pytestmark = pytest.mark.connected


@pytest.fixture
async def postgres(fresh_database: Any) -> AsyncIterator[Postgres]:
    opened = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=3)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_things.sql").write_text("CREATE TABLE ingest.things (id int PRIMARY KEY);\nSELECT 1;\n")
    (tmp_path / "0002_more.sql").write_text("INSERT INTO ingest.things VALUES (7);\n")
    (tmp_path / "notes.txt").write_text("no migration")
    return tmp_path


async def rows(postgres: Postgres, query: str) -> list[dict[str, Any]]:
    async with postgres.transaction() as connection:
        cursor = await connection.execute(query.encode())
        return await cursor.fetchall()


async def test_migrations_are_applied_in_order_and_once(postgres: Postgres, folder: Path) -> None:
    assert await migrate(postgres, "ingest", folder) == ["0001_things.sql", "0002_more.sql"]
    assert await migrate(postgres, "ingest", folder) == []
    assert await rows(postgres, "SELECT id FROM ingest.things") == [{"id": 7}]


async def test_two_starts_at_once_apply_each_file_once(postgres: Postgres, folder: Path) -> None:
    applied = await asyncio.gather(*(migrate(postgres, "ingest", folder) for _ in range(3)))
    assert sorted(applied) == [[], [], ["0001_things.sql", "0002_more.sql"]]


async def test_a_new_file_is_applied_later(postgres: Postgres, folder: Path) -> None:
    await migrate(postgres, "ingest", folder)
    (folder / "0003_later.sql").write_text("INSERT INTO ingest.things VALUES (8);")
    assert await migrate(postgres, "ingest", folder) == ["0003_later.sql"]


async def test_a_file_that_was_changed_is_refused_and_nothing_is_applied(postgres: Postgres, folder: Path) -> None:
    await migrate(postgres, "ingest", folder)
    (folder / "0002_more.sql").write_text("INSERT INTO ingest.things VALUES (9);")
    (folder / "0001a.sql").write_text("INSERT INTO ingest.things VALUES (10);")
    with pytest.raises(Misconfigured, match=r"ingest/0002_more\.sql was changed"):
        await migrate(postgres, "ingest", folder)
    assert await rows(postgres, "SELECT id FROM ingest.things") == [{"id": 7}]


async def test_a_file_that_fails_leaves_nothing_of_the_others(postgres: Postgres, folder: Path) -> None:
    (folder / "0003_wrong.sql").write_text("INSERT INTO ingest.nowhere VALUES (1);")
    with pytest.raises(psycopg.errors.UndefinedTable):
        await migrate(postgres, "ingest", folder)
    assert await rows(postgres, "SELECT to_regclass('ingest.things') AS found") == [{"found": None}]


async def test_an_error_inside_a_transaction_undoes_it(postgres: Postgres, folder: Path) -> None:
    await migrate(postgres, "ingest", folder)
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with postgres.transaction() as connection:
            await connection.execute("DELETE FROM ingest.things; SELECT 1 / 0")
    assert await rows(postgres, "SELECT id FROM ingest.things") == [{"id": 7}]


async def test_a_connection_that_the_server_cut_is_unavailable_and_the_next_one_works(postgres: Postgres) -> None:
    with pytest.raises(Unavailable, match="PostgreSQL: "):
        async with postgres.transaction() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await postgres.check()


async def test_a_server_that_is_away_is_unavailable_and_names_no_password(unused_tcp_port: int) -> None:
    url = f"postgresql://ingest:hush@127.0.0.1:{unused_tcp_port}/groundswell"
    postgres = Postgres(SecretStr(url), size=1, connect_within_s=0.3)
    with pytest.raises(Unavailable, match="PostgreSQL: PoolTimeout") as caught:
        await postgres.open()
    assert "hush" not in str(caught.value)
    await postgres.close()


async def test_a_role_sees_only_its_own_schema(postgres: Postgres) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await rows(postgres, "CREATE TABLE embedder.theirs (id int)")


async def test_a_loop_hears_of_a_cancellation_that_the_pool_dropped(fresh_database: Any) -> None:
    postgres = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=1)
    await postgres.open()
    async with postgres.transaction():
        looping = asyncio.create_task(_loop(postgres))
        await until(lambda: postgres._pool.get_stats()["requests_waiting"])
        await postgres.close()
        looping.cancel()
    await until(looping.done)
    assert looping.cancelled()


async def _loop(postgres: Postgres) -> None:
    while True:
        heed_cancel()
        with suppress(Unavailable):
            await postgres.check()
        await asyncio.sleep(0)
