"""What answers may be made of: the view that ingest grants, read with a role that can do nothing else."""

from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from groundswell.common.errors import Unavailable
from groundswell.common.ids import ChunkId, DocumentId, TeamId
from groundswell.common.postgres import Postgres
from groundswell.retriever.domain.chunks import CurrentChunk

_CURRENT = """
SELECT chunk_id, document_id, team, content_hash, version, ordinal, start_offset, end_offset, heading, page, title,
       file_type, source, name, updated_at, text
FROM ingest.current_passages
WHERE chunk_id = ANY(%(chunk_ids)s::uuid[]) AND team = ANY(%(teams)s::text[]) AND access && %(access)s::text[]
"""
_IS_THERE = "SELECT 1 FROM ingest.current_passages LIMIT 0"


class PostgresPassages:
    """Reads `ingest.current_passages`. Unavailable while the server is away or ingest has not made the view yet."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._is_open = False

    async def open(self) -> None:
        if not self._is_open:
            await self._postgres.open()
            self._is_open = True
        await self.check()

    async def check(self) -> None:
        await self._rows(_IS_THERE, {})

    async def close(self) -> None:
        await self._postgres.close()

    async def current(
        self, chunk_ids: Collection[ChunkId], *, teams: Collection[TeamId], access: Collection[str]
    ) -> list[CurrentChunk]:
        wanted = {"chunk_ids": list(chunk_ids), "teams": list(teams), "access": list(access)}
        return [_chunk(row) for row in await self._rows(_CURRENT, wanted)]

    async def _rows(self, statement: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
        try:
            async with self._postgres.transaction() as connection:
                cursor = await connection.execute(statement, values)
                return await cursor.fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            raise Unavailable("PostgreSQL: the view ingest.current_passages is not there yet") from error


def _chunk(row: Mapping[str, Any]) -> CurrentChunk:
    return CurrentChunk(
        chunk_id=ChunkId(str(row["chunk_id"])),
        document_id=DocumentId(row["document_id"]),
        team=TeamId(row["team"]),
        content_hash=row["content_hash"],
        version=row["version"],
        ordinal=row["ordinal"],
        start=row["start_offset"],
        end=row["end_offset"],
        heading=tuple(row["heading"]),
        title=row["title"],
        source=row["source"],
        name=row["name"],
        file_type=row["file_type"],
        updated=row["updated_at"],
        text=row["text"],
        page=row["page"],
    )
