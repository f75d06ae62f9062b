"""Who feeds: one process for each feeder name, under an epoch that grows with each change of hands."""

import time
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import DictRow

from groundswell.common.postgres import Connection, Presence

EXPIRY_S = 10.0

_TABLE = """\
CREATE TABLE {schema}.feeder_leases (
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL,
    beat_at timestamptz NOT NULL
);

COMMENT ON COLUMN {schema}.feeder_leases.epoch IS 'one more at each change of owner';
"""

_TAKE = """
INSERT INTO {table} AS lease (name, owner, epoch, beat_at)
VALUES (%(name)s, %(owner)s, 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    owner = excluded.owner,
    epoch = lease.epoch + CASE WHEN lease.owner = excluded.owner THEN 0 ELSE 1 END,
    beat_at = clock_timestamp()
WHERE lease.owner IS NULL
    OR lease.owner = excluded.owner
    OR (
        %(others_could_beat)s AND lease.beat_at < clock_timestamp() - make_interval(secs => %(expiry_s)s)
    )
RETURNING epoch
"""

# The lock holds up whoever takes the lease over until this transaction has ended. One that its client forgot must end.
_GUARD = """
SELECT set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true)
FROM {table} WHERE name = %(name)s AND owner = %(owner)s AND epoch = %(epoch)s FOR SHARE
"""

_RELEASE = "UPDATE {table} SET owner = NULL WHERE name = %(name)s AND owner = %(owner)s AND epoch = %(epoch)s"


class LeaseLost(Exception):
    """Another process feeds now; nothing more may be accepted under this epoch."""


def feeder_lease_table(schema: str) -> str:
    """What the migration of a service that has a feeder contains, letter by letter."""
    return _TABLE.format(schema=schema)


class FeederLease:
    """The row of the feeder `name` in `schema`. `owner` names one process life and is never used again."""

    def __init__(self, schema: str, name: str, *, owner: str, expiry_s: float = EXPIRY_S) -> None:
        self.name = name
        self.epoch: int | None = None
        self._table = sql.Identifier(schema, "feeder_leases")
        self._owner = owner
        self._expiry_s = expiry_s
        self._presence = Presence.of_lease(expiry_s)

    async def take(self, connection: Connection) -> bool:
        """Take the lease if it is free, lapsed or ours already, which renews it; False: another process has it.

        Waits for transactions that are under `guard`: rows that are read after it are all that was ever accepted.
        Another's lease lapses only for who has asked, and been answered, without a gap for as long as a lease lives:
        while the database is away nobody can renew one. Raises Unavailable if it was away meanwhile.
        """
        began = time.monotonic()
        self._presence.answered()
        row = await self._one(connection, _TAKE)
        if row is not None and row["epoch"] != self.epoch:
            self._presence.require_since(began)
        self.epoch = row["epoch"] if row else None
        return row is not None

    async def guard(self, connection: Connection) -> None:
        """Hold the lease until the transaction of `connection` ends. Raises LeaseLost if another process took it."""
        if await self._one(connection, _GUARD) is None:
            raise LeaseLost(f"feeder {self.name} has another owner")

    async def release(self, connection: Connection) -> None:
        """Let another process take it at once."""
        await connection.execute(sql.SQL(_RELEASE).format(table=self._table), self._values())
        self.epoch = None

    async def _one(self, connection: Connection, text: LiteralString) -> DictRow | None:
        cursor = await connection.execute(sql.SQL(text).format(table=self._table), self._values())
        return await cursor.fetchone()

    def _values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "owner": self._owner,
            "epoch": self.epoch,
            "expiry_s": self._expiry_s,
            "others_could_beat": self._presence.unbroken_s() >= self._expiry_s,
            "idle_ms": f"{int(self._expiry_s * 1000)}ms",
        }
