"""Messages that are written with the rows they tell of, and reach the bus although their writer dies."""

import asyncio
import time
from collections.abc import Iterable, Sequence

import structlog
from opentelemetry.trace import SpanKind

from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.messages import Outgoing
from groundswell.common.bus.publisher import Publisher
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.outbox.rows import OutboxRow, OutboxRows
from groundswell.common.postgres import Connection, Postgres, heed_cancel
from groundswell.common.telemetry import names
from groundswell.common.telemetry.tracing import current_carrier, span

LEASE_S = 10.0
SWEEP_EVERY_S = 1.0
BATCH = 100
MARGIN = 0.2
"""Of a lease: what nobody publishes in, so that a publish ends before the next sweeper begins."""
REJECTED_AGAIN_S = 60.0

log = structlog.get_logger(__name__)


class Outbox:
    """The outbox of one schema in one process.

    `add` inside a transaction, `publish_now` after its COMMIT; `sweep` is a background task of every process of the
    service. At least once: a message that is published again has the id, the key and the bytes it had before, with
    the time that remains then. Messages go out in the order of their ids as far as one sweeper can; one that Kafka
    can never take stays, is reported once a minute, and holds up no other.
    """

    def __init__(
        self,
        postgres: Postgres,
        schema: str,
        *,
        lease_s: float = LEASE_S,
        every_s: float = SWEEP_EVERY_S,
        batch: int = BATCH,
    ) -> None:
        self._postgres = postgres
        self._rows = OutboxRows(schema)
        self._lease_s = lease_s
        self._every_s = every_s
        self._batch = batch
        self._published: set[int] = set()
        self._by: tuple[Publisher, BrokerClock] | None = None

    def publish_by(self, publisher: Publisher, clock: BrokerClock) -> None:
        """To be called before the first sweep: `on_bus` of the service has both."""
        self._by = publisher, clock

    async def add(self, connection: Connection, message: Outgoing) -> OutboxRow:
        """Write `message` in the transaction of `connection`, leased to the caller.

        A deadline of infinity is none. A message that its topic does not take is put into the object store first: its
        row holds the reference. Raises psycopg's UniqueViolation if the message was added before, Unavailable without
        the object store, Rejected if the message is larger than any may be.
        """
        claims = self._by[0].claims if self._by is not None else Claims(None)
        return await self._rows.insert(connection, message, self._lease_s, claims)

    async def publish_now(self, *rows: OutboxRow, within_s: float = LEASE_S) -> bool:
        """Publish rows whose transaction has committed, in the order given, and delete them.

        Raises nothing. False: Kafka did not take one within `within_s`, or its lease was over, or `publish_by` is still
        to come; the sweeper goes on with it and those behind it.
        """
        if self._by is None:
            return False
        sent = await self._publish(rows, within_s, "published")
        await self._softly_delete()
        return sent == len(rows)

    async def sweep(self) -> None:
        """Publish what others left behind, until cancelled. Goes on through Kafka's and PostgreSQL's absence."""
        while True:
            heed_cancel()
            again = False
            try:
                again = await self.sweep_once()
            except Unavailable as error:
                log.info("outbox sweep put off", reason=error.reason)
            if not again:
                await asyncio.sleep(self._every_s)

    async def sweep_once(self) -> bool:
        """Publish one batch of lapsed rows. True: there may be more. Raises Unavailable without PostgreSQL."""
        await self._delete()
        async with self._postgres.transaction() as connection:
            rows = await self._rows.take_lapsed(connection, self._batch, self._lease_s)
        if rows:
            log.info("outbox rows left behind", count=len(rows))
        sent = await self._publish(rows, self._lease_s, "swept")
        await self._delete()
        # Given back, so that the next sweep begins with the oldest again.
        await self._lease([row.id for row in rows[sent:]], 0.0)
        return sent == self._batch

    async def _publish(self, rows: Sequence[OutboxRow], within_s: float, outcome: str) -> int:
        """How many of `rows`, from the first on, need no more attention now."""
        for number, row in enumerate(rows):
            wait_s = min(row.leased_until - MARGIN * self._lease_s - time.monotonic(), within_s)
            if wait_s <= 0:
                return number
            try:
                await self._publish_row(row, wait_s)
            except Unavailable as error:
                log.info("outbox row stays", topic=row.topic, reason=error.reason)
                return number
            except Rejected as rejection:
                log.error(  # noqa: TRY400 - no bug of this place
                    "outbox row cannot be published", topic=row.topic, id=row.id, reason=rejection.reason
                )
                await self._put_off(row)
            else:
                names.OUTBOX_MESSAGES.labels(outcome).inc()
        return len(rows)

    async def _publish_row(self, row: OutboxRow, wait_s: float) -> None:
        if self._by is None:
            raise RuntimeError("publish_by comes first")
        publisher, clock = self._by
        with span(f"{row.topic} publish", SpanKind.PRODUCER, row.trace()):
            await publisher.publish_raw(
                row.topic,
                row.payload,
                row.headers_at(time.time(), clock.now_ms(), current_carrier()),
                key=row.key.encode(),
                partition=row.partition,
                wait_s=wait_s,
            )
        self._published.add(row.id)

    async def _put_off(self, row: OutboxRow) -> None:
        names.OUTBOX_MESSAGES.labels("put off").inc()
        try:
            await self._lease([row.id], REJECTED_AGAIN_S)
        except Unavailable as error:
            log.info("outbox row not put off", reason=error.reason)

    async def _lease(self, ids: Sequence[int], lease_s: float) -> None:
        if ids:
            async with self._postgres.transaction() as connection:
                await self._rows.lease(connection, ids, lease_s)

    async def _softly_delete(self) -> None:
        try:
            await self._delete()
        except Unavailable as error:
            log.info("published outbox rows not deleted yet", reason=error.reason)

    async def _delete(self) -> None:
        """Delete what was published, also what could not be deleted before."""
        ids: Iterable[int] = set(self._published)
        if ids:
            async with self._postgres.transaction() as connection:
                await self._rows.delete(connection, ids)
            self._published.difference_update(ids)
