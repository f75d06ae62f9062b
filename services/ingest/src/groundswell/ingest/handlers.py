"""What ingest does on each message.

Handlers return messages and never publish. What they change of a document happens in one transaction that holds its
row, so a message may come twice, late or in any order; one that changes nothing any more repeats what was said, in case
it was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.contracts.knowledge import ChunksEmbedded, DocumentEvent, IngestDocument, RemoveDocument
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, DocumentId, TeamId
from groundswell.common.telemetry import names
from groundswell.common.tiers import Tier
from groundswell.common.topics import DOCUMENT_LIFECYCLE, EMBED_CHUNKS, INGEST_REPLIES
from groundswell.ingest.domain import outcomes
from groundswell.ingest.domain.changes import distinct, to_embed
from groundswell.ingest.domain.decoding import Rejection, RejectionCode
from groundswell.ingest.domain.documents import Document, Failure, Verdict, Version, VersionState, access_or_default
from groundswell.ingest.domain.reading import Reading
from groundswell.ingest.ports import Blobs, Clock, Documents, LockedDocument, Reader

WORK_WITHIN_S = 6 * 3600.0
"""Embedding outlives the upload that caused it: its deadline is its own."""

EMBEDDING_FAILED = "embedding_failed"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Deps:
    documents: Documents
    blobs: Blobs
    reader: Reader
    clock: Clock
    model: str

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)


async def ingest_document(message: Received[IngestDocument], *, deps: Deps) -> Sequence[Outgoing]:
    """Read the blob outside any transaction, then make it a version, unless a newer revision came meanwhile."""
    command = message.payload
    if "\0" in command.name + command.source:
        raise Rejected("the name of a document or source holds a NUL character")
    reading: Reading | Rejection | None = None
    access = access_or_default(command.team, command.access)
    while True:
        async with deps.documents.enrolled(
            command.document_id,
            team=command.team,
            source=command.source,
            name=command.name,
            access=access,
        ) as locked:
            _check_team(locked.document, command.team)
            verdict = locked.document.judge(command.revision, command.blob.sha256, access)
            if verdict is not Verdict.NEW_VERSION:
                return await _acknowledge(message, locked, verdict, deps)
            if reading is not None:
                return await _take_in(message, locked, reading, deps)
        reading = await _read(command, deps)


async def remove_document(message: Received[RemoveDocument], *, deps: Deps) -> Sequence[Outgoing]:
    """Gone at COMMIT. A document that is not known yet leaves its revision, so that an older text cannot come after."""
    command = message.payload
    access = access_or_default(command.team, ())
    async with deps.documents.enrolled(
        command.document_id, team=command.team, source="", name="", access=access
    ) as locked:
        document = locked.document
        _check_team(document, command.team)
        is_repeated = command.revision == document.newest_revision and document.is_deleted
        if document.is_past(command.revision) and not is_repeated:
            _count("outdated")
            return []
        if not is_repeated:
            await locked.remove(command.revision)
            _count("removed")
        return [_event(document, outcomes.removed(document, command.revision, deps.now()), deps, message)]


async def take_outcome(
    message: Received[ChunksEmbedded | CommandFailed | CommandExpired], *, deps: Deps
) -> Sequence[Outgoing]:
    """What became of a command: of ingest's own, if it was given up, or of one to the embedder."""
    payload = message.payload
    if not isinstance(payload, ChunksEmbedded) and payload.command in outcomes.OWN_COMMANDS:
        return await _given_up(message, payload, deps)
    return await take_embedding_outcome(message, deps=deps)


async def take_embedding_outcome(
    message: Received[ChunksEmbedded | CommandFailed | CommandExpired], *, deps: Deps
) -> Sequence[Outgoing]:
    """Chunks are live, or the embedder gave up. An expired command is asked for again by `resume_stranded`."""
    payload = message.payload
    if isinstance(payload, ChunksEmbedded):
        return await _chunks_embedded(message, payload, deps)
    if isinstance(payload, CommandFailed):
        await _embedding_failed(message, payload, deps)
    return []


async def resume_stranded(*, deps: Deps, silent_s: float, most: int = 100) -> Sequence[Outgoing]:
    """After a crash or a lost message: ask again for the chunks of pending versions that nothing is heard of."""
    outgoing: list[Outgoing] = []
    for document_id in await deps.documents.claim_stranded(silent_s=silent_s, most=most):
        async with deps.documents.locked(document_id) as locked:
            newest = locked.document.newest if locked else None
            if locked and newest and newest.state is VersionState.PENDING:
                log.info("asking again", document_id=document_id, version=newest.number)
                outgoing += await _proceed(locked, locked.document, newest, deps, None)
    return outgoing


async def _read(command: IngestDocument, deps: Deps) -> Reading | Rejection:
    refusal = deps.reader.refuse(command.name, command.blob.size)
    if refusal is not None:
        return refusal
    try:
        content = await deps.blobs.get(command.blob)
    except Rejected as gone:
        return Rejection(
            RejectionCode.UNREADABLE, f"The uploaded bytes cannot be read: {gone.reason}. Send the file again."
        )
    return await deps.reader.read(command.name, content)


async def _acknowledge(
    message: Received[IngestDocument], locked: LockedDocument, verdict: Verdict, deps: Deps
) -> Sequence[Outgoing]:
    """The revision brings nothing new."""
    command, document = message.payload, locked.document
    _count(verdict.value)
    if verdict is Verdict.SAME_CONTENT:
        await _note(locked, command)
        return await _same_content(message, locked, deps)
    if verdict is Verdict.REPEATED and not document.is_deleted:
        return await _repeat(message, locked, deps)
    return []


async def _same_content(message: Received[IngestDocument], locked: LockedDocument, deps: Deps) -> Sequence[Outgoing]:
    command, document, newest = message.payload, _noted(locked.document, message.payload), locked.document.newest
    assert newest is not None  # noqa: S101 - there is no same content without a version
    if newest.state is VersionState.LIVE:
        return [_event(document, outcomes.unchanged(document, newest, command.revision, deps.now()), deps, message)]
    await locked.restart_version(command.revision)
    return await _proceed(locked, document, replace(newest, revision=command.revision), deps, message)


async def _repeat(message: Received[IngestDocument], locked: LockedDocument, deps: Deps) -> Sequence[Outgoing]:
    document, newest, revision = locked.document, locked.document.newest, message.payload.revision
    if document.failure is not None:
        known = document.failure.code in outcomes.REJECTION_CODES
        rejected = outcomes.rejected(document, revision, document.failure, deps.now()) if known else None
        return [_event(document, rejected, deps, message)] if rejected else []
    if newest is None:
        return []
    if newest.state is VersionState.PENDING:
        return await _proceed(locked, document, newest, deps, message)
    if newest.revision == revision:
        return [_event(document, outcomes.committed(document, newest, deps.now()), deps, message)]
    return [_event(document, outcomes.unchanged(document, newest, revision, deps.now()), deps, message)]


async def _take_in(
    message: Received[IngestDocument], locked: LockedDocument, reading: Reading | Rejection, deps: Deps
) -> Sequence[Outgoing]:
    command, document = message.payload, _noted(locked.document, message.payload)
    await _note(locked, command)
    if isinstance(reading, Rejection):
        _count("rejected")
        failure = Failure(reading.code.value, reading.message)
        await locked.fail(command.revision, failure)
        return [_event(document, outcomes.rejected(document, command.revision, failure, deps.now()), deps, message)]
    chunks = distinct(reading.chunks)
    held = await locked.held_hashes([chunk.content_hash for chunk in chunks])
    wanted = to_embed(chunks, held)
    version = _version(message, document, reading, len(wanted), deps)
    await locked.add_version(version, reading, wanted)
    _count("new_version")
    return await _proceed(locked, document, version, deps, message)


def _version(
    message: Received[IngestDocument], document: Document, reading: Reading, chunks_to_embed: int, deps: Deps
) -> Version:
    command = message.payload
    return Version(
        number=document.versions + 1,
        revision=command.revision,
        content_sha256=command.blob.sha256,
        state=VersionState.PENDING,
        title=reading.title,
        file_type=reading.file_type.value,
        updated=command.modified or deps.now(),
        tier=message.envelope.tier,
        chunks=len(reading.chunks),
        chunks_to_embed=chunks_to_embed,
    )


async def _proceed(
    locked: LockedDocument, document: Document, version: Version, deps: Deps, cause: Received[Message] | None
) -> Sequence[Outgoing]:
    """Ask for what is missing of the newest version; if nothing is, commit it."""
    missing = await locked.missing_chunks()
    if not missing:
        return await _commit(locked, document, version, deps, cause)
    commands = outcomes.embed_commands(document, version, missing, deps.model)
    return [
        _outgoing(
            document,
            command,
            deps,
            cause,
            topic=EMBED_CHUNKS[cause.envelope.tier if cause else version.tier],
            epoch=version.number,
            reply_to=ReplyAddress(INGEST_REPLIES.physical_name),
        )
        for command in commands
    ]


async def _commit(
    locked: LockedDocument, document: Document, version: Version, deps: Deps, cause: Received[Message] | None
) -> Sequence[Outgoing]:
    await locked.commit_newest()
    _count("committed")
    log.info("version committed", document_id=document.id, version=version.number, chunks=version.chunks)
    return [_event(document, outcomes.committed(document, version, deps.now()), deps, cause)]


async def _chunks_embedded(message: Received[Message], payload: ChunksEmbedded, deps: Deps) -> Sequence[Outgoing]:
    async with deps.documents.locked(payload.document_id) as locked:
        if locked is None:
            return []
        document, newest = locked.document, locked.document.newest
        _check_team(document, payload.team)
        await locked.mark_live(payload.content_hashes)
        if newest is None or newest.number != payload.version:
            return []
        if newest.state is VersionState.LIVE:
            return [_event(document, outcomes.committed(document, newest, deps.now()), deps, message)]
        if await locked.has_missing_chunks():
            return []
        return await _commit(locked, document, newest, deps, message)


async def _embedding_failed(message: Received[Message], payload: CommandFailed, deps: Deps) -> None:
    """The envelope's epoch is the version that the command was for."""
    async with deps.documents.locked(DocumentId(message.key)) as locked:
        newest = locked.document.newest if locked else None
        if locked and newest and newest.number == message.envelope.epoch and newest.state is VersionState.PENDING:
            _count("embedding_failed")
            await locked.fail(
                newest.revision, Failure(EMBEDDING_FAILED, f"Embedding failed: {payload.reason}. Send the file again.")
            )


async def _given_up(
    message: Received[Message], payload: CommandFailed | CommandExpired, deps: Deps
) -> Sequence[Outgoing]:
    """The envelope's epoch is the revision, its tenant the team: a command that was not understood says no more."""
    revision, team = message.envelope.epoch, message.envelope.tenant
    async with deps.documents.enrolled(
        DocumentId(message.key), team=team, source="", name="", access=access_or_default(team, ())
    ) as locked:
        document = locked.document
        is_gone = document.is_deleted and payload.command == RemoveDocument.type_name()
        if revision < 1 or document.team != team or is_gone or not document.is_open(revision):
            return []
        failure = outcomes.given_up(payload)
        if revision != document.newest_revision:
            await locked.skip_revision(revision)
        await locked.fail(revision, failure)
        _count("given_up")
        return [_event(document, outcomes.rejected(document, revision, failure, deps.now()), deps, message)]


async def _note(locked: LockedDocument, command: IngestDocument) -> None:
    await locked.note_revision(
        command.revision,
        source=command.source,
        name=command.name,
        access=access_or_default(command.team, command.access),
        blob=command.blob,
    )


def _noted(document: Document, command: IngestDocument) -> Document:
    access = access_or_default(command.team, command.access)
    return replace(
        document,
        newest_revision=command.revision,
        source=command.source,
        name=command.name,
        access=access,
        is_deleted=False,
    )


def _check_team(document: Document, team: TeamId) -> None:
    if document.team != team:
        raise Rejected("the document belongs to another team")


def _event(document: Document, event: DocumentEvent, deps: Deps, cause: Received[Message] | None) -> Outgoing:
    return _outgoing(document, event, deps, cause, topic=DOCUMENT_LIFECYCLE.physical_name)


def _outgoing(
    document: Document,
    payload: Message,
    deps: Deps,
    cause: Received[Message] | None,
    *,
    topic: str,
    epoch: int = 0,
    reply_to: ReplyAddress | None = None,
) -> Outgoing:
    newest_tier = document.newest.tier if document.newest else Tier.STANDARD
    return Outgoing(
        topic=topic,
        payload=payload,
        key=document.id,
        correlation_id=cause.envelope.correlation_id if cause else CorrelationId(document.id),
        tenant=document.team,
        tier=cause.envelope.tier if cause else newest_tier,
        deadline=deps.clock() + WORK_WITHIN_S,
        epoch=epoch,
        causation_id=cause.envelope.message_id if cause else None,
        reply_to=reply_to,
    )


def _count(outcome: str) -> None:
    names.DOCUMENTS_INGESTED.labels(outcome).inc()
