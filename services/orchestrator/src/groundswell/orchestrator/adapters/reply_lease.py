"""The lease of one reply partition: replies to this replica arrive there, and its epoch orders who owned it when."""

import asyncio
import random

import structlog

from groundswell.common.errors import Overloaded, Unavailable
from groundswell.common.postgres import Postgres

BEAT_S = 2.0
EXPIRY_S = 10.0

_ADD_ROWS = """
INSERT INTO orchestrator.reply_partitions (partition)
SELECT generate_series(0, %(partitions)s - 1) ON CONFLICT DO NOTHING
"""

# A lease does not lapse while the database is away: nobody could beat, so the time counts from the server's start.
_TAKE = """
UPDATE orchestrator.reply_partitions SET owner = %(owner)s, epoch = epoch + 1, beat_at = clock_timestamp()
WHERE partition = (
    SELECT partition FROM orchestrator.reply_partitions
    WHERE partition < %(partitions)s AND (
        owner IS NULL
        OR owner = %(owner)s
        OR greatest(beat_at, pg_postmaster_start_time()) < clock_timestamp() - make_interval(secs => %(expiry_s)s)
    )
    ORDER BY owner IS NOT DISTINCT FROM %(owner)s DESC, owner IS NOT NULL, beat_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING partition, epoch
"""

_BEAT = """
UPDATE orchestrator.reply_partitions SET beat_at = clock_timestamp()
WHERE partition = %(partition)s AND owner = %(owner)s AND epoch = %(epoch)s
"""

_RELEASE = """
UPDATE orchestrator.reply_partitions SET owner = NULL, beat_at = clock_timestamp()
WHERE partition = %(partition)s AND owner = %(owner)s AND epoch = %(epoch)s
"""

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another replica owns the partition now: this process must start again."""


class ReplyLease:
    """A resource of the service. `owner` names one process life; `partitions` are numbered from 0."""

    def __init__(
        self,
        postgres: Postgres,
        *,
        owner: str,
        partitions: int,
        beat_s: float = BEAT_S,
        expiry_s: float = EXPIRY_S,
    ) -> None:
        self.owner = owner
        self._postgres = postgres
        self._partitions = partitions
        self._beat_s = beat_s
        self._expiry_s = expiry_s
        self._held: tuple[int, int] | None = None

    @property
    def partition(self) -> int:
        return self._holding()[0]

    @property
    def epoch(self) -> int:
        return self._holding()[1]

    async def open(self) -> None:
        """Take a free or lapsed partition. Raises Overloaded if every one is owned, Unavailable without the server."""
        if self._held is not None:
            return
        wanted = {"owner": self.owner, "partitions": self._partitions, "expiry_s": self._expiry_s}
        async with self._postgres.transaction() as connection:
            await connection.execute(_ADD_ROWS, wanted)
            cursor = await connection.execute(_TAKE, wanted)
            row = await cursor.fetchone()
        if row is None:
            raise Overloaded(f"all {self._partitions} reply partitions are owned by other replicas")
        self._held = row["partition"], row["epoch"]
        log.info("reply partition leased", partition=row["partition"], epoch=row["epoch"])

    async def is_mine(self) -> bool:
        """Beat, and say whether the lease still holds. Raises Unavailable while that cannot be known."""
        partition, epoch = self._holding()
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_BEAT, {"partition": partition, "owner": self.owner, "epoch": epoch})
            return cursor.rowcount == 1

    async def keep(self) -> None:
        """Beat until cancelled. Raises LeaseLost. While the server is away nobody can take the lease either."""
        while True:
            try:
                if not await self.is_mine():
                    raise LeaseLost(f"reply partition {self.partition} has another owner")
            except Unavailable as error:
                log.warning("lease not renewed yet", reason=error.reason)
            await asyncio.sleep(self._beat_s * random.uniform(0.9, 1.0))  # noqa: S311 - spreads the replicas

    async def check(self) -> None:
        """The background task sees a lost lease, and the database is a resource of its own."""

    async def close(self) -> None:
        """Give the partition back. Without the server it lapses by itself."""
        held, self._held = self._held, None
        if held is None:
            return
        try:
            async with self._postgres.transaction() as connection:
                await connection.execute(_RELEASE, {"partition": held[0], "owner": self.owner, "epoch": held[1]})
        except Unavailable as error:
            log.warning("lease not given back", reason=error.reason)

    def _holding(self) -> tuple[int, int]:
        if self._held is None:
            raise RuntimeError("no reply partition is leased")
        return self._held
