"""Documents in the real PostgreSQL: what others see in the views, locks, and what a statement costs."""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.ids import DocumentId, TeamId, chunk_id, document_id
from groundswell.common.tiers import Tier
from groundswell.ingest.adapters.postgres_documents import PostgresDocuments
from groundswell.ingest.domain.changes import distinct, to_embed
from groundswell.ingest.domain.documents import Failure, Version, VersionState
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.reading import Reading, read

pytestmark = pytest.mark.connected

RED = TeamId("red")
ID = document_id(RED, "docs", "guide.md")
WORD = re.compile(r"\w+|[^\w\s]")
LIMITS = ChunkLimits(limit_tokens=40, core_tokens=20, small_tokens=4, overlap_tokens=15)
SENTENCES = " ".join(f"This is sentence number {number}." for number in range(12))
TEXT = f"# Guide\n\nIntro with umlauts \u00e4\u00f6\u00fc and \U0001f600 here.\n\n## Use\n\n{SENTENCES}\n"
EDITED = TEXT.replace("number 11", "number eleven")
Row = psycopg.Connection[DictRow]


def reading_of(text: str) -> Reading:
    reading = read(
        "guide.md",
        text.encode(),
        limit_bytes=1_000_000,
        token_offsets=lambda part: [match.span() for match in WORD.finditer(part)],
        chunk_limits=LIMITS,
    )
    assert isinstance(reading, Reading)
    return reading


async def add(
    documents: PostgresDocuments, text: str, revision: int, *, known: DocumentId = ID, live: bool = True
) -> int:
    """Store `text` as the newest version, commit it if `live`, and return how many chunks were wanted."""
    reading, blob = reading_of(text), BlobRef(key="k", size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
    async with documents.enrolled(known, team=RED, source="docs", name="guide.md", access=["team:red"]) as locked:
        await locked.note_revision(revision, source="docs", name="guide.md", access=["team:red"], blob=blob)
        chunks = distinct(reading.chunks)
        wanted = to_embed(chunks, set(await locked.held_hashes([chunk.content_hash for chunk in chunks])))
        version = Version(
            number=locked.document.versions + 1,
            revision=revision,
            content_sha256=blob.sha256,
            state=VersionState.PENDING,
            title=reading.title,
            file_type=reading.file_type.value,
            updated=datetime(2026, 1, 1, tzinfo=UTC),
            tier=Tier.STANDARD,
            chunks=len(reading.chunks),
            chunks_to_embed=len(wanted),
        )
        await locked.add_version(version, reading, wanted)
        if live:
            await locked.mark_live([chunk.content_hash for chunk in wanted])
            await locked.commit_newest()
    return len(wanted)


def connect(dsn: str) -> Row:
    return psycopg.connect(dsn, row_factory=dict_row, autocommit=True)


@pytest.fixture
def retriever(fresh_database: Any) -> Iterator[Row]:
    with connect(fresh_database.dsns["retriever"]) as connection:
        yield connection


@pytest.fixture
def orchestrator(fresh_database: Any) -> Iterator[Row]:
    with connect(fresh_database.dsns["orchestrator"]) as connection:
        yield connection


@pytest.fixture
def owner(fresh_database: Any) -> Iterator[Row]:
    with connect(fresh_database.dsns["ingest"]) as connection:
        yield connection


def passages(retriever: Row) -> list[DictRow]:
    return retriever.execute("SELECT * FROM ingest.current_passages ORDER BY document_id, ordinal").fetchall()


class TestCurrentPassages:
    async def test_the_cores_of_the_live_version_make_up_its_text(
        self, stored_documents: PostgresDocuments, retriever: Row
    ) -> None:
        await add(stored_documents, TEXT, 1)
        rows = passages(retriever)
        assert "".join(row["text"] for row in rows) == TEXT
        assert all(row["text"] == TEXT[row["start_offset"] : row["end_offset"]] for row in rows)
        assert all(str(row["chunk_id"]) == chunk_id(ID, row["content_hash"]) for row in rows)
        assert rows[0]["heading"] == ["Guide"]
        assert rows[-1]["heading"] == ["Guide", "Use"]
        assert rows[0].keys() >= {
            "team",
            "version",
            "title",
            "file_type",
            "source",
            "name",
            "updated_at",
            "access",
            "page",
        }

    async def test_a_pending_version_is_not_seen(self, stored_documents: PostgresDocuments, retriever: Row) -> None:
        await add(stored_documents, TEXT, 1, live=False)
        assert passages(retriever) == []

    async def test_the_old_text_goes_when_the_new_one_commits(
        self, stored_documents: PostgresDocuments, retriever: Row
    ) -> None:
        await add(stored_documents, TEXT, 1)
        wanted = await add(stored_documents, EDITED, 2, live=False)
        assert {row["version"] for row in passages(retriever)} == {1}
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            assert await locked.has_missing_chunks()
            missing = await locked.missing_chunks()
            assert 1 <= len(missing) == wanted < 3
            await locked.mark_live([chunk.content_hash for chunk in missing])
            assert not await locked.has_missing_chunks()
            await locked.commit_newest()
        assert {row["version"] for row in passages(retriever)} == {2}
        assert "".join(row["text"] for row in passages(retriever)) == EDITED

    async def test_a_removed_document_is_gone_and_its_texts_with_it(
        self, stored_documents: PostgresDocuments, retriever: Row, owner: Row
    ) -> None:
        await add(stored_documents, TEXT, 1)
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            await locked.remove(2)
        assert passages(retriever) == []
        assert owner.execute("SELECT 1 FROM ingest.document_versions").fetchall() == []
        assert {row["text"] for row in owner.execute("SELECT text FROM ingest.chunks").fetchall()} == {""}

    async def test_a_text_that_comes_back_after_its_removal_is_whole(
        self, stored_documents: PostgresDocuments, retriever: Row
    ) -> None:
        first = await add(stored_documents, TEXT, 1)
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            await locked.remove(2)
        assert await add(stored_documents, TEXT, 3) == first
        assert "".join(row["text"] for row in passages(retriever)) == TEXT

    async def test_the_retriever_reads_this_view_and_nothing_else(
        self, stored_documents: PostgresDocuments, retriever: Row
    ) -> None:
        for name in (
            "documents",
            "document_versions",
            "chunks",
            "manifest_entries",
            "documents_overview",
            "document_texts",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                retriever.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier("ingest", name)))


class TestOverview:
    def row(self, orchestrator: Row) -> DictRow:
        row = orchestrator.execute("SELECT * FROM ingest.documents_overview").fetchone()
        assert row is not None
        return row

    async def test_the_life_of_a_document(self, stored_documents: PostgresDocuments, orchestrator: Row) -> None:
        async with stored_documents.enrolled(ID, team=RED, source="docs", name="guide.md", access=["team:red"]):
            pass
        assert self.row(orchestrator)["state"] == "reading"
        await add(stored_documents, TEXT, 1, live=False)
        pending = self.row(orchestrator)
        assert (pending["state"], pending["version"], pending["newest_version"]) == ("pending", None, 1)
        await add(stored_documents, TEXT, 2)
        live = self.row(orchestrator)
        assert (live["state"], live["version"], live["title"], live["revision"]) == ("live", 2, "Guide", 2)
        assert live["chunks"] == len(reading_of(TEXT).chunks)
        assert live["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()

    async def test_a_failure_is_shown_until_a_newer_revision(
        self, stored_documents: PostgresDocuments, orchestrator: Row
    ) -> None:
        await add(stored_documents, TEXT, 1)
        blob = BlobRef(key="k", size=3, sha256="other")
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            await locked.note_revision(2, source="docs", name="guide.md", access=["team:red"], blob=blob)
            await locked.fail(2, Failure("not_utf8", "Save it as UTF-8."))
        failed = self.row(orchestrator)
        assert (failed["state"], failed["version"], failed["failure_reason"]) == ("failed", 1, "Save it as UTF-8.")
        assert (failed["sha256"], failed["bytes"]) == ("other", 3)
        await add(stored_documents, EDITED, 3)
        assert (self.row(orchestrator)["state"], self.row(orchestrator)["failure_reason"]) == ("live", None)

    async def test_the_texts_of_committed_versions_can_be_read(
        self, stored_documents: PostgresDocuments, orchestrator: Row
    ) -> None:
        await add(stored_documents, TEXT, 1)
        await add(stored_documents, EDITED, 2)
        await add(stored_documents, TEXT + "More.\n", 3, live=False)
        rows = orchestrator.execute("SELECT * FROM ingest.document_texts ORDER BY version").fetchall()
        assert [(row["version"], row["is_current"], row["text"]) for row in rows] == [
            (1, False, TEXT),
            (2, True, EDITED),
        ]


class TestLocks:
    async def test_one_document_is_changed_by_one_at_a_time(self, stored_documents: PostgresDocuments) -> None:
        texts = [TEXT + f"Edit {number}.\n" for number in range(6)]
        await asyncio.gather(*(add(stored_documents, text, number + 1) for number, text in enumerate(texts)))
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            assert locked.document.versions == len(texts)

    async def test_a_block_that_fails_leaves_nothing(self, stored_documents: PostgresDocuments, retriever: Row) -> None:
        await add(stored_documents, TEXT, 1)

        async def break_off() -> None:
            async with stored_documents.locked(ID) as locked:
                assert locked is not None
                await locked.remove(2)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await break_off()
        assert "".join(row["text"] for row in passages(retriever)) == TEXT

    async def test_documents_of_others_are_not_in_the_way(self, stored_documents: PostgresDocuments) -> None:
        other = document_id(RED, "docs", "other.md")
        await add(stored_documents, TEXT, 1)
        async with stored_documents.locked(ID):
            async with asyncio.timeout(10):
                await add(stored_documents, TEXT, 1, known=other)


class TestStranded:
    def silence(self, owner: Row, seconds: float) -> None:
        owner.execute(
            "UPDATE ingest.document_versions SET embed_asked_at = now() - make_interval(secs => %s)", [seconds]
        )

    async def test_a_claim_doubles_the_silence_that_the_next_one_needs(
        self, stored_documents: PostgresDocuments, owner: Row
    ) -> None:
        await add(stored_documents, TEXT, 1, live=False)
        claims = []
        for silent_s in (50, 150, 150, 250, 350, 450):
            self.silence(owner, silent_s)
            claims.append(len(await stored_documents.claim_stranded(silent_s=100, most=10)))
        assert claims == [0, 1, 0, 1, 0, 1]

    async def test_a_reply_is_a_sign_of_life(self, stored_documents: PostgresDocuments, owner: Row) -> None:
        await add(stored_documents, TEXT, 1, live=False)
        self.silence(owner, 1000)
        async with stored_documents.locked(ID) as locked:
            assert locked is not None
            await locked.mark_live([])
        assert await stored_documents.claim_stranded(silent_s=100, most=10) == []

    async def test_replicas_claim_different_documents(self, stored_documents: PostgresDocuments, owner: Row) -> None:
        for number in range(20):
            await add(stored_documents, TEXT, 1, known=document_id(RED, "docs", f"{number}.md"), live=False)
        self.silence(owner, 1000)
        claims = await asyncio.gather(*(stored_documents.claim_stranded(silent_s=100, most=6) for _ in range(4)))
        claimed = [each for claim in claims for each in claim]
        assert len(claimed) == len(set(claimed)) >= 6


FILL = """
WITH made AS (
    INSERT INTO ingest.documents (id, team, source, name, access, newest_revision, newest_version, current_version)
    SELECT 'doc_' || d, 'red', 'docs', d || '.md', '{team:red}', 1, 2, 2 FROM generate_series(1, 100) AS d RETURNING id
), versions AS (
    INSERT INTO ingest.document_versions (document_id, version, revision, content_sha256, text, title, file_type,
        chunks, chunks_to_embed, state, tier, updated_at, committed_at)
    SELECT id, v, v, '', '', '', 'text', 1000, 0, CASE v WHEN 2 THEN 'live' ELSE 'superseded' END, 'bulk', now(), now()
    FROM made, generate_series(1, 2) AS v RETURNING document_id, version
), chunks AS (
    INSERT INTO ingest.chunks (document_id, content_hash, chunk_id, text, state, access)
    SELECT id, md5(n::text), md5(id || '/' || n)::uuid, repeat('word ', 150), 'live', '{team:red}'
    FROM made, generate_series(0, 999) AS n RETURNING document_id, content_hash
)
INSERT INTO ingest.manifest_entries
    (document_id, version, ordinal, content_hash, overlap_start, start_offset, end_offset, heading)
SELECT document_id, version, n, md5(n::text), n * 700, n * 700, n * 700 + 700, '{}'
FROM versions, generate_series(0, 999) AS n
"""


def scans(plan: Any) -> list[tuple[str, str, float]]:
    """Node type, relation and rows read of every scan in a plan."""
    found = []
    if "Relation Name" in plan:
        rows = plan["Actual Rows"] * plan["Actual Loops"]
        found.append((plan["Node Type"], plan["Relation Name"], rows + plan.get("Rows Removed by Filter", 0)))
    for child in plan.get("Plans", []):
        found += scans(child)
    return found


FEW_ROWS = 600
"""Of 300,000: ten for each passage, and a table of a hundred rows may well be read whole."""


class TestSize:
    def cost(self, owner: Row, query: str, values: list[object]) -> float:
        """Rows that the query touched."""
        row = owner.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values).fetchone()
        assert row is not None
        plan = row["QUERY PLAN"]
        steps = scans((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        return sum(rows for _, _, rows in steps)

    async def test_the_view_touches_what_it_is_asked_for_whatever_the_size(
        self, stored_documents: PostgresDocuments, owner: Row
    ) -> None:
        owner.execute(FILL)
        owner.execute("ANALYZE")
        some = owner.execute("SELECT chunk_id FROM ingest.chunks ORDER BY md5(chunk_id::text) LIMIT 50").fetchall()
        ids = [row["chunk_id"] for row in some]
        by_chunk = "SELECT * FROM ingest.current_passages WHERE chunk_id = ANY(%s)"
        assert len(owner.execute(by_chunk, [ids]).fetchall()) == 50
        assert self.cost(owner, by_chunk, [ids]) <= FEW_ROWS
        neighbours = "SELECT * FROM ingest.current_passages WHERE document_id = %s AND ordinal BETWEEN %s AND %s"
        assert self.cost(owner, neighbours, ["doc_7", 400, 404]) <= FEW_ROWS
