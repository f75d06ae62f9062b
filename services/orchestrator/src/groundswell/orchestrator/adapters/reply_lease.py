"""The lease of one reply partition: replies to this replica arrive there, and its epoch orders who owned it when."""

import asyncio
import random
import time
from dataclasses import dataclass

import structlog

from groundswell.common.errors import Overloaded, Unavailable
from groundswell.common.postgres import Postgres, Presence, heed_cancel

BEAT_S = 2.0
EXPIRY_S = 10.0

_ADD_ROWS = """
INSERT INTO orchestrator.reply_partitions (partition)
SELECT generate_series(0, %(partitions)s - 1) ON CONFLICT DO NOTHING
"""

# At its start a replica has not watched the server yet: there the time counts from the server's start.
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

# Requests of a partition that was given back with work on it wait for nobody; those of a lapsed one have nobody.
# Overdue ones too: their end is to have the text that clients were sent.
_TAKE_LAPSED = """
UPDATE orchestrator.reply_partitions SET owner = %(owner)s, epoch = epoch + 1, beat_at = clock_timestamp()
WHERE partition = (
    SELECT partition FROM orchestrator.reply_partitions AS lapsed
    WHERE (
        owner IS NULL
        OR (
            %(others_could_beat)s
            AND owner <> %(owner)s
            AND beat_at < clock_timestamp() - make_interval(secs => %(expiry_s)s)
        )
    ) AND EXISTS (
        SELECT FROM orchestrator.requests
        WHERE reply_partition = lapsed.partition AND ended_at IS NULL
    )
    ORDER BY beat_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING partition, epoch
"""

# All that this replica holds, adopted ones too.
_BEAT = """
UPDATE orchestrator.reply_partitions SET beat_at = clock_timestamp()
WHERE owner = %(owner)s
RETURNING partition, epoch
"""

_RELEASE = """
UPDATE orchestrator.reply_partitions SET owner = NULL, beat_at = clock_timestamp()
WHERE partition = %(partition)s AND owner = %(owner)s AND epoch = %(epoch)s
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Lease:
    """A reply partition that this replica holds, under `epoch`."""

    partition: int
    epoch: int


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
        self._presence = Presence.of_lease(expiry_s)
        self._held: Lease | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def partition(self) -> int:
        return self._holding().partition

    @property
    def epoch(self) -> int:
        return self._holding().epoch

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
        self._held = Lease(row["partition"], row["epoch"])
        log.info("reply partition leased", partition=row["partition"], epoch=row["epoch"])

    async def take_lapsed(self) -> Lease | None:
        """Take one more partition: one with unfinished requests that nobody holds. Raises Unavailable.

        A lease that was not given back lapses only for a replica whose own beats have arrived, without a gap, for as
        long as a lease lives: while the database is away nobody can beat, and afterwards all need time to.
        """
        began = time.monotonic()
        wanted = {
            "owner": self.owner,
            "expiry_s": self._expiry_s,
            "others_could_beat": self._presence.unbroken_s() >= self._expiry_s,
        }
        async with self._postgres.transaction(answer_within_s=self._presence.gap_s) as connection:
            cursor = await connection.execute(_TAKE_LAPSED, wanted)
            row = await cursor.fetchone()
            self._presence.require_since(began)
        return Lease(row["partition"], row["epoch"]) if row else None

    async def is_mine(self) -> bool:
        """Beat, and say whether the lease still holds. Raises Unavailable while that cannot be known."""
        mine = self._holding()
        async with self._postgres.transaction(answer_within_s=self._presence.gap_s) as connection:
            cursor = await connection.execute(_BEAT, {"owner": self.owner})
            is_mine = mine in [Lease(row["partition"], row["epoch"]) for row in await cursor.fetchall()]
        self._presence.answered()
        return is_mine

    def begin_beating(self) -> asyncio.Task[None]:
        """Beat from now on until closed. The task raises LeaseLost."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        return self._beating

    async def keep(self) -> None:
        """Beat until cancelled. Raises LeaseLost. While the server is away nobody can take the lease either."""
        await self.begin_beating()

    async def _beat(self) -> None:
        while True:
            heed_cancel()
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
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        held, self._held = self._held, None
        if held is not None:
            await self.give_back(held)

    async def give_back(self, held: Lease) -> None:
        """Without the server it lapses by itself."""
        released = {"partition": held.partition, "owner": self.owner, "epoch": held.epoch}
        try:
            async with self._postgres.transaction() as connection:
                await connection.execute(_RELEASE, released)
        except Unavailable as error:
            log.warning("lease not given back", reason=error.reason)

    def _holding(self) -> Lease:
        if self._held is None:
            raise RuntimeError("no reply partition is leased")
        return self._held
