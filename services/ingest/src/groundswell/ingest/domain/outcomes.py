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
)
from groundswell.ingest.domain.changes import batches
from groundswell.ingest.domain.documents import Document, Failure, Version

MOST_CHUNKS = 64
MOST_BYTES = 256 * 1024
"""Of chunk texts as JSON in one command; a topic takes 1 MiB."""

REJECTION_CODES = frozenset(get_args(DocumentRejected.model_fields["code"].annotation))


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
    """`failure` must be one of reading: its code is in `REJECTION_CODES`."""
    return DocumentRejected.model_validate(
        _facts(document, revision, at) | {"code": failure.code, "reason": failure.reason}
    )


def _facts(document: Document, revision: int, at: datetime) -> dict[str, Any]:
    return {
        "document_id": document.id,
        "team": document.team,
        "source": document.source,
        "name": document.name,
        "revision": revision,
        "at": at,
    }
