"""PostgreSQL for a service: a pool that waits for it, migrations under a lock, errors as the bus understands them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources.abc import Traversable

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr

from groundswell.common.errors import Misconfigured, Unavailable

Connection = psycopg.AsyncConnection[DictRow]
CONNECT_WITHIN_S = 5.0
STATEMENT_TIMEOUT_MS = 30_000

log = structlog.get_logger(__name__)


class Postgres:
    """A pool of connections that return rows as dicts. Every block is one transaction."""

    def __init__(self, url: SecretStr, *, size: int = 8, connect_within_s: float = CONNECT_WITHIN_S) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url.get_secret_value(),
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": max(1, int(connect_within_s)),
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
            min_size=1,
            max_size=size,
            timeout=connect_within_s,
            open=False,
            check=AsyncConnectionPool.check_connection,
        )

    async def open(self) -> None:
        """Start the pool, which reconnects by itself for as long as it is open. Raises Unavailable while it cannot."""
        await self._pool.open()
        await self.check()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: commits at the end, rolls back on an error. Raises Unavailable while the server is away."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}") from error

    async def check(self) -> None:
        """Raises Unavailable unless the server answers."""
        async with self.transaction() as connection:
            await connection.execute("SELECT 1")


def heed_cancel() -> None:
    """Raises CancelledError if this task was cancelled and its last statement did not tell: loops ask between rounds.

    Before Python 3.12 `asyncio.wait_for`, by which the pool waits for a connection, drops a cancellation that arrives
    together with the result (python/cpython issue 86296).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def migrate(postgres: Postgres, schema: str, folder: Traversable) -> list[str]:
    """Apply the SQL files of `folder` that are not applied yet, in order of name, under a lock; returns their names.

    Raises Misconfigured if an applied file has changed, Unavailable while the server is away.
    """
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    async with postgres.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"groundswell.migrate.{schema}"])
        applied = await _applied(connection, schema)
        return [file.name for file in files if await _apply(connection, schema, file, applied)]


async def _applied(connection: Connection, schema: str) -> dict[str, str]:
    """The sha256 of each file that was applied, by name."""
    await connection.execute(
        psycopg.sql.SQL(
            "CREATE TABLE IF NOT EXISTS {}.migrations"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(psycopg.sql.Identifier(schema))
    )
    cursor = await connection.execute(
        psycopg.sql.SQL("SELECT name, sha256 FROM {}.migrations").format(psycopg.sql.Identifier(schema))
    )
    return {row["name"]: row["sha256"] for row in await cursor.fetchall()}


async def _apply(connection: Connection, schema: str, file: Traversable, applied: Mapping[str, str]) -> bool:
    statements = file.read_bytes()
    digest = hashlib.sha256(statements).hexdigest()
    if file.name in applied:
        if applied[file.name] != digest:
            raise Misconfigured(f"migration {schema}/{file.name} was changed after it was applied")
        return False
    await connection.execute(statements)
    await connection.execute(
        psycopg.sql.SQL("INSERT INTO {}.migrations (name, sha256) VALUES (%s, %s)").format(
            psycopg.sql.Identifier(schema)
        ),
        [file.name, digest],
    )
    log.info("migration applied", schema=schema, name=file.name)
    return True
