"""The table of messages that are not on the bus yet, and its statements. Every schema has the same one."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import sql
from psycopg.types.json import Json

from groundswell.common.bus.claims import Claims
from groundswell.common.bus.envelope import LONGEST_REMAINING_MS, Envelope
from groundswell.common.bus.messages import Outgoing
from groundswell.common.ids import MessageId
from groundswell.common.postgres import Connection
from groundswell.common.telemetry.tracing import current_carrier

_TABLE = """\
CREATE TABLE {schema}.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    topic text NOT NULL,
    partition integer,
    key text NOT NULL,
    headers json NOT NULL,
    payload bytea NOT NULL,
    deadline_at timestamptz,
    leased_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_by_lease ON {schema}.outbox (leased_until);

COMMENT ON TABLE {schema}.outbox IS 'messages that their transaction committed and that may not be on the bus yet';
COMMENT ON COLUMN {schema}.outbox.leased_until IS 'until then its publisher, or the sweeper that took it, publishes it';
COMMENT ON COLUMN {schema}.outbox.deadline_at IS 'NULL: none';
"""

_INSERT = """
INSERT INTO {table} (message_id, topic, partition, key, headers, payload, deadline_at, leased_until)
VALUES (
    %(message_id)s, %(topic)s, %(partition)s, %(key)s, %(headers)s, %(payload)s,
    clock_timestamp() + make_interval(secs => %(remaining_s)s),
    clock_timestamp() + make_interval(secs => %(lease_s)s)
)
RETURNING id
"""

# Materialized: a plan that ran the subquery twice would take more than the limit.
_TAKE = """
WITH lapsed AS MATERIALIZED (
    SELECT id FROM {table} WHERE leased_until < clock_timestamp() ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS taken SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM lapsed WHERE taken.id = lapsed.id
RETURNING taken.*, extract(epoch FROM taken.deadline_at - clock_timestamp())::float8 AS remaining_s
"""

_LEASE = """
UPDATE {table} SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s) WHERE id = ANY(%(ids)s)
"""

_DELETE = "DELETE FROM {table} WHERE id = ANY(%(ids)s)"


def outbox_table(schema: str) -> str:
    """What the migration of a service that has an outbox contains, letter by letter."""
    return _TABLE.format(schema=schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A message that is leased to this process. `leased_until` in monotonic, `deadline` in wall-clock seconds.

    `headers` lack what only the moment of publishing knows: the remaining time, and when that was.
    """

    id: int
    message_id: MessageId
    topic: str
    partition: int | None
    key: str
    headers: Mapping[str, str]
    payload: bytes = field(repr=False)
    deadline: float
    leased_until: float

    def trace(self) -> dict[str, str]:
        """The trace that wrote the row."""
        return {name: self.headers[name] for name in ("traceparent", "tracestate", "baggage") if name in self.headers}

    def headers_at(self, now: float, broker_ms: int, trace: Mapping[str, str]) -> list[tuple[str, bytes]]:
        """Headers for a publish at `now`, which is `broker_ms` on the broker's clock, by the span of `trace`."""
        remaining_ms = min(max(0.0, self.deadline - now) * 1000, LONGEST_REMAINING_MS)
        moment = {"ce_remainingms": str(int(remaining_ms)), "ce_sentms": str(broker_ms)}
        return [(name, value.encode()) for name, value in {**self.headers, **moment, **trace}.items()]


class OutboxRows:
    """The statements, for the table in `schema`."""

    def __init__(self, schema: str) -> None:
        self._source = f"groundswell/{schema}"
        self._table = sql.Identifier(schema, "outbox")

    async def insert(self, connection: Connection, message: Outgoing, lease_s: float, claims: Claims) -> OutboxRow:
        """Write `message`, leased to the caller.

        Raises psycopg's UniqueViolation if its id is there already; Unavailable without the object store that a
        message needs which its topic does not take, Rejected if it is larger than any may be.
        """
        value, claim = await claims.check_in(
            message.topic, message.message_id, message.payload.model_dump_json().encode()
        )
        now, leased_until = time.time(), time.monotonic() + lease_s
        headers = self._headers(message) | {name: value.decode() for name, value in claim}
        values = {
            "message_id": message.message_id,
            "topic": message.topic,
            "partition": message.partition,
            "key": message.key,
            "payload": value,
        }
        remaining_s = message.deadline - now
        # Finite deadlines count on the database's clock, which every sweeper shares.
        bounded_s = min(remaining_s, LONGEST_REMAINING_MS / 1000) if math.isfinite(remaining_s) else None
        moment = {"headers": Json(headers), "remaining_s": bounded_s, "lease_s": lease_s}
        cursor = await connection.execute(self._statement(_INSERT), {**values, **moment})
        (row,) = await cursor.fetchall()
        return _row({**row, **values, "headers": headers, "remaining_s": bounded_s}, now, leased_until)

    async def take_lapsed(self, connection: Connection, most: int, lease_s: float) -> list[OutboxRow]:
        """Lease up to `most` rows whose lease has lapsed, oldest first."""
        now, leased_until = time.time(), time.monotonic() + lease_s
        cursor = await connection.execute(self._statement(_TAKE), {"most": most, "lease_s": lease_s})
        rows = [_row(row, now, leased_until) for row in await cursor.fetchall()]
        return sorted(rows, key=lambda row: row.id)

    async def lease(self, connection: Connection, ids: Iterable[int], lease_s: float) -> None:
        await connection.execute(self._statement(_LEASE), {"ids": list(ids), "lease_s": lease_s})

    async def delete(self, connection: Connection, ids: Iterable[int]) -> None:
        await connection.execute(self._statement(_DELETE), {"ids": list(ids)})

    def _headers(self, message: Outgoing) -> dict[str, str]:
        envelope = Envelope(
            message_id=message.message_id,
            type=message.payload.type_name(),
            source=self._source,
            correlation_id=message.correlation_id,
            tenant=message.tenant,
            tier=message.tier,
            remaining_ms=0,
            sent_ms=0,
            causation_id=message.causation_id,
            attempt=message.attempt,
            epoch=message.epoch,
            reply_to=message.reply_to,
            trace=current_carrier(),
        )
        return {name: value.decode() for name, value in envelope.to_headers()}

    def _statement(self, text: LiteralString) -> sql.Composed:
        return sql.SQL(text).format(table=self._table)


def _row(values: Mapping[str, Any], now: float, leased_until: float) -> OutboxRow:
    remaining_s = values["remaining_s"]
    return OutboxRow(
        id=values["id"],
        message_id=MessageId(values["message_id"]),
        topic=values["topic"],
        partition=values["partition"],
        key=values["key"],
        headers=values["headers"],
        payload=values["payload"],
        deadline=math.inf if remaining_s is None else now + remaining_s,
        leased_until=leased_until,
    )
