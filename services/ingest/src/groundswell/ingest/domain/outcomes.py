"""What others are told about a document."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, get_args

from groundswell.common.contracts.knowledge import (
    ChunkToEmbed,
    DocumentRejected,
    DocumentRemoved,
    DocumentUnchanged,
    DocumentVersionCommitted,
    EmbedChunks,
    IngestDocument,
    RemoveDocument,
)
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.ingest.domain.changes import batches
from groundswell.ingest.domain.documents import GAVE_UP, Document, Failure, Version

MOST_CHUNKS = 64
MOST_BYTES = 256 * 1024
"""Of chunk texts as JSON in one command; a topic takes 1 MiB."""

REJECTION_CODES = frozenset(get_args(DocumentRejected.model_fields["code"].annotation))

_WORDS = {
    IngestDocument.type_name(): ("The file", "read", "Send"),
    RemoveDocument.type_name(): ("The document", "removed", "Remove"),
}
OWN_COMMANDS = frozenset(_WORDS)
"""Commands to ingest; of those to the embedder it takes outcomes too."""


def embed_commands(
    document: Document, version: Version, missing: Iterable[ChunkToEmbed], model: str
) -> Iterator[EmbedChunks]:
    """Commands for the chunks, in parts that fit a message."""
    for part, chunks in enumerate(batches(missing, most_chunks=MOST_CHUNKS, most_bytes=MOST_BYTES)):
        yield EmbedChunks(
            document_id=document.id,
            team=document.team,
            version=version.number,
            revision=version.revision,
            source=document.source,
            name=document.name,
            title=version.title,
            file_type=version.file_type,
            access=document.access,
            updated=version.updated,
            model=model,
            part=part,
            chunks=chunks,
        )


def committed(document: Document, version: Version, at: datetime) -> DocumentVersionCommitted:
    return DocumentVersionCommitted(
        **_facts(document, version.revision, at),
        version=version.number,
        title=version.title,
        chunks=version.chunks,
        chunks_embedded=version.chunks_to_embed,
    )


def unchanged(document: Document, version: Version, revision: int, at: datetime) -> DocumentUnchanged:
    return DocumentUnchanged(**_facts(document, revision, at), version=version.number)


def removed(document: Document, revision: int, at: datetime) -> DocumentRemoved:
    return DocumentRemoved(**_facts(document, revision, at))


def rejected(document: Document, revision: int, failure: Failure, at: datetime) -> DocumentRejected:
    """A failure that is not of reading counts as unreadable."""
    code = failure.code if failure.code in REJECTION_CODES else "unreadable"
    return DocumentRejected.model_validate(_facts(document, revision, at) | {"code": code, "reason": failure.reason})


def given_up(outcome: CommandFailed | CommandExpired) -> Failure:
    """Why a revision came to nothing, from what the bus says of its command."""
    what, done, again = _WORDS[outcome.command]
    if isinstance(outcome, CommandExpired):
        return Failure(GAVE_UP, f"{what} was not {done} in time. {again} it again.")
    return Failure(GAVE_UP, f"{what} could not be {done}: {outcome.reason}. {again} it again.")


def _facts(document: Document, revision: int, at: datetime) -> dict[str, Any]:
    return {
        "document_id": document.id,
        "team": document.team,
        "source": document.source,
        "name": document.name,
        "revision": revision,
        "at": at,
    }
