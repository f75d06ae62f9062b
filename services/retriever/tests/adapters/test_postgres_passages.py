"""The view read as the retriever, on a real PostgreSQL: one with rows of our own, and the one of ingest, empty."""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from groundswell.common.errors import Unavailable
from groundswell.common.ids import ChunkId, TeamId
from groundswell.common.postgres import Postgres, migrate
from groundswell.retriever.adapters.postgres_passages import PostgresPassages

if TYPE_CHECKING:
    from groundswell.native.testing import FreshDatabase

pytestmark = pytest.mark.connected
BLUE, GREEN = TeamId("blue"), TeamId("green")
UPDATED = datetime(2026, 11, 1, tzinfo=UTC)
VIEW = """
CREATE TABLE passages (chunk_id uuid, document_id text, team text, content_hash text, version integer, ordinal integer,
    start_offset integer, end_offset integer, heading text[], page integer, title text, file_type text, source text,
    name text, updated_at timestamptz, access text[], text text);
CREATE VIEW current_passages AS SELECT * FROM passages;
GRANT SELECT ON current_passages TO retriever;
"""


@dataclass
class Ingest:
    """Owns the view and fills it."""

    postgres: Postgres

    async def add(
        self,
        text: str,
        *,
        chunk: ChunkId | None = None,
        team: str = "blue",
        ordinal: int = 0,
        access: Sequence[str] = (),
    ) -> ChunkId:
        chunk = chunk or ChunkId(str(uuid.uuid4()))
        rights = list(access) or [f"team:{team}"]
        async with self.postgres.transaction() as connection:
            await connection.execute(
                "INSERT INTO passages VALUES (%s, 'doc_1', %s, 'hash', 3, %s, 5, %s, %s, 7, 'A guide', 'markdown',"
                " 'docs', 'guide.md', %s, %s, %s)",
                [chunk, team, ordinal, 5 + len(text), ["Guide", "Setup"], UPDATED, rights, text],
            )
        return chunk

    async def execute(self, statements: str) -> None:
        async with self.postgres.transaction() as connection:
            await connection.execute(statements.encode())


@pytest.fixture
async def owner(fresh_database: "FreshDatabase") -> AsyncIterator[Postgres]:
    postgres = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=1)
    await postgres.open()
    yield postgres
    await postgres.close()


@pytest.fixture
async def ingest(owner: Postgres) -> Ingest:
    ingest = Ingest(owner)
    await ingest.execute(VIEW)
    return ingest


@pytest.fixture
async def unopened(fresh_database: "FreshDatabase") -> AsyncIterator[PostgresPassages]:
    passages = PostgresPassages(Postgres(SecretStr(fresh_database.dsns["retriever"]), size=1))
    yield passages
    await passages.close()


@pytest.fixture
async def passages(ingest: Ingest, unopened: PostgresPassages) -> PostgresPassages:
    await unopened.open()
    return unopened


async def test_a_chunk_comes_with_its_core_and_its_place(ingest: Ingest, passages: PostgresPassages) -> None:
    wanted = await ingest.add("Überlauf 🌊. ", ordinal=1)
    await ingest.add("Not asked for.")
    (chunk,) = await passages.current([wanted], teams=[BLUE], access=["team:blue"])
    assert (chunk.text, chunk.start, chunk.end, chunk.ordinal) == ("Überlauf 🌊. ", 5, 17, 1)
    assert (chunk.chunk_id, chunk.heading, chunk.version, chunk.page) == (wanted, ("Guide", "Setup"), 3, 7)
    assert (chunk.title, chunk.name, chunk.source, chunk.file_type) == ("A guide", "guide.md", "docs", "markdown")
    assert chunk.updated == UPDATED


@pytest.mark.parametrize(
    ("access", "seen"),
    [
        (["team:blue"], False),
        (["group:ops"], True),
        (["team:blue", "group:ops"], True),
        (["group:%", "group:op", "GROUP:OPS"], False),
        ([], False),
    ],
)
async def test_rights_are_those_of_now(
    ingest: Ingest, passages: PostgresPassages, access: list[str], *, seen: bool
) -> None:
    chunk = await ingest.add("Text.")
    await ingest.execute("UPDATE passages SET access = ARRAY['group:ops', 'group:lead']")
    assert bool(await passages.current([chunk], teams=[BLUE], access=access)) is seen


async def test_other_teams_are_out_of_reach_whatever_their_access(ingest: Ingest, passages: PostgresPassages) -> None:
    chunk = await ingest.add("Text.", team="green", access=["team:blue"])
    assert await passages.current([chunk], teams=[BLUE], access=["team:blue"]) == []
    assert len(await passages.current([chunk], teams=[BLUE, GREEN], access=["team:blue"])) == 1


async def test_a_chunk_that_is_in_no_current_version_is_not_returned(
    ingest: Ingest, passages: PostgresPassages
) -> None:
    await ingest.add("Text.")
    assert await passages.current([ChunkId(str(uuid.uuid4()))], teams=[BLUE], access=["team:blue"]) == []


async def test_a_chunk_that_occurs_twice_has_two_places(ingest: Ingest, passages: PostgresPassages) -> None:
    chunk = await ingest.add("Same.", ordinal=1)
    await ingest.add("Same.", chunk=chunk, ordinal=4)
    places = await passages.current([chunk], teams=[BLUE], access=["team:blue"])
    assert sorted(place.ordinal for place in places) == [1, 4]


async def test_the_retriever_waits_until_ingest_has_made_the_view(owner: Postgres, unopened: PostgresPassages) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match="current_passages"):
            await unopened.open()
    await Ingest(owner).execute(VIEW)
    await unopened.open()
    await unopened.check()


async def test_a_view_that_is_taken_away_makes_it_unavailable(ingest: Ingest, passages: PostgresPassages) -> None:
    chunk = await ingest.add("Text.")
    await ingest.execute("REVOKE SELECT ON current_passages FROM retriever")
    with pytest.raises(Unavailable, match="current_passages"):
        await passages.current([chunk], teams=[BLUE], access=["team:blue"])


async def test_the_view_of_ingest_has_what_is_read_and_nothing_else_is_readable(
    fresh_database: "FreshDatabase", owner: Postgres, unopened: PostgresPassages
) -> None:
    await migrate(owner, "ingest", files("groundswell.ingest") / "migrations")
    await unopened.open()
    assert await unopened.current([ChunkId(str(uuid.uuid4()))], teams=[BLUE], access=["team:blue"]) == []
    async with await psycopg.AsyncConnection.connect(fresh_database.dsns["retriever"]) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("SELECT * FROM ingest.documents")
