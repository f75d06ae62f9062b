"""Keeps a bounded number of each tenant's lines on the topic, counted from rows, from one process at a time."""

import asyncio
from collections import Counter
from contextlib import suppress

import psycopg
import structlog

from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.feeder.domain import Bounds, Choice, choose
from groundswell.common.feeder.lease import FeederLease, LeaseLost
from groundswell.common.feeder.ports import Rows
from groundswell.common.ids import TeamId
from groundswell.common.outbox import Outbox
from groundswell.common.outbox.rows import OutboxRow
from groundswell.common.postgres import Postgres, heed_cancel
from groundswell.common.telemetry import names

EVERY_S = 0.5
MOST_IN_A_ROUND = 100
"""The lease is renewed at each round."""
PUBLISH_WITHIN_S = 2.0
RELEASE_WITHIN_S = 2.0
MAX_ATTEMPTS = 3

log = structlog.get_logger(__name__)


class Feeder:
    """`run` is a background task of every process of the service; whoever holds the lease feeds, the others wait.

    A line is accepted in one transaction with its outbox row, under the lease's epoch. So a feeder that was stalled
    or cut off accepts nothing after another took over, and never more than `bounds` are accepted and not done.
    """

    def __init__(
        self,
        postgres: Postgres,
        rows: Rows,
        outbox: Outbox,
        lease: FeederLease,
        *,
        bounds: Bounds,
        every_s: float = EVERY_S,
    ) -> None:
        self._postgres = postgres
        self._rows = rows
        self._outbox = outbox
        self._lease = lease
        self._bounds = bounds
        self._every_s = every_s
        self._bell = asyncio.Event()
        self._after: TeamId | None = None
        self._failures: Counter[str] = Counter()

    def wake(self) -> None:
        """Lines came or are done: look at once. A hint; without it the feeder looks every `every_s`."""
        self._bell.set()

    async def run(self) -> None:
        """Feed until cancelled, then give the lease back. Goes on through Kafka's and PostgreSQL's absence."""
        try:
            while True:
                heed_cancel()
                if not await self._fed_fully():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._every_s):
                            await self._bell.wait()
                self._bell.clear()
        finally:
            await self._release()

    async def feed(self) -> int:
        """One round: how many lines were chosen. Raises Unavailable without PostgreSQL, LeaseLost."""
        async with self._postgres.transaction() as connection:
            if not await self._lease.take(connection):
                return 0
            standings = await self._rows.standings(connection, self._bounds.per_tenant)
        choices = choose(standings, self._bounds, self._after)[:MOST_IN_A_ROUND]
        is_taken = True
        for choice in choices:
            row = await self._accept(choice)
            self._after = choice.tenant
            if row is not None and is_taken:
                is_taken = await self._outbox.publish_now(row, within_s=PUBLISH_WITHIN_S)
        return len(choices)

    async def _fed_fully(self) -> bool:
        """Whether a round was full, so that there may be more."""
        try:
            return await self.feed() == MOST_IN_A_ROUND
        except LeaseLost as error:
            log.warning("feeder lease lost", name=self._lease.name, reason=str(error))
        except Unavailable as error:
            log.info("feeding put off", name=self._lease.name, reason=error.reason)
        return False

    async def _accept(self, choice: Choice) -> OutboxRow | None:
        """Accept a line, or refuse it if that fails again and again: a poison line costs itself only."""
        try:
            row = await self._accept_under_lease(choice.line)
        except (LeaseLost, Unavailable):
            raise
        except Rejected as rejection:
            await self._refuse(choice.line, rejection.reason)
        except Exception as error:
            self._failures[choice.line] += 1
            log.exception("line not accepted", line=choice.line, attempt=self._failures[choice.line])
            if self._failures[choice.line] >= MAX_ATTEMPTS:
                await self._refuse(choice.line, f"{type(error).__name__} while it was accepted")
        else:
            self._failures.pop(choice.line, None)
            return row
        return None

    async def _accept_under_lease(self, line: str) -> OutboxRow | None:
        try:
            async with self._postgres.transaction() as connection:
                await self._lease.guard(connection)
                command = await self._rows.accept(connection, line)
                row = await self._outbox.add(connection, command) if command is not None else None
        except psycopg.errors.IdleInTransactionSessionTimeout as error:
            raise Unavailable("PostgreSQL: this process stood still inside a transaction") from error
        if row is not None:
            names.LINES_FED.labels("accepted").inc()
        return row

    async def _refuse(self, line: str, reason: str) -> None:
        log.error("line refused", line=line, reason=reason)
        async with self._postgres.transaction() as connection:
            await self._lease.guard(connection)
            await self._rows.refuse(connection, line, reason)
        self._failures.pop(line, None)
        names.LINES_FED.labels("refused").inc()

    async def _release(self) -> None:
        """Softly: what is not given back lapses."""
        if self._lease.epoch is None:
            return
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S), self._postgres.transaction() as connection:
                await self._lease.release(connection)
        except (TimeoutError, Unavailable) as error:
            log.info("feeder lease not given back", name=self._lease.name, reason=type(error).__name__)
