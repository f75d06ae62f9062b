"""Messages of made-up documents, and documents in memory or in PostgreSQL."""

import copy
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr

from groundswell.common.contracts.knowledge import BlobRef, ChunkToEmbed
from groundswell.common.ids import ChunkId, DocumentId, TeamId, chunk_id
from groundswell.common.postgres import Postgres
from groundswell.ingest.adapters.postgres_documents import PostgresDocuments
from groundswell.ingest.domain.chunking import Chunk
from groundswell.ingest.domain.documents import Document, Failure, Version, VersionState
from groundswell.ingest.domain.reading import Reading
from groundswell.ingest.ports import Documents, LockedDocument


@dataclass
class StoredDocument:
    """Everything of one document."""

    row: Document
    texts: dict[int, Reading] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    live: dict[str, bool] = field(default_factory=dict)
    access: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    is_silent: bool = False


class MemoryDocuments:
    """The port `Documents` in memory: a block's changes are kept when it ends well."""

    def __init__(self) -> None:
        self.stored: dict[DocumentId, StoredDocument] = {}

    @asynccontextmanager
    async def locked(self, document_id: DocumentId) -> AsyncIterator[LockedDocument | None]:
        if document_id not in self.stored:
            yield None
            return
        draft = copy.deepcopy(self.stored[document_id])
        yield MemoryRow(draft)
        self.stored[document_id] = draft

    @asynccontextmanager
    async def enrolled(
        self, document_id: DocumentId, *, team: TeamId, source: str, name: str, access: Sequence[str]
    ) -> AsyncIterator[LockedDocument]:
        row = Document(
            id=document_id,
            team=team,
            source=source,
            name=name,
            access=tuple(access),
            newest_revision=None,
            is_deleted=False,
        )
        self.stored.setdefault(document_id, StoredDocument(row))
        async with self.locked(document_id) as locked:
            assert locked is not None
            yield locked

    async def claim_stranded(self, *, silent_s: float, most: int) -> Sequence[DocumentId]:
        pending = [
            document_id
            for document_id, stored in self.stored.items()
            if stored.row.newest and stored.row.newest.state is VersionState.PENDING
        ]
        return pending[:most] if silent_s == 0 else []


class MemoryRow:
    """The port `LockedDocument` in memory."""

    def __init__(self, stored: StoredDocument) -> None:
        self._stored = stored
        self._document = replace(
            stored.row, failure=stored.failures.get(stored.row.newest_revision) if stored.row.newest_revision else None
        )

    @property
    def document(self) -> Document:
        return self._document

    async def note_revision(
        self, revision: int, *, source: str, name: str, access: Sequence[str], blob: BlobRef
    ) -> None:
        self._stored.row = replace(
            self._stored.row,
            newest_revision=revision,
            source=source,
            name=name,
            access=tuple(access),
            is_deleted=False,
        )
        self._stored.failures.pop(revision, None)

    async def skip_revision(self, revision: int) -> None:
        self._stored.row = replace(self._stored.row, newest_revision=revision, is_deleted=False)

    async def held_hashes(self, content_hashes: Sequence[str]) -> Collection[str]:
        held = {chunk.content_hash for number in self._stored.committed for chunk in self._stored.texts[number].chunks}
        return {each for each in held & set(content_hashes) if self._stored.access[each] == self._stored.row.access}

    async def add_version(self, version: Version, reading: Reading, wanted: Sequence[Chunk]) -> None:
        self._stored.row = replace(self._stored.row, newest=version, versions=version.number)
        self._stored.texts[version.number] = reading
        self._stored.live |= {chunk.content_hash: False for chunk in wanted}
        self._stored.access |= {chunk.content_hash: self._stored.row.access for chunk in wanted}

    async def restart_version(self, revision: int) -> None:
        self._change_newest(revision=revision, state=VersionState.PENDING)

    async def fail(self, revision: int, failure: Failure) -> None:
        self._stored.failures[revision] = failure
        newest = self._stored.row.newest
        if newest and newest.revision == revision and newest.state is VersionState.PENDING:
            self._change_newest(state=VersionState.FAILED)

    async def missing_chunks(self) -> Sequence[ChunkToEmbed]:
        reading = self._stored.texts[self._stored.row.versions]
        texts = {chunk.content_hash: reading.text[chunk.overlap_start : chunk.end] for chunk in reading.chunks}
        return [
            ChunkToEmbed(chunk_id=self._chunk_id(content_hash), content_hash=content_hash, text=text)
            for content_hash, text in texts.items()
            if not self._stored.live[content_hash]
        ]

    async def has_missing_chunks(self) -> bool:
        return bool(await self.missing_chunks())

    async def mark_live(self, content_hashes: Sequence[str]) -> None:
        self._stored.live |= {each: True for each in content_hashes if each in self._stored.live}

    async def commit_newest(self) -> None:
        assert self._stored.row.newest is not None
        self._change_newest(state=VersionState.LIVE)
        self._stored.committed.add(self._stored.row.versions)
        self._stored.failures = {
            revision: failure
            for revision, failure in self._stored.failures.items()
            if revision > self._stored.row.newest.revision
        }

    async def remove(self, revision: int) -> None:
        self._stored.row = replace(self._stored.row, newest_revision=revision, newest=None, is_deleted=True)
        self._stored.committed.clear()
        self._stored.failures.clear()

    def _chunk_id(self, content_hash: str) -> ChunkId:
        return chunk_id(self._stored.row.id, content_hash)

    def _change_newest(self, **changes: object) -> None:
        assert self._stored.row.newest is not None
        newest = replace(self._stored.row.newest, **changes)  # type: ignore[arg-type]
        self._stored.row = replace(self._stored.row, newest=newest)


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.connected)])
async def documents(request: pytest.FixtureRequest) -> AsyncIterator[Documents]:
    """Both keep the same promises, so every test of handlers runs on both."""
    if request.param == "memory":
        yield MemoryDocuments()
        return
    database = request.getfixturevalue("fresh_database")
    opened = PostgresDocuments(Postgres(SecretStr(database.dsns["ingest"]), size=4))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def stored_documents(fresh_database: object) -> AsyncIterator[PostgresDocuments]:
    opened = PostgresDocuments(Postgres(SecretStr(fresh_database.dsns["ingest"]), size=4))  # type: ignore[attr-defined]
    await opened.open()
    yield opened
    await opened.close()
