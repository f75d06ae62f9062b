"""Documents: to ingest, from ingest to the embedder, and what became of each."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from groundswell.common.contracts.message import Message
from groundswell.common.ids import ChunkId, DocumentId, TeamId


class BlobRef(Message):
    """A claim check: where the bytes lie in the object store."""

    key: str
    size: int = Field(ge=0)
    sha256: str


class IngestDocument(Message):
    """Make the bytes of `blob` the newest version of the document `name` in `source`.

    `revision` orders what happens to a document: an effect of a lower one than the newest seen is dropped. It is also
    the envelope's epoch, so that ingest knows it of a command that was given up; the outcome goes to ingest.
    """

    document_id: DocumentId
    team: TeamId
    source: str
    name: str
    revision: int
    blob: BlobRef
    access: tuple[str, ...]
    modified: datetime | None = None


class RemoveDocument(Message):
    """Remove the document from answers. `revision` and outcomes as of `IngestDocument`."""

    document_id: DocumentId
    team: TeamId
    revision: int


class ChunkToEmbed(Message):
    """`text` is overlap and core: what `content_hash` (sha256, hex) is of."""

    chunk_id: ChunkId
    content_hash: str
    text: str


class EmbedChunks(Message):
    """Embed and index these chunks of one version; the properties are those that filters need and may lag."""

    document_id: DocumentId
    team: TeamId
    version: int
    revision: int
    source: str
    name: str
    title: str
    file_type: str
    access: tuple[str, ...]
    updated: datetime
    model: str
    part: int = 0
    chunks: tuple[ChunkToEmbed, ...] = Field(min_length=1)


class ChunksEmbedded(Message):
    """Every chunk named here is in the index, stored and readable."""

    document_id: DocumentId
    team: TeamId
    version: int
    revision: int
    part: int
    content_hashes: tuple[str, ...]


class DocumentEvent(Message):
    document_id: DocumentId
    team: TeamId
    source: str
    name: str
    revision: int
    at: datetime


class DocumentVersionCommitted(DocumentEvent):
    """From here on answers come from `version` alone. `chunks_embedded` were new, of `chunks` in all."""

    version: int
    title: str
    chunks: int
    chunks_embedded: int


class DocumentUnchanged(DocumentEvent):
    """The revision brought the bytes that the live version has."""

    version: int


class DocumentRemoved(DocumentEvent):
    """Gone at commit; caches and conversations drop what they built on it."""


class DocumentRejected(DocumentEvent):
    """The revision cannot be read; an earlier version stays live. `reason` says what to do and quotes nothing."""

    code: Literal["not_utf8", "unknown_type", "empty", "too_large", "binary", "unreadable"]
    reason: str
