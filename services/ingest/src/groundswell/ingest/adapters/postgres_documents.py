"""Documents in PostgreSQL: the schema `ingest`. A document's row is locked for as long as its transaction runs."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import LiteralString

import psycopg
from psycopg.rows import DictRow

from groundswell.common.contracts.knowledge import BlobRef, ChunkToEmbed
from groundswell.common.ids import ChunkId, DocumentId, TeamId, chunk_id, source_id
from groundswell.common.postgres import Connection, Postgres, migrate
from groundswell.common.tiers import Tier
from groundswell.ingest.adapters import document_statements as sql
from groundswell.ingest.domain.chunking import Chunk
from groundswell.ingest.domain.documents import Document, Failure, Version, VersionState
from groundswell.ingest.domain.reading import Reading


class PostgresDocuments:
    """The port `Documents`, and the resource that opens the database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def open(self) -> None:
        """Migrates. Raises Unavailable while the server is away."""
        await self._postgres.open()
        await migrate(self._postgres, "ingest", files("groundswell.ingest") / "migrations")

    async def check(self) -> None:
        await self._postgres.check()

    async def close(self) -> None:
        await self._postgres.close()

    @asynccontextmanager
    async def locked(self, document_id: DocumentId) -> AsyncIterator["LockedRow | None"]:
        async with self._postgres.transaction() as connection:
            document = await _lock(connection, document_id)
            yield LockedRow(connection, document) if document else None

    @asynccontextmanager
    async def enrolled(
        self, document_id: DocumentId, *, team: TeamId, source: str, name: str, access: Sequence[str]
    ) -> AsyncIterator["LockedRow"]:
        async with self._postgres.transaction() as connection:
            await connection.execute(
                sql.ENROL, {"id": document_id, "team": team, "source": source, "name": name, "access": list(access)}
            )
            document = await _lock(connection, document_id)
            assert document is not None  # noqa: S101 - it was just inserted, and rows are never deleted
            yield LockedRow(connection, document)

    async def claim_stranded(self, *, silent_s: float, most: int) -> Sequence[DocumentId]:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(sql.CLAIM_STRANDED, {"silent_s": silent_s, "most": most})
            return [DocumentId(row["document_id"]) for row in await cursor.fetchall()]


class LockedRow:
    """The port `LockedDocument`. `_newest` follows what this transaction adds."""

    def __init__(self, connection: Connection, document: Document) -> None:
        self._connection = connection
        self._document = document
        self._newest = document.versions

    @property
    def document(self) -> Document:
        return self._document

    async def note_revision(
        self, revision: int, *, source: str, name: str, access: Sequence[str], blob: BlobRef
    ) -> None:
        await self._execute(
            sql.NOTE_REVISION,
            revision=revision,
            source=source,
            source_id=source_id(self._document.team, source),
            team=self._document.team,
            name=name,
            access=list(access),
            blob_key=blob.key,
            content_sha256=blob.sha256,
            bytes=blob.size,
        )

    async def skip_revision(self, revision: int) -> None:
        await self._execute(sql.SKIP_REVISION, revision=revision)

    async def held_hashes(self, content_hashes: Sequence[str]) -> Collection[str]:
        cursor = await self._execute(sql.HELD_HASHES, hashes=list(content_hashes))
        return {row["content_hash"] for row in await cursor.fetchall()}

    async def add_version(self, version: Version, reading: Reading, wanted: Sequence[Chunk]) -> None:
        await self._execute(sql.SUPERSEDE_UNCOMMITTED)
        self._newest = version.number
        await self._execute(
            sql.ADD_VERSION,
            revision=version.revision,
            content_sha256=version.content_sha256,
            text=reading.text,
            title=version.title,
            file_type=version.file_type,
            chunks=version.chunks,
            chunks_to_embed=version.chunks_to_embed,
            state=version.state.value,
            tier=version.tier.value,
            updated_at=version.updated,
        )
        await self._want(reading.text, wanted)
        await self._add_manifest(reading.chunks)

    async def restart_version(self, revision: int) -> None:
        await self._execute(sql.RESTART_VERSION, revision=revision)

    async def fail(self, revision: int, failure: Failure) -> None:
        await self._execute(sql.FAIL, revision=revision, code=failure.code, reason=failure.reason)

    async def missing_chunks(self) -> Sequence[ChunkToEmbed]:
        cursor = await self._execute(sql.MISSING_CHUNKS)
        return [
            ChunkToEmbed(chunk_id=ChunkId(str(row["chunk_id"])), content_hash=row["content_hash"], text=row["text"])
            for row in await cursor.fetchall()
        ]

    async def has_missing_chunks(self) -> bool:
        cursor = await self._execute(sql.HAS_MISSING_CHUNKS)
        row = await cursor.fetchone()
        return bool(row and row["has_missing"])

    async def mark_live(self, content_hashes: Sequence[str]) -> None:
        await self._execute(sql.MARK_LIVE, hashes=list(content_hashes))

    async def commit_newest(self) -> None:
        await self._execute(sql.SUPERSEDE_CURRENT)
        await self._execute(sql.COMMIT_NEWEST)

    async def remove(self, revision: int) -> None:
        await self._execute(sql.DROP_VERSIONS)
        await self._execute(sql.EMPTY_CHUNKS)
        await self._execute(sql.MARK_REMOVED, revision=revision)

    async def _want(self, text: str, wanted: Sequence[Chunk]) -> None:
        rows = [
            {
                "id": self._document.id,
                "content_hash": chunk.content_hash,
                "chunk_id": chunk_id(self._document.id, chunk.content_hash),
                "text": text[chunk.overlap_start : chunk.end],
            }
            for chunk in wanted
        ]
        async with self._connection.cursor() as cursor:
            await cursor.executemany(sql.WANT_CHUNK, rows)

    async def _add_manifest(self, chunks: Sequence[Chunk]) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(sql.COPY_MANIFEST) as copy:
            for chunk in chunks:
                place = (chunk.overlap_start, chunk.start, chunk.end)
                await copy.write_row(
                    (
                        self._document.id,
                        self._newest,
                        chunk.ordinal,
                        chunk.content_hash,
                        *place,
                        list(chunk.heading_path),
                    )
                )

    async def _execute(self, statement: LiteralString, **values: object) -> psycopg.AsyncCursor[DictRow]:
        return await self._connection.execute(statement, {"id": self._document.id, "newest": self._newest, **values})


async def _lock(connection: Connection, document_id: DocumentId) -> Document | None:
    row = await _one(connection, sql.LOCK, id=document_id)
    if row is None:
        return None
    version = await _one(connection, sql.NEWEST_VERSION, id=document_id, newest=row["newest_version"])
    failure = await _one(connection, sql.FAILURE, id=document_id, revision=row["newest_revision"])
    return Document(
        id=DocumentId(row["id"]),
        team=TeamId(row["team"]),
        source=row["source"],
        name=row["name"],
        access=tuple(row["access"]),
        newest_revision=row["newest_revision"],
        is_deleted=row["is_deleted"],
        versions=row["newest_version"],
        newest=_version(version) if version else None,
        failure=Failure(failure["code"], failure["reason"]) if failure else None,
    )


def _version(row: DictRow) -> Version:
    return Version(
        number=row["version"],
        revision=row["revision"],
        content_sha256=row["content_sha256"],
        state=VersionState(row["state"]),
        title=row["title"],
        file_type=row["file_type"],
        updated=row["updated_at"],
        tier=Tier(row["tier"]),
        chunks=row["chunks"],
        chunks_to_embed=row["chunks_to_embed"],
    )


async def _one(connection: Connection, statement: LiteralString, **values: object) -> DictRow | None:
    cursor = await connection.execute(statement, values)
    return await cursor.fetchone()
