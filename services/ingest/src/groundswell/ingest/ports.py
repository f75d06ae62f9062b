"""What the handlers need of the world outside."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from groundswell.common.contracts.knowledge import BlobRef, ChunkToEmbed
from groundswell.common.ids import DocumentId, TeamId
from groundswell.ingest.domain.chunking import Chunk
from groundswell.ingest.domain.decoding import Rejection
from groundswell.ingest.domain.documents import Document, Failure, Version
from groundswell.ingest.domain.reading import Reading

Clock = Callable[[], float]
"""Wall-clock seconds."""


class Blobs(Protocol):
    async def get(self, ref: BlobRef) -> bytes:
        """Raises Rejected if the bytes are gone or are others, Unavailable if the store is away."""


class Reader(Protocol):
    async def read(self, name: str, content: bytes) -> Reading | Rejection:
        """Decode and cut, off the event loop."""

    def refuse(self, name: str, size: int) -> Rejection | None:
        """What can be said before the bytes are fetched."""


class LockedDocument(Protocol):
    """A document whose row this transaction holds; everything is kept or nothing."""

    @property
    def document(self) -> Document:
        """As it was when the row was locked."""

    async def note_revision(
        self, revision: int, *, source: str, name: str, access: Sequence[str], blob: BlobRef
    ) -> None:
        """This is the newest revision; its rights hold from here on, and it undoes a removal and its own failure."""

    async def skip_revision(self, revision: int) -> None:
        """This is the newest revision, of which nothing else is known; it undoes a removal."""

    async def held_hashes(self, content_hashes: Sequence[str]) -> Collection[str]:
        """Those of the hashes that a committed manifest of the document names and the index has under its rights."""

    async def add_version(self, version: Version, reading: Reading, wanted: Sequence[Chunk]) -> None:
        """Store text, manifest and the rows of the `wanted` chunks; a pending version before it is superseded."""

    async def restart_version(self, revision: int) -> None:
        """The newest version, not live yet, goes on under a newer revision."""

    async def fail(self, revision: int, failure: Failure) -> None:
        """Record why `revision` came to nothing; its version, if it has one, is failed."""

    async def missing_chunks(self) -> Sequence[ChunkToEmbed]:
        """Chunks of the newest version that are not live, each once, in the order of the text."""

    async def has_missing_chunks(self) -> bool: ...

    async def mark_live(self, content_hashes: Sequence[str]) -> None:
        """These chunks are in the index. Counts as a sign of life of the newest version."""

    async def commit_newest(self) -> None:
        """Make the newest version the current one."""

    async def remove(self, revision: int) -> None:
        """Drop every text and manifest; the rows of chunks stay for whoever collects them from the index."""


class Documents(Protocol):
    def locked(self, document_id: DocumentId) -> AbstractAsyncContextManager[LockedDocument | None]:
        """The document if it is known."""

    def enrolled(
        self, document_id: DocumentId, *, team: TeamId, source: str, name: str, access: Sequence[str]
    ) -> AbstractAsyncContextManager[LockedDocument]:
        """The document, made known first if need be."""

    async def claim_stranded(self, *, silent_s: float, most: int) -> Sequence[DocumentId]:
        """Documents with a pending version of which nothing was heard for `silent_s`, doubled with each claim before.

        A claim counts as having asked again, so that several replicas do not ask for the same.
        """
