"""The record of requests in PostgreSQL. A terminal state is written once, by compare-and-set."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import LiteralString, TypeVar

import structlog
from psycopg.rows import DictRow
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from groundswell.common.contracts.answers import Outcome
from groundswell.common.ids import RequestId, TeamId
from groundswell.common.outbox import Outbox, OutboxRow, settled
from groundswell.common.postgres import Connection, Postgres, Presence
from groundswell.common.tiers import Tier
from groundswell.orchestrator import handlers
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.ports import Orphan, Ownership, RequestRecord

PUBLISH_WITHIN_S = 5.0
"""How long the end of a request waits for a broker that is away; then the sweeper tells it."""

ANSWER_WITHIN_S = 5.0
"""What a server may take for one row, while a client waits."""
GAP_S = 15.0
"""Three sweeps: more between two of them is an outage."""

log = structlog.get_logger(__name__)
T = TypeVar("T")
_QUESTION = TypeAdapter(Question)
_ANSWER = TypeAdapter(Answer)
_UNREADABLE = Answer(
    outcome=Outcome.FAILED,
    text="",
    finish_reason="error",
    reason="the replica that carried it is gone, and no other could read what was asked",
)

_INSERT = """
INSERT INTO orchestrator.requests
    (id, team, key_id, model, tier, state, owner, epoch, reply_partition, reply_offset, question, fingerprint,
     created_at, deadline_at)
VALUES
    (%(id)s, %(team)s, %(key)s, %(model)s, %(tier)s, 'accepted', %(owner)s, %(epoch)s, %(partition)s, %(reply_offset)s,
     %(question)s::json, %(fingerprint)s, %(created)s, %(deadline)s)
ON CONFLICT (id) DO NOTHING
"""

_MARK_GENERATING = """
UPDATE orchestrator.requests SET state = 'generating', prompt = %(prompt)s::json
WHERE id = %(id)s AND state = 'accepted'
"""

_FINISH = """
UPDATE orchestrator.requests SET state = %(state)s, answer = %(answer)s::json, ended_at = now()
WHERE id = %(id)s AND ended_at IS NULL AND epoch <= %(epoch)s
RETURNING team, tier
"""

_ENDED_SO = "SELECT FROM orchestrator.requests WHERE id = %(id)s AND answer::text = %(answer)s"

_ANSWER_OF = "SELECT answer::text AS answer FROM orchestrator.requests WHERE id = %(id)s"

_ADOPT = """
UPDATE orchestrator.requests SET owner = %(owner)s, epoch = %(epoch)s
WHERE reply_partition = %(partition)s AND ended_at IS NULL AND epoch <= %(epoch)s
RETURNING id, question::text AS question, reply_offset
"""

_INSERTED_SO = """
SELECT FROM orchestrator.requests WHERE id = %(id)s AND owner = %(owner)s AND question::text = %(question)s
"""

_COLUMNS = """
id, team, state, model, tier, created_at, deadline_at, ended_at, answer::text AS answer, reply_partition, fingerprint
"""

_GET = f"SELECT {_COLUMNS} FROM orchestrator.requests WHERE id = %(id)s AND team = %(team)s"  # noqa: S608 - constants

_RECENT = f"""
SELECT {_COLUMNS} FROM orchestrator.requests WHERE team = %(team)s ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608 - constants

_UNFINISHED_SINCE = "SELECT min(created_at) AS since FROM orchestrator.requests WHERE ended_at IS NULL"

_EXPIRE = """
UPDATE orchestrator.requests SET state = 'expired', answer = %(answer)s::json, ended_at = now()
WHERE ended_at IS NULL AND deadline_at < now() - make_interval(secs => %(grace_s)s)
RETURNING id, team, tier, epoch
"""

_FORGET = """
DELETE FROM orchestrator.requests WHERE ended_at < now() - make_interval(secs => %(keep_s)s)
"""


class PostgresLedger:
    """The port RequestLedger. Every method raises Unavailable while the server is away.

    The final event of a request is in the outbox with its terminal state.
    """

    def __init__(self, postgres: Postgres, outbox: Outbox) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._presence = Presence(GAP_S)

    async def insert(self, question: Question, ownership: Ownership) -> bool:
        row = {
            "id": question.request_id,
            "team": question.caller.team,
            "key": question.caller.key,
            "model": question.model,
            "tier": question.tier.value,
            "owner": ownership.owner,
            "epoch": ownership.epoch,
            "partition": ownership.partition,
            "reply_offset": ownership.reply_offset,
            "question": _QUESTION.dump_json(question).decode(),
            "fingerprint": question.fingerprint,
            "created": datetime.fromtimestamp(question.created, UTC),
            "deadline": datetime.fromtimestamp(question.deadline, UTC),
        }

        async def insert(connection: Connection) -> bool:
            cursor = await connection.execute(_INSERT, row)
            return cursor.rowcount == 1

        return await self._settled(insert, partial(_finds, _INSERTED_SO, row))

    async def _settled(
        self, work: Callable[[Connection], Awaitable[T]], is_there: Callable[[Connection], Awaitable[bool]]
    ) -> T:
        return await settled(self._postgres, work, is_there, answer_within_s=ANSWER_WITHIN_S)

    async def mark_generating(self, request_id: RequestId, prompt: Sequence[dict[str, str]]) -> None:
        async with self._postgres.transaction() as connection:
            await connection.execute(_MARK_GENERATING, {"id": request_id, "prompt": to_json(prompt).decode()})

    async def finish(self, request_id: RequestId, answer: Answer, *, epoch: int) -> Answer | None:
        """Raises LookupError if there is no such request."""

        async def finish(connection: Connection) -> OutboxRow | None:
            return await self._end(connection, request_id, answer, epoch)

        final_event = await self._settled(finish, partial(_finds, _ENDED_SO, _end_of(request_id, answer, epoch)))
        if final_event is None:
            return await self.answer(request_id)
        await self._outbox.publish_now(final_event, within_s=PUBLISH_WITHIN_S)
        return answer

    async def _end(self, connection: Connection, request_id: RequestId, answer: Answer, epoch: int) -> OutboxRow | None:
        cursor = await connection.execute(_FINISH, _end_of(request_id, answer, epoch))
        ended = await cursor.fetchone()
        return await self._tell(connection, request_id, ended, answer, epoch) if ended else None

    async def _tell(
        self, connection: Connection, request_id: RequestId, ended: DictRow, answer: Answer, epoch: int
    ) -> OutboxRow:
        team, tier = TeamId(ended["team"]), Tier(ended["tier"])
        return await self._outbox.add(connection, handlers.ended(request_id, team, tier, answer, epoch=epoch))

    async def answer(self, request_id: RequestId) -> Answer | None:
        """Raises LookupError if there is no such request."""
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_ANSWER_OF, {"id": request_id})
            row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"request {request_id} is not in the ledger")
        return _ANSWER.validate_json(row["answer"]) if row["answer"] else None

    async def adopt(self, ownership: Ownership) -> list[Orphan]:
        wanted = {"owner": ownership.owner, "epoch": ownership.epoch, "partition": ownership.partition}
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_ADOPT, wanted)
            found = [(RequestId(row["id"]), _orphan(row)) for row in await cursor.fetchall()]
            ends = [
                await self._end(connection, request_id, _UNREADABLE, ownership.epoch)
                for request_id, orphan in found
                if orphan is None
            ]
        await self._outbox.publish_now(*filter(None, ends), within_s=PUBLISH_WITHIN_S)
        return [orphan for _, orphan in found if orphan is not None]

    async def get(self, request_id: RequestId, team: TeamId) -> RequestRecord | None:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_GET, {"id": request_id, "team": team})
            row = await cursor.fetchone()
        return _record(row) if row else None

    async def unfinished_since(self) -> float | None:
        async with self._postgres.transaction() as connection:
            row = await (await connection.execute(_UNFINISHED_SINCE)).fetchone()
        return row["since"].timestamp() if row and row["since"] else None

    async def recent(self, team: TeamId, limit: int) -> list[RequestRecord]:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_RECENT, {"team": team, "limit": limit})
            return [_record(row) for row in await cursor.fetchall()]

    async def expire_overdue(self, grace_s: float) -> int:
        answer = Answer(
            outcome=Outcome.EXPIRED,
            text="",
            finish_reason="error",
            reason="the deadline passed and nobody finished this request",
        )
        row = {"answer": _ANSWER.dump_json(answer).decode(), "grace_s": grace_s}
        began = time.monotonic()
        async with self._postgres.transaction() as connection:
            self._presence.answered()
            # While the server was away nobody could end what they carry.
            if self._presence.unbroken_s() < grace_s:
                return 0
            cursor = await connection.execute(_EXPIRE, row)
            overdue = await cursor.fetchall()
            self._presence.require_since(began)
            final_events = [
                await self._tell(connection, RequestId(ended["id"]), ended, answer, ended["epoch"]) for ended in overdue
            ]
        await self._outbox.publish_now(*final_events, within_s=PUBLISH_WITHIN_S)
        return len(final_events)

    async def forget_ended(self, keep_s: float) -> int:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_FORGET, {"keep_s": keep_s})
            return cursor.rowcount


def _end_of(request_id: RequestId, answer: Answer, epoch: int) -> dict[str, object]:
    told = _ANSWER.dump_json(answer).decode()
    return {"id": request_id, "state": answer.outcome.value, "answer": told, "epoch": epoch}


def _orphan(row: DictRow) -> Orphan | None:
    """None: this version cannot read it; the others are carried on."""
    try:
        return Orphan(_QUESTION.validate_json(row["question"]), row["reply_offset"])
    except ValidationError:
        log.warning("question cannot be read", request_id=row["id"])  # not why: that would quote it
        return None


async def _finds(statement: LiteralString, values: Mapping[str, object], connection: Connection) -> bool:
    cursor = await connection.execute(statement, values)
    return await cursor.fetchone() is not None


def _record(row: DictRow) -> RequestRecord:
    return RequestRecord(
        request_id=RequestId(row["id"]),
        team=TeamId(row["team"]),
        state=row["state"],
        model=row["model"],
        tier=row["tier"],
        created=row["created_at"],
        deadline=row["deadline_at"],
        ended=row["ended_at"],
        answer=_ANSWER.validate_json(row["answer"]) if row["answer"] else None,
        partition=row["reply_partition"],
        fingerprint=row["fingerprint"],
    )
