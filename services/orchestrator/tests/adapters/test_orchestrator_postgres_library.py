"""The library in the real PostgreSQL, over the views that ingest's own migrations make."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from groundswell.common.blobs import Blobs
from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.envelope import LONGEST_REMAINING_MS, Envelope, ReplyAddress, parse
from groundswell.common.bus.messages import Origin, Received
from groundswell.common.bus.publisher import Publisher
from groundswell.common.contracts.knowledge import (
    BlobRef,
    DocumentEvent,
    DocumentRemoved,
    IngestDocument,
    RemoveDocument,
)
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.ids import CorrelationId, DocumentId, KeyId, TeamId, document_id, new_message_id
from groundswell.common.outbox import Outbox
from groundswell.common.postgres import Postgres, migrate
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier
from groundswell.common.topics import DOCUMENT_LIFECYCLE, INGEST_REPLIES
from groundswell.orchestrator.adapters.postgres_database import Database
from groundswell.orchestrator.adapters.postgres_library import PostgresLibrary
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.handlers import drop_older_uploads

pytestmark = pytest.mark.connected

INGEST_MIGRATIONS = Path(__file__).parents[3] / "ingest" / "src" / "groundswell" / "ingest" / "migrations"
BLUE = Caller(key=KeyId("key_1"), team=TeamId("blue"), groups=("ops",))
GREEN = Caller(key=KeyId("key_2"), team=TeamId("green"))
SHARED = Caller(key=KeyId("key_3"), team=TeamId("shared"), operator=True)
MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
COMMANDS = {kind.type_name(): kind for kind in (IngestDocument, RemoveDocument)}


class Ingest:
    """Hears what is published, and stores what the service would."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.claims = Claims(None)
        self.heard: list[Any] = []
        self.envelopes: list[Envelope] = []
        self.acts_at_once = False
        self.error: BaseException | None = None
        self.look: Callable[[], Awaitable[object]] | None = None
        self.seen: object = None

    async def publish_raw(self, topic: str, value: bytes, headers: Any, *, key: bytes, **_: Any) -> None:
        if self.look is not None:
            self.seen = await self.look()
        if self.error is not None:
            raise self.error
        envelope = parse(headers)
        command = COMMANDS[envelope.type].model_validate_json(value)
        assert key.decode() == command.document_id
        self.envelopes.append(envelope)
        self.heard.append(command)
        if self.acts_at_once:
            await self.act(command)

    async def act(self, command: IngestDocument | RemoveDocument, *, failure: str | None = None) -> None:
        if isinstance(command, RemoveDocument):
            await self._execute(
                "UPDATE ingest.documents SET deleted_at = now(), newest_revision = %(revision)s,"
                " current_version = NULL WHERE id = %(document_id)s",
                command.model_dump(),
            )
            return
        row = command.model_dump() | {"access": list(command.access), "sha256": command.blob.sha256}
        await self._execute(
            "INSERT INTO ingest.documents (id, team, source, name, access, newest_revision, content_sha256, bytes)"
            " VALUES (%(document_id)s, %(team)s, %(source)s, %(name)s, %(access)s, %(revision)s, %(sha256)s, 7)"
            " ON CONFLICT (id) DO UPDATE SET newest_revision = %(revision)s, content_sha256 = %(sha256)s,"
            " deleted_at = NULL",
            row,
        )
        if failure:
            await self._execute(
                "INSERT INTO ingest.failures (document_id, revision, code, reason)"
                " VALUES (%(document_id)s, %(revision)s, 'unreadable', %(failure)s)",
                row | {"failure": failure},
            )

    async def commit(self, document: DocumentId, version: int, text: str) -> None:
        row = {"id": document, "version": version, "text": text, "moment": MOMENT}
        await self._execute(
            "INSERT INTO ingest.document_versions (document_id, version, revision, content_sha256, text, title,"
            " file_type, chunks, chunks_to_embed, state, tier, updated_at, committed_at) VALUES (%(id)s, %(version)s,"
            " 1, 'x', %(text)s, 'A title', 'markdown', 4, 4, 'live', 'standard', %(moment)s, now())",
            row,
        )
        await self._execute(
            "UPDATE ingest.documents SET newest_version = %(version)s, current_version = %(version)s WHERE id = %(id)s",
            row,
        )

    async def _execute(self, statement: Any, row: dict[str, Any]) -> None:
        async with self._postgres.transaction() as connection:
            await connection.execute(statement, row)


class StubbornBlobs(Blobs):
    """A store that may refuse to delete."""

    refuses = False

    async def delete(self, key: str) -> None:
        if self.refuses:
            raise Unavailable("object store")
        await super().delete(key)


class LastBlobs(Blobs):
    """A store after whose next write PostgreSQL is away."""

    def __init__(self, url: str, postgres: Postgres) -> None:
        super().__init__(url)
        self._postgres = postgres

    async def put(self, key: str, content: bytes) -> BlobRef:
        ref = await super().put(key, content)
        await self._postgres.close()
        return ref


@pytest.fixture
async def orchestrator(fresh_database: Any) -> AsyncIterator[Postgres]:
    pool = Postgres(SecretStr(fresh_database.dsns["orchestrator"]))
    database = Database(pool)
    await database.open()
    yield pool
    await database.close()


@pytest.fixture
async def ingest(fresh_database: Any, orchestrator: Postgres) -> AsyncIterator[Ingest]:
    pool = Postgres(SecretStr(fresh_database.dsns["ingest"]))
    await pool.open()
    await migrate(pool, "ingest", INGEST_MIGRATIONS)
    yield Ingest(pool)
    await pool.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


@pytest.fixture
def outbox(orchestrator: Postgres, ingest: Ingest) -> Outbox:
    return outbox_of(orchestrator, ingest)


@pytest.fixture
def library(orchestrator: Postgres, blobs: Blobs, outbox: Outbox) -> PostgresLibrary:
    return PostgresLibrary(orchestrator, blobs, outbox)


def outbox_of(postgres: Postgres, ingest: Ingest) -> Outbox:
    outbox = Outbox(postgres, "orchestrator")
    outbox.publish_by(cast("Publisher", ingest), BrokerClock())
    return outbox


async def rows(postgres: Postgres, statement: Any) -> list[Any]:
    async with postgres.transaction() as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description is not None else []


async def left_behind(postgres: Postgres) -> list[str]:
    """Message ids in the outbox, whose writers are gone from now on."""
    lapse = "UPDATE orchestrator.outbox SET leased_until = clock_timestamp() - interval '1 ms' RETURNING message_id"
    return [row["message_id"] for row in await rows(postgres, lapse)]


async def at_commit_of_a_submission(postgres: Postgres, act: str) -> None:
    function = f"CREATE FUNCTION orchestrator.act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {act} END$$"
    await rows(postgres, function)
    await rows(
        postgres,
        "CREATE CONSTRAINT TRIGGER act AFTER INSERT ON orchestrator.submissions DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION orchestrator.act()",
    )


def kept(tmp_path: Path) -> Sequence[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def _received(event: DocumentEvent) -> Received[DocumentEvent]:
    envelope = Envelope(
        message_id=new_message_id(),
        type=event.type_name(),
        source="ingest",
        correlation_id=CorrelationId(event.document_id),
        tenant=event.team,
        tier=Tier.STANDARD,
        remaining_ms=1000,
        sent_ms=0,
    )
    return Received(event, envelope, 0.0, Origin(DOCUMENT_LIFECYCLE.physical_name, 0, 0), event.document_id)


async def upload(
    library: PostgresLibrary, caller: Caller = BLUE, name: str = "faq.md", content: bytes = b"# FAQ"
) -> Any:
    return await library.upload(caller, source="docs", name=name, content=content, modified=MOMENT)


async def test_an_upload_is_kept_sent_and_shown_before_ingest_has_seen_it(
    library: PostgresLibrary, ingest: Ingest, blobs: Blobs
) -> None:
    submitted = await upload(library)
    (command,) = ingest.heard
    assert (command.document_id, command.revision) == (submitted.document_id, submitted.revision)
    assert command.access == ("team:blue",)
    assert command.modified == MOMENT
    assert await blobs.get(command.blob) == b"# FAQ"
    record = await library.document(BLUE, submitted.document_id)
    assert record is not None
    assert (record.state, record.name, record.title, record.bytes, record.version) == (
        "pending",
        "faq.md",
        "faq.md",
        5,
        None,
    )
    assert record.sha256 == command.blob.sha256


async def test_a_command_that_ingest_gives_up_comes_back_to_ingest_with_its_revision(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    submitted = await upload(library)
    await ingest.act(ingest.heard[0])
    await library.remove(BLUE, submitted.document_id)
    assert [envelope.epoch for envelope in ingest.envelopes] == [command.revision for command in ingest.heard]
    assert {envelope.reply_to for envelope in ingest.envelopes} == {ReplyAddress(INGEST_REPLIES.physical_name)}


async def test_a_document_that_ingest_gave_up_unread_shows_its_name_and_why(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    submitted = await upload(library)
    unread = ingest.heard[0].model_copy(update={"name": "", "source": ""})
    await ingest.act(unread, failure="It broke.")
    record = await library.document(BLUE, submitted.document_id)
    assert record is not None
    assert (record.state, record.failure, record.name, record.title, record.source) == (
        "failed",
        "It broke.",
        "faq.md",
        "faq.md",
        "docs",
    )


async def test_a_document_is_pending_until_ingest_has_its_newest_revision(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    first = await upload(library)
    await ingest.act(ingest.heard[0])
    await ingest.commit(first.document_id, 1, "# FAQ")
    live = await library.document(BLUE, first.document_id)
    assert live is not None
    assert (live.state, live.version, live.revision, live.title, live.chunks) == (
        "live",
        1,
        first.revision,
        "A title",
        4,
    )
    assert live.updated == MOMENT
    second = await upload(library, content=b"# FAQ 2")
    pending = await library.document(BLUE, first.document_id)
    assert pending is not None
    assert (pending.state, pending.version, pending.revision) == ("pending", 1, second.revision)
    assert await library.text(BLUE, first.document_id) == "# FAQ"


async def test_a_revision_that_cannot_be_read_says_why_and_the_earlier_text_stays(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    first = await upload(library)
    await ingest.act(ingest.heard[0])
    await ingest.commit(first.document_id, 1, "text")
    await upload(library, content=b"\xff")
    await ingest.act(ingest.heard[1], failure="Not UTF-8.")
    record = await library.document(BLUE, first.document_id)
    assert record is not None
    assert (record.state, record.failure, record.version) == ("failed", "Not UTF-8.", 1)
    assert await library.text(BLUE, first.document_id) == "text"
    assert [source.failed for source in await library.sources(BLUE)] == [1]


async def test_texts_of_versions_are_found_by_number(library: PostgresLibrary, ingest: Ingest) -> None:
    submitted = await upload(library)
    await ingest.act(ingest.heard[0])
    await ingest.commit(submitted.document_id, 1, "one")
    await ingest.commit(submitted.document_id, 2, "two")
    assert await library.text(BLUE, submitted.document_id) == "two"
    assert await library.text(BLUE, submitted.document_id, 1) == "one"
    assert await library.text(BLUE, submitted.document_id, 3) is None


async def test_lists_are_filtered_and_paged_by_id(library: PostgresLibrary, ingest: Ingest) -> None:
    ids = sorted([(await upload(library, name=f"{number}.md")).document_id for number in range(4)])
    await library.upload(BLUE, source="wiki", name="x.md", content=b"x", modified=None)
    wanted: dict[str, Any] = {"source": "docs", "states": ("pending",)}
    first = await library.documents(BLUE, **wanted, limit=3, after=None)
    rest = await library.documents(BLUE, **wanted, limit=3, after=first[-1].document_id)
    assert [record.document_id for record in (*first, *rest)] == ids
    assert await library.documents(BLUE, source=None, states=("live",), limit=9, after=None) == []
    assert [(source.name, source.documents) for source in await library.sources(BLUE)] == [("docs", 4), ("wiki", 1)]


async def test_a_removed_document_is_gone_at_once_and_may_come_back(library: PostgresLibrary, ingest: Ingest) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    await ingest.commit(submitted.document_id, 1, "text")
    assert await library.remove(BLUE, submitted.document_id)
    removal = ingest.heard[-1]
    assert isinstance(removal, RemoveDocument)
    assert removal.revision > submitted.revision
    assert await library.document(BLUE, submitted.document_id) is None
    assert await library.documents(BLUE, source=None, states=(), limit=9, after=None) == []
    assert await library.text(BLUE, submitted.document_id) is None
    assert not await library.remove(BLUE, submitted.document_id)
    ingest.acts_at_once = False
    again = await upload(library)
    record = await library.document(BLUE, again.document_id)
    assert record is not None
    assert (record.state, record.version, record.title, record.chunks) == ("pending", None, "faq.md", 0)


async def test_bytes_of_older_revisions_are_dropped_once(
    library: PostgresLibrary, ingest: Ingest, blobs: Blobs
) -> None:
    submitted = [await upload(library, content=b"%d" % number) for number in range(3)]
    for _ in range(2):
        await library.drop_older(submitted[2].document_id, submitted[2].revision)
    for older in ingest.heard[:2]:
        with pytest.raises(Rejected):
            await blobs.get(older.blob)
    assert await blobs.get(ingest.heard[2].blob) == b"2"
    record = await library.document(BLUE, submitted[2].document_id)
    assert record is not None
    assert record.revision == submitted[2].revision


async def test_no_team_reads_lists_or_removes_what_is_anothers(library: PostgresLibrary, ingest: Ingest) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    await ingest.commit(submitted.document_id, 1, "text")
    assert await library.document(GREEN, submitted.document_id) is None
    assert await library.text(GREEN, submitted.document_id) is None
    assert await library.documents(GREEN, source=None, states=(), limit=9, after=None) == []
    assert await library.sources(GREEN) == []
    assert not await library.remove(GREEN, submitted.document_id)
    assert (await upload(library, GREEN)).document_id != submitted.document_id


async def test_an_access_list_shuts_out_also_the_own_team(library: PostgresLibrary, ingest: Ingest) -> None:
    document = document_id(TeamId("blue"), "docs", "secret.md")
    for access, readable in ((["group:board"], False), (["group:ops"], True), (["organisation"], True)):
        await ingest._execute(
            "INSERT INTO ingest.documents (id, team, source, name, access) VALUES (%(id)s, 'blue', 'docs', 's', %(a)s)"
            " ON CONFLICT (id) DO UPDATE SET access = %(a)s",
            {"id": document, "a": access},
        )
        assert (await library.document(BLUE, document) is not None) == readable


async def test_shared_knowledge_is_read_by_all_and_listed_and_removed_by_its_own(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library, SHARED)
    assert ingest.heard[0].access == ("organisation",)
    await ingest.commit(submitted.document_id, 1, "for all")
    assert await library.text(BLUE, submitted.document_id) == "for all"
    assert await library.documents(BLUE, source=None, states=(), limit=9, after=None) == []
    assert not await library.remove(BLUE, submitted.document_id)
    assert await library.remove(SHARED, submitted.document_id)


async def test_an_upload_is_shown_before_ingest_can_know_of_it(library: PostgresLibrary, ingest: Ingest) -> None:
    ingest.look = lambda: library.documents(BLUE, source=None, states=(), limit=9, after=None)
    await upload(library)
    assert isinstance(ingest.seen, list)
    assert [record.state for record in ingest.seen] == ["pending"]


@pytest.mark.parametrize("dies_by", [Unavailable("Kafka"), RuntimeError(), asyncio.CancelledError()])
async def test_an_upload_whose_process_died_after_commit_is_sent_under_its_id_by_another(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres, blobs: Blobs, dies_by: BaseException
) -> None:
    ingest.error = dies_by
    with suppress(RuntimeError, asyncio.CancelledError):
        await upload(library)
    ingest.error, ingest.acts_at_once = None, True
    (pending,) = await library.documents(BLUE, source=None, states=("pending",), limit=9, after=None)
    (message_id,) = await left_behind(orchestrator)
    await outbox_of(orchestrator, ingest).sweep_once()
    assert [envelope.message_id for envelope in ingest.envelopes] == [message_id]
    assert await blobs.get(ingest.heard[0].blob) == b"# FAQ"
    await ingest.commit(pending.document_id, 1, "# FAQ")
    record = await library.document(BLUE, pending.document_id)
    assert record is not None
    assert (record.state, record.revision) == ("live", pending.revision)
    assert await left_behind(orchestrator) == []


async def test_an_upload_whose_process_stops_while_kafka_is_silent_is_sent_by_another(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres
) -> None:
    silent = asyncio.Event()
    ingest.look = silent.wait
    uploading = asyncio.create_task(upload(library))
    await eventually(lambda: rows(orchestrator, "SELECT * FROM orchestrator.outbox"))
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    ingest.look = None
    (message_id,) = await left_behind(orchestrator)
    await outbox_of(orchestrator, ingest).sweep_once()
    assert [envelope.message_id for envelope in ingest.envelopes] == [message_id]


async def test_two_sweepers_send_what_a_dead_process_left_once(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres
) -> None:
    ingest.error = Unavailable("Kafka")
    for number in range(5):
        await upload(library, name=f"{number}.md")
    ingest.error = None
    message_ids = await left_behind(orchestrator)
    await asyncio.gather(*(outbox_of(orchestrator, ingest).sweep_once() for _ in range(2)))
    assert sorted(envelope.message_id for envelope in ingest.envelopes) == sorted(message_ids)
    assert len(message_ids) == 5


async def test_while_kafka_is_away_an_upload_is_accepted_and_does_not_expire(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres, outbox: Outbox
) -> None:
    ingest.error = Unavailable("Kafka")
    submitted = await upload(library)
    record = await library.document(BLUE, submitted.document_id)
    assert record is not None
    assert (record.state, record.revision) == ("pending", submitted.revision)
    ingest.error = None
    assert [row["deadline_at"] for row in await rows(orchestrator, "SELECT * FROM orchestrator.outbox")] == [None]
    await left_behind(orchestrator)
    await outbox.sweep_once()
    assert [envelope.remaining_ms for envelope in ingest.envelopes] == [LONGEST_REMAINING_MS]


async def test_before_kafka_was_ever_there_an_upload_is_accepted(
    orchestrator: Postgres, ingest: Ingest, blobs: Blobs
) -> None:
    await upload(PostgresLibrary(orchestrator, blobs, Outbox(orchestrator, "orchestrator")))
    message_ids = await left_behind(orchestrator)
    await outbox_of(orchestrator, ingest).sweep_once()
    assert [envelope.message_id for envelope in ingest.envelopes] == message_ids


async def test_without_postgres_an_upload_is_unavailable_and_leaves_no_bytes(
    orchestrator: Postgres, outbox: Outbox, tmp_path: Path
) -> None:
    library = PostgresLibrary(orchestrator, LastBlobs(f"file://{tmp_path}/blobs", orchestrator), outbox)
    for _ in range(2):
        with pytest.raises(Unavailable, match="PostgreSQL"):
            await upload(library)
        assert kept(tmp_path) == []


async def test_of_an_upload_whose_commit_failed_with_its_connection_nothing_is_left(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres, tmp_path: Path
) -> None:
    await at_commit_of_a_submission(orchestrator, "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(30);")
    with pytest.raises(Unavailable, match="did not commit"):
        await upload(library)
    assert await left_behind(orchestrator) == []
    assert await library.documents(BLUE, source=None, states=(), limit=9, after=None) == []
    assert (kept(tmp_path), ingest.heard) == ([], [])


async def test_bytes_of_an_upload_that_may_have_committed_stay(
    library: PostgresLibrary, orchestrator: Postgres, tmp_path: Path
) -> None:
    await at_commit_of_a_submission(orchestrator, "PERFORM pg_sleep(30); RETURN NULL;")
    uploading = asyncio.create_task(upload(library))
    asleep = "SELECT * FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    await eventually(lambda: rows(orchestrator, asleep))
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert len(kept(tmp_path)) == 1


async def test_while_kafka_is_away_an_edit_waits_and_the_text_before_it_stays(
    library: PostgresLibrary, ingest: Ingest
) -> None:
    first = await upload(library)
    await ingest.act(ingest.heard[0])
    await ingest.commit(first.document_id, 1, "# FAQ")
    ingest.error = Unavailable("Kafka")
    second = await upload(library, content=b"# FAQ 2")
    record = await library.document(BLUE, first.document_id)
    assert record is not None
    assert (record.state, record.version, record.revision) == ("pending", 1, second.revision)
    assert await library.text(BLUE, first.document_id) == "# FAQ"


async def test_a_removal_whose_process_died_after_commit_shows_at_once_and_is_sent_by_another(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres
) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    ingest.look = lambda: library.document(BLUE, submitted.document_id)
    ingest.error = Unavailable("Kafka")
    assert await library.remove(BLUE, submitted.document_id)
    assert ingest.seen is None
    assert await library.document(BLUE, submitted.document_id) is None
    ingest.error = None
    (message_id,) = await left_behind(orchestrator)
    await outbox_of(orchestrator, ingest).sweep_once()
    assert ingest.envelopes[-1].message_id == message_id
    assert isinstance(ingest.heard[-1], RemoveDocument)
    assert await library.document(BLUE, submitted.document_id) is None
    assert [row["deleted_at"] is None for row in await rows(orchestrator, "TABLE ingest.documents_overview")] == [False]


async def test_a_removal_that_did_not_commit_leaves_the_document_as_it_was(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres, blobs: Blobs
) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    await at_commit_of_a_submission(orchestrator, "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(30);")
    with pytest.raises(Unavailable):
        await library.remove(BLUE, submitted.document_id)
    assert await library.document(BLUE, submitted.document_id) is not None
    assert len(ingest.heard) == 1
    assert await blobs.get(ingest.heard[0].blob) == b"# FAQ"


async def test_of_a_removed_document_nothing_is_kept(
    library: PostgresLibrary, ingest: Ingest, orchestrator: Postgres, tmp_path: Path
) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    await library.remove(BLUE, submitted.document_id)
    facts = {"document_id": submitted.document_id, "team": BLUE.team, "source": "docs", "name": "faq.md", "at": MOMENT}
    event = DocumentRemoved.model_validate(facts | {"revision": ingest.heard[-1].revision})
    await drop_older_uploads(_received(event), uploads=library)
    assert await library.document(BLUE, submitted.document_id) is None
    assert kept(tmp_path) == []
    assert await rows(orchestrator, "SELECT * FROM orchestrator.submissions") == []


async def test_what_was_sent_after_a_removal_is_kept(library: PostgresLibrary, ingest: Ingest, blobs: Blobs) -> None:
    ingest.acts_at_once = True
    submitted = await upload(library)
    await library.remove(BLUE, submitted.document_id)
    ingest.acts_at_once = False
    again = await upload(library)
    await library.drop_older(submitted.document_id, ingest.heard[1].revision + 1)
    record = await library.document(BLUE, submitted.document_id)
    assert record is not None
    assert (record.state, record.revision) == ("pending", again.revision)
    assert await blobs.get(ingest.heard[2].blob) == b"# FAQ"


async def test_bytes_that_cannot_be_deleted_now_are_deleted_later(
    orchestrator: Postgres, ingest: Ingest, outbox: Outbox, tmp_path: Path
) -> None:
    blobs = StubbornBlobs(f"file://{tmp_path}/blobs")
    library = PostgresLibrary(orchestrator, blobs, outbox)
    submitted = [await upload(library, content=b"%d" % number) for number in range(2)]
    blobs.refuses = True
    with pytest.raises(Unavailable):
        await library.drop_older(submitted[1].document_id, submitted[1].revision)
    blobs.refuses = False
    await library.drop_older(submitted[1].document_id, submitted[1].revision)
    with pytest.raises(Rejected):
        await blobs.get(ingest.heard[0].blob)


async def test_before_ingest_has_made_its_views_the_library_is_unavailable(
    orchestrator: Postgres, blobs: Blobs
) -> None:
    library = PostgresLibrary(orchestrator, blobs, Outbox(orchestrator, "orchestrator"))
    with pytest.raises(Unavailable, match="views"):
        await library.sources(BLUE)
