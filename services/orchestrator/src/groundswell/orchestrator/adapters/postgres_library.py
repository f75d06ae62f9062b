"""The documents of a team: ingest's views are read, its commands are sent, bytes go through the object store.

A command is in the outbox with the row that shows the document as on its way.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from typing import LiteralString

import structlog
from psycopg import errors
from psycopg.rows import DictRow

from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.messages import Outgoing
from groundswell.common.contracts.knowledge import BlobRef, IngestDocument, RemoveDocument
from groundswell.common.errors import Unavailable
from groundswell.common.ids import SHARED_TEAM, CorrelationId, DocumentId, TeamId, document_id
from groundswell.common.outbox import Outbox, OutboxRow, Undecided, settled
from groundswell.common.postgres import Connection, Postgres
from groundswell.common.tiers import Tier
from groundswell.common.topics import INGEST_DOCUMENT, INGEST_REPLIES, REMOVE_DOCUMENT
from groundswell.orchestrator.adapters import library_statements as sql
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import BlobStore, DocumentRecord, SourceRecord, Submission

PUBLISH_WITHIN_S = 5.0
"""How long the answer to a caller waits for a broker that is away; then the sweeper sends the command."""
LOOKS = 60
LOOK_EVERY_S = 0.05

log = structlog.get_logger(__name__)


class PostgresLibrary:
    """The ports Library and Uploads."""

    def __init__(self, postgres: Postgres, blobs: BlobStore, outbox: Outbox) -> None:
        self._postgres = postgres
        self._blobs = blobs
        self._outbox = outbox

    async def documents(
        self, caller: Caller, *, source: str | None, states: Sequence[str], limit: int, after: str | None
    ) -> list[DocumentRecord]:
        rows = await self._rows(
            sql.DOCUMENTS,
            teams=[caller.team],
            access=list(caller.access),
            document=None,
            source=source,
            states=list(states),
            limit=limit,
            after=after,
        )
        return [_record(row) for row in rows]

    async def document(self, caller: Caller, document: DocumentId) -> DocumentRecord | None:
        rows = await self._rows(sql.DOCUMENT, document=document, **_readable(caller))
        return _record(rows[0]) if rows else None

    async def text(self, caller: Caller, document: DocumentId, version: int | None = None) -> str | None:
        rows = await self._rows(sql.TEXT, document=document, version=version, **_readable(caller))
        return str(rows[0]["text"]) if rows else None

    async def sources(self, caller: Caller) -> list[SourceRecord]:
        rows = await self._rows(sql.SOURCES, teams=[caller.team], access=list(caller.access), document=None)
        return [SourceRecord(row["source"], row["documents"], row["failed"], row["updated"]) for row in rows]

    async def upload(
        self, caller: Caller, *, source: str, name: str, content: bytes, modified: datetime | None
    ) -> Submission:
        submission = Submission(document_id(caller.team, source, name), await self._next_revision())
        blob = await self._blobs.put(f"documents/{submission.document_id}/{submission.revision}", content)
        command = IngestDocument(
            document_id=submission.document_id,
            team=caller.team,
            source=source,
            name=name,
            revision=submission.revision,
            blob=blob,
            access=_default_access(caller.team),
            modified=modified,
        )
        row = _submission_row(submission, caller.team, source=source, name=name, blob=blob)
        await self._submit(row, _message(INGEST_DOCUMENT[Tier.STANDARD], command, Tier.STANDARD), blob)
        return submission

    async def remove(self, caller: Caller, document: DocumentId) -> bool:
        """Returns once ingest has removed it, or after a few seconds: it will."""
        record = await self.document(caller, document)
        if record is None or record.team != caller.team:
            return False
        submission = Submission(document, await self._next_revision())
        command = RemoveDocument(document_id=document, team=caller.team, revision=submission.revision)
        row = _submission_row(submission, caller.team, source=record.source, name=record.name, blob=None)
        if await self._submit(row, _message(REMOVE_DOCUMENT[Tier.INTERACTIVE], command, Tier.INTERACTIVE), None):
            await self._until_seen(submission)
        return True

    async def _submit(self, row: Mapping[str, object], message: Outgoing, blob: BlobRef | None) -> bool:
        """Show the document as on its way until ingest's view has it. False: the sweeper sends the command."""
        with _over_views():
            command = await self._commit(row, message, blob)
        return await self._outbox.publish_now(command, within_s=PUBLISH_WITHIN_S)

    async def _commit(self, row: Mapping[str, object], message: Outgoing, blob: BlobRef | None) -> OutboxRow:
        """Row and command in one transaction. If that surely did not commit, the blob is deleted."""
        may_commit = False

        async def submit(connection: Connection) -> OutboxRow:
            nonlocal may_commit
            await connection.execute(sql.SUBMIT, row)
            command = await self._outbox.add(connection, message)
            may_commit = True
            return command

        try:
            return await settled(self._postgres, submit, partial(_is_submitted, row))
        except BaseException as error:
            is_answer = isinstance(error, Unavailable) and not isinstance(error, Undecided)
            if blob is not None and (is_answer or not may_commit):
                await self._discard(blob)
            raise

    async def _discard(self, blob: BlobRef) -> None:
        try:
            await self._blobs.delete(blob.key)
        except Unavailable as error:
            log.warning("bytes of a failed upload not deleted", key=blob.key, reason=error.reason)

    async def drop_older(self, document: DocumentId, revision: int) -> None:
        """Ingest has what it needs of submissions that it has gone past; their bytes need not stay."""
        # Bytes first: a row without its bytes is dropped the next time, bytes without a row never.
        for row in await self._rows(sql.OLDER_BLOBS, document=document, revision=revision):
            await self._blobs.delete(row["blob_key"])
        await self._rows(sql.DROP_OLDER, document=document, revision=revision)

    async def _until_seen(self, submission: Submission) -> None:
        for _ in range(LOOKS):
            if await self._seen_revision(submission.document_id) >= submission.revision:
                return
            await asyncio.sleep(LOOK_EVERY_S)
        log.info("removal not confirmed yet", document_id=submission.document_id)

    async def _next_revision(self) -> int:
        return int((await self._rows(sql.NEXT_REVISION))[0]["revision"])

    async def _seen_revision(self, document: DocumentId) -> int:
        rows = await self._rows(sql.SEEN_REVISION, document=document)
        return int(rows[0]["revision"] or 0) if rows else 0

    async def _rows(self, statement: LiteralString, **values: object) -> list[DictRow]:
        async with self._reading() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        with _over_views():
            async with self._postgres.transaction() as connection:
                yield connection


@contextmanager
def _over_views() -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedTable, errors.InsufficientPrivilege) as error:
        raise Unavailable("ingest has not made its views yet", retry_after_s=2.0) from error


async def _is_submitted(row: Mapping[str, object], connection: Connection) -> bool:
    cursor = await connection.execute(sql.IS_SUBMITTED, row)
    return await cursor.fetchone() is not None


def _submission_row(
    submission: Submission, team: TeamId, *, source: str, name: str, blob: BlobRef | None
) -> dict[str, object]:
    return {
        "document": submission.document_id,
        "revision": submission.revision,
        "team": team,
        "source": source,
        "name": name,
        "access": list(_default_access(team)),
        "removal": blob is None,
        "blob_key": blob.key if blob else None,
        "bytes": blob.size if blob else 0,
        "sha256": blob.sha256 if blob else None,
    }


def _message(topic: str, command: IngestDocument | RemoveDocument, tier: Tier) -> Outgoing:
    """Worth sending however late: the document is shown as pending until ingest has had it."""
    return Outgoing(
        topic=topic,
        payload=command,
        key=command.document_id,
        correlation_id=CorrelationId(command.document_id),
        tenant=command.team,
        tier=tier,
        deadline=math.inf,
        epoch=command.revision,
        reply_to=ReplyAddress(INGEST_REPLIES.physical_name),
    )


def _readable(caller: Caller) -> dict[str, list[str]]:
    return {"teams": [caller.team, SHARED_TEAM], "access": list(caller.access)}


def _default_access(team: TeamId) -> tuple[str, ...]:
    return ("organisation",) if team == SHARED_TEAM else (f"team:{team}",)


def _record(row: DictRow) -> DocumentRecord:
    return DocumentRecord(
        document_id=DocumentId(row["document_id"]),
        team=TeamId(row["team"]),
        name=row["name"],
        source=row["source"],
        title=row["title"],
        state=row["state"],
        version=row["version"],
        revision=row["revision"],
        chunks=row["chunks"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        file_type=row["file_type"],
        failure=row["failure"],
        created=row["created"],
        updated=row["updated"],
    )
