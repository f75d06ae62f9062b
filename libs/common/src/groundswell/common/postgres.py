"""PostgreSQL for a service: a pool that waits for it, migrations under a lock, errors as the bus understands them."""

import asyncio
import hashlib
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.resources.abc import Traversable
from typing import TypeVar

import psycopg
import structlog
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr

from groundswell.common.errors import Misconfigured, Unavailable

Connection = psycopg.AsyncConnection[DictRow]
CONNECT_WITHIN_S = 5.0
STATEMENT_TIMEOUT_MS = 30_000
"""Ends a slow statement in a server that works."""
ANSWER_WITHIN_S = 32.0
"""Gives up a server that does not even end a statement in time."""
CHECK_WITHIN_S = 2.0
"""What the server may take to say that it is there, each time a connection leaves the pool."""
# What the kernel notices: a peer whose host or network is gone. One that is frozen still acknowledges.
_NETWORK = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

LEAST_GAP_S = 2.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class BoundedConnection(psycopg.AsyncConnection[DictRow]):
    """Waits `answer_within_s` for each answer of the server, then is broken: OperationalError.

    Not by a cancellation: psycopg would ask the server to cancel the statement, and wait 10 s for one that is frozen.
    """

    answer_within_s = ANSWER_WITHIN_S

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's own
    ) -> T:
        with _cut_after(self.answer_within_s, self.pgconn.socket):
            return await super().wait(gen, interval, timeout)


@contextmanager
def _cut_after(within_s: float, descriptor: int) -> Iterator[None]:
    """End the stream of a socket unless the block ends in time: whoever reads it hears so."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def cut() -> None:
        with socket.socket(fileno=os.dup(descriptor)) as stream:
            stream.shutdown(socket.SHUT_RDWR)

    def half_way() -> None:
        nonlocal timer
        timer = loop.call_later(within_s / 2, cut)

    # In two steps: a loop that stood still reads first what has come meanwhile.
    timer = loop.call_later(within_s / 2, half_way)
    try:
        yield
    finally:
        timer.cancel()


async def _check(connection: BoundedConnection) -> None:
    connection.answer_within_s = CHECK_WITHIN_S
    await AsyncConnectionPool.check_connection(connection)
    connection.answer_within_s = ANSWER_WITHIN_S


class Postgres:
    """A pool of connections that return rows as dicts. Every block is one transaction.

    Nothing waits without a bound for a server that is silent: a connection comes within `connect_within_s` and
    CHECK_WITHIN_S or not at all, an answer within ANSWER_WITHIN_S.
    """

    def __init__(self, url: SecretStr, *, size: int = 8, connect_within_s: float = CONNECT_WITHIN_S) -> None:
        self._pool: AsyncConnectionPool[BoundedConnection] = AsyncConnectionPool(
            url.get_secret_value(),
            connection_class=BoundedConnection,
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": max(1, int(connect_within_s)),
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
                **_NETWORK,
            },
            min_size=1,
            max_size=size,
            timeout=connect_within_s,
            # Then the next who asks begins anew: pauses that double would outlast the outage, and leases with it.
            reconnect_timeout=connect_within_s,
            open=False,
            check=_check,
        )

    async def open(self) -> None:
        """Start the pool, which reconnects by itself for as long as it is open. Raises Unavailable while it cannot."""
        await self._pool.open()
        await self.check()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *, answer_within_s: float = ANSWER_WITHIN_S) -> AsyncIterator[Connection]:
        """One transaction: commits at the end, rolls back on an error.

        Raises Unavailable while the server is away, or does not answer a statement within `answer_within_s`.
        """
        try:
            async with self._pool.connection() as connection:
                connection.answer_within_s = answer_within_s
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}") from error

    async def check(self) -> None:
        """Raises Unavailable unless the server answers."""
        async with self.transaction() as connection:
            await connection.execute("SELECT 1")


class Presence:
    """Since when the server has answered its regular caller, with less than `gap_s` between two answers.

    Whoever judges others by what they wrote into the database asks here first: after an outage nobody has written,
    and all need time to write again.
    """

    def __init__(self, gap_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.gap_s = gap_s
        self._clock = clock
        self._since = self._last = -math.inf

    @classmethod
    def of_lease(cls, expiry_s: float) -> "Presence":
        """For who asks well within `expiry_s`, after which a lease lapses; under LEAST_GAP_S says nothing."""
        return cls(max(LEAST_GAP_S, expiry_s / 2))

    def answered(self) -> None:
        now = self._clock()
        if self.is_gap_since(self._last):
            self._since = now
        self._last = now

    def unbroken_s(self) -> float:
        return 0.0 if self.is_gap_since(self._last) else self._clock() - self._since

    def is_gap_since(self, began: float) -> bool:
        """Whether an answer now to what was asked at `began`, in seconds of the clock, comes out of an outage."""
        return self._clock() - began > self.gap_s

    def require_since(self, began: float) -> None:
        """Raises Unavailable if so: what was found is old."""
        if self.is_gap_since(began):
            raise Unavailable("PostgreSQL: it was away while others' signs of life were looked for")


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
