"""A transaction whose COMMIT may get lost with its connection: then the rows say whether it committed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog

from groundswell.common.errors import Unavailable
from groundswell.common.postgres import ANSWER_WITHIN_S, Connection, Postgres

WITHIN_S = 15.0
ASK_EVERY_S = 0.2

# A COMMIT on its way may still arrive: while its backend is in a transaction, a row that is not there says nothing.
_STILL_OPEN = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Undecided(Unavailable):
    """Nobody could say in time whether a transaction committed."""


async def settled(
    postgres: Postgres,
    work: Callable[[Connection], Awaitable[T]],
    is_there: Callable[[Connection], Awaitable[bool]],
    *,
    within_s: float = WITHIN_S,
    answer_within_s: float = ANSWER_WITHIN_S,
) -> T:
    """Run `work` as one transaction and return what it returned, if that has committed.

    `is_there` reads whether it has, by a row that only this transaction writes and that others do not delete soon (not
    its outbox row). It is asked on new connections when the one of COMMIT broke, until the answer is sure. A connection
    that does not answer a statement, or COMMIT, within `answer_within_s` is broken.
    Raises Unavailable if the transaction did not commit, Undecided if within `within_s` nobody could say.
    """
    broken_pid: int | None = None
    async with postgres.transaction(answer_within_s=answer_within_s) as connection:
        pid = connection.info.backend_pid
        result = await work(connection)
        try:
            await connection.commit()
        except psycopg.OperationalError:
            if not connection.closed:
                raise  # the server refused: that is an answer
            broken_pid = pid
    if broken_pid is not None and not await _committed(postgres, is_there, broken_pid, within_s):
        raise Unavailable("PostgreSQL: the connection broke and the transaction did not commit")
    return result


async def _committed(
    postgres: Postgres, is_there: Callable[[Connection], Awaitable[bool]], pid: int, within_s: float
) -> bool:
    log.info("answer to COMMIT lost, reading the row again")
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = await _ask(postgres, is_there, pid)
                if answer is not None:
                    return answer
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        raise Undecided(f"PostgreSQL: nobody could say within {within_s} s whether the transaction committed") from None


async def _ask(postgres: Postgres, is_there: Callable[[Connection], Awaitable[bool]], pid: int) -> bool | None:
    """Whether it has committed; None while that is not known."""
    try:
        async with postgres.transaction() as connection:
            if await is_there(connection):
                return True
            cursor = await connection.execute(_STILL_OPEN, [pid])
            if await cursor.fetchone() is not None:
                return None
            # It may have ended between the two questions.
            return await is_there(connection)
    except Unavailable:
        return None
