"""What ingest does on each message, however often and in whatever order it comes."""

import hashlib
import itertools
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Outgoing, Received
from groundswell.common.contracts.knowledge import (
    BlobRef,
    ChunksEmbedded,
    DocumentRejected,
    DocumentRemoved,
    DocumentUnchanged,
    DocumentVersionCommitted,
    EmbedChunks,
    IngestDocument,
    RemoveDocument,
)
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, DocumentId, MessageId, TeamId, chunk_id, document_id
from groundswell.common.tiers import Tier
from groundswell.common.topics import DOCUMENT_LIFECYCLE, EMBED_CHUNKS, INGEST_REPLIES
from groundswell.ingest.domain.decoding import Rejection
from groundswell.ingest.domain.documents import VersionState
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.reading import Reading, read
from groundswell.ingest.handlers import Deps, ingest_document, remove_document, resume_stranded, take_outcome
from groundswell.ingest.ports import Documents

RED = TeamId("red")
ID = document_id(RED, "docs", "guide.md")
NOW = 1_790_000_000.0
WORD = re.compile(r"\w+|[^\w\s]")
FIRST = "# Guide\n\nThe first section says a few words.\n\n## Use\n\nThe second section says a few other words.\n"
SECOND = FIRST.replace("few other", "completely different")
LIMITS = ChunkLimits(limit_tokens=40, core_tokens=24, small_tokens=4, overlap_tokens=0)


class Stores:
    """Blobs and reader in memory; counts what it is asked for."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.reads = 0

    def put(self, text: str | bytes) -> BlobRef:
        content = text.encode() if isinstance(text, str) else text
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return BlobRef(key=digest, size=len(content), sha256=digest)

    async def get(self, ref: BlobRef) -> bytes:
        if ref.key not in self.contents:
            raise Rejected("the blob is gone")
        return self.contents[ref.key]

    def refuse(self, name: str, size: int) -> Rejection | None:
        return None

    async def read(self, name: str, content: bytes) -> Reading | Rejection:
        self.reads += 1
        return read(
            name,
            content,
            limit_bytes=10_000,
            token_offsets=lambda text: [match.span() for match in WORD.finditer(text)],
            chunk_limits=LIMITS,
        )


class Ingest:
    """The service without its bus: messages in, messages out."""

    def __init__(self, documents: Documents) -> None:
        self.stores = Stores()
        self.deps = Deps(documents=documents, blobs=self.stores, reader=self.stores, clock=lambda: NOW, model="minilm")
        self._numbers = itertools.count()

    def received(self, payload: Message, *, key: str = ID, tier: Tier = Tier.STANDARD, epoch: int = 0) -> Received[Any]:
        envelope = Envelope(
            message_id=MessageId(f"m{next(self._numbers)}"),
            type=payload.type_name(),
            source="test",
            correlation_id=CorrelationId(key),
            tenant=RED,
            tier=tier,
            remaining_ms=60_000,
            sent_ms=0,
            epoch=epoch,
        )
        return Received(payload, envelope, NOW + 60, Origin("t", 0, 0), key)

    def upload(self, text: str | bytes, revision: int, **changes: Any) -> IngestDocument:
        values = {
            "document_id": ID,
            "team": RED,
            "source": "docs",
            "name": "guide.md",
            "revision": revision,
            "blob": self.stores.put(text),
            "access": (),
        }
        return IngestDocument.model_validate(values | changes)

    async def ingest(
        self, text: str | bytes, revision: int, *, tier: Tier = Tier.STANDARD, **changes: Any
    ) -> list[Outgoing]:
        message = self.received(self.upload(text, revision, **changes), tier=tier)
        return list(await ingest_document(message, deps=self.deps))

    async def remove(self, revision: int, team: TeamId = RED) -> list[Outgoing]:
        command = RemoveDocument(document_id=ID, team=team, revision=revision)
        return list(await remove_document(self.received(command), deps=self.deps))

    async def embedded(self, commands: Sequence[Outgoing]) -> list[Outgoing]:
        """The embedder's answers to `commands`."""
        outgoing: list[Outgoing] = []
        for command in commands:
            outgoing += await take_outcome(self.received(answer(command), epoch=command.epoch), deps=self.deps)
        return outgoing

    async def gave_up(self, command: type[Message], revision: int, reason: str | None = "it broke") -> list[Outgoing]:
        """What the bus answers for a command of that revision that went to the dead letters; None: it expired."""
        name = command.type_name()
        outcome = CommandFailed(command=name, reason=reason) if reason else CommandExpired(command=name)
        return list(await take_outcome(self.received(outcome, epoch=revision), deps=self.deps))

    async def make_live(self, text: str, revision: int) -> list[Outgoing]:
        return await self.embedded(await self.ingest(text, revision))


def answer(command: Outgoing) -> ChunksEmbedded:
    asked = command.payload
    assert isinstance(asked, EmbedChunks)
    return ChunksEmbedded(
        document_id=asked.document_id,
        team=asked.team,
        version=asked.version,
        revision=asked.revision,
        part=asked.part,
        content_hashes=tuple(chunk.content_hash for chunk in asked.chunks),
    )


def texts(commands: Sequence[Outgoing]) -> list[str]:
    return [
        chunk.text
        for command in commands
        if isinstance(command.payload, EmbedChunks)
        for chunk in command.payload.chunks
    ]


def kinds(outgoing: Sequence[Outgoing]) -> list[type[Message]]:
    return [type(message.payload) for message in outgoing]


@pytest.fixture
def ingest(documents: Documents) -> Ingest:
    return Ingest(documents)


class TestANewDocument:
    async def test_every_chunk_is_asked_for_and_nothing_is_live_yet(self, ingest: Ingest) -> None:
        commands = await ingest.ingest(FIRST, 1, tier=Tier.BULK)
        assert kinds(commands) == [EmbedChunks]
        assert "".join(texts(commands)) == FIRST
        command, asked = commands[0], commands[0].payload
        assert isinstance(asked, EmbedChunks)
        assert (command.topic, command.key, command.tier) == (EMBED_CHUNKS[Tier.BULK], ID, Tier.BULK)
        assert command.reply_to == ReplyAddress(INGEST_REPLIES.physical_name)
        assert command.deadline > NOW + 3600
        assert (asked.version, asked.revision, asked.title, asked.model) == (1, 1, "Guide", "minilm")
        assert (asked.access, asked.file_type) == (("team:red",), "markdown")
        assert all(chunk.chunk_id == chunk_id(ID, chunk.content_hash) for chunk in asked.chunks)

    async def test_it_commits_with_the_last_of_its_chunks(self, ingest: Ingest) -> None:
        [event] = await ingest.make_live(FIRST, 1)
        assert event.topic == DOCUMENT_LIFECYCLE.physical_name
        committed = event.payload
        assert isinstance(committed, DocumentVersionCommitted)
        assert (committed.version, committed.revision, committed.chunks, committed.chunks_embedded) == (1, 1, 2, 2)
        assert committed.at == datetime.fromtimestamp(NOW, UTC)

    async def test_a_part_of_its_chunks_is_not_enough(self, ingest: Ingest) -> None:
        [command] = await ingest.ingest(FIRST, 1)
        reply = answer(command)
        part = reply.model_copy(update={"content_hashes": reply.content_hashes[:1]})
        rest = reply.model_copy(update={"content_hashes": reply.content_hashes[1:], "part": 1})
        assert await take_outcome(ingest.received(part), deps=ingest.deps) == []
        assert kinds(await take_outcome(ingest.received(rest), deps=ingest.deps)) == [DocumentVersionCommitted]

    async def test_equal_chunks_are_asked_for_once(self, ingest: Ingest) -> None:
        repeated = "## Same\n\nThe same words in the same section.\n\n"
        commands = await ingest.ingest(repeated * 5, 1)
        assert texts(commands) == [repeated]
        [event] = await ingest.embedded(commands)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert (event.payload.chunks, event.payload.chunks_embedded) == (5, 1)

    async def test_many_chunks_are_asked_for_in_bounded_parts(self, ingest: Ingest) -> None:
        text = "".join(f"## Part {number}\n\nThis is section number {number}.\n\n" for number in range(150))
        commands = await ingest.ingest(text, 1)
        assert [len(command.payload.chunks) for command in commands] == [64, 64, 22]  # type: ignore[attr-defined]
        assert kinds(await ingest.embedded(commands[:2])) == []
        assert kinds(await ingest.embedded(commands[2:])) == [DocumentVersionCommitted]


class TestAnEdit:
    async def test_only_changed_chunks_are_embedded(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        commands = await ingest.ingest(SECOND, 2)
        [changed] = texts(commands)
        assert "completely different" in changed
        [event] = await ingest.embedded(commands)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert (event.payload.version, event.payload.chunks, event.payload.chunks_embedded) == (2, 2, 1)

    async def test_equal_content_does_nothing_and_says_so(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        [event] = await ingest.ingest(FIRST, 2)
        assert isinstance(event.payload, DocumentUnchanged)
        assert (event.payload.version, event.payload.revision) == (1, 2)
        assert ingest.stores.reads == 1

    async def test_a_revert_embeds_nothing_and_commits_at_once(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.make_live(SECOND, 2)
        [event] = await ingest.ingest(FIRST, 3)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert (event.payload.version, event.payload.chunks_embedded) == (3, 0)

    async def test_an_older_revision_that_comes_late_changes_nothing(self, ingest: Ingest) -> None:
        await ingest.make_live(SECOND, 2)
        assert await ingest.ingest(FIRST, 1) == []
        assert kinds(await ingest.ingest(SECOND, 3)) == [DocumentUnchanged]

    async def test_a_reply_for_an_older_version_commits_nothing(self, ingest: Ingest) -> None:
        first = await ingest.ingest(FIRST, 1)
        second = await ingest.ingest(SECOND, 2)
        assert await ingest.embedded(first) == []
        assert kinds(await ingest.embedded(second)) == [DocumentVersionCommitted]
        assert await ingest.embedded(first) == []

    async def test_a_newer_text_overtakes_one_that_is_not_live_yet(self, ingest: Ingest) -> None:
        await ingest.ingest(FIRST, 1)
        [event] = await ingest.make_live(SECOND, 2)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert event.payload.version == 2

    async def test_equal_content_that_is_still_pending_goes_on_under_the_newer_revision(self, ingest: Ingest) -> None:
        await ingest.ingest(FIRST, 1)
        [event] = await ingest.make_live(FIRST, 2)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert (event.payload.version, event.payload.revision) == (1, 2)


class TestAChangeOfRights:
    ALL, BOARD = ("organisation",), ("group:board",)

    async def test_it_holds_at_once_and_the_index_is_told_of_every_chunk(self, ingest: Ingest) -> None:
        first = await ingest.ingest(FIRST, 1)
        await ingest.embedded(first)
        again = await ingest.ingest(FIRST, 2, access=self.ALL)
        assert texts(again) == texts(first)
        assert {command.payload.access for command in again if isinstance(command.payload, EmbedChunks)} == {self.ALL}
        async with ingest.deps.documents.locked(ID) as locked:
            assert locked is not None
            assert locked.document.access == self.ALL
        assert kinds(await ingest.embedded(again)) == [DocumentVersionCommitted]
        assert kinds(await ingest.ingest(FIRST, 3, access=self.ALL)) == [DocumentUnchanged]

    async def test_with_a_new_text_unchanged_chunks_are_sent_too(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        whole = texts(await ingest.ingest(SECOND, 2, access=self.ALL))
        assert any("first section" in text for text in whole)

    async def test_a_revert_sends_the_chunks_that_the_index_has_under_other_rights(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.embedded(await ingest.ingest(SECOND, 2, access=self.BOARD))
        reverted = texts(await ingest.ingest(FIRST, 3, access=self.BOARD))
        assert len(reverted) == 1
        assert "few other words" in reverted[0]


class TestRedelivery:
    async def test_an_upload_delivered_five_times_is_one_version(self, ingest: Ingest) -> None:
        delivered = [await ingest.ingest(FIRST, 1) for _ in range(5)]
        assert all(texts(commands) == texts(delivered[0]) for commands in delivered)
        assert kinds(await ingest.embedded(delivered[0])) == [DocumentVersionCommitted]
        assert kinds(await ingest.ingest(FIRST, 1)) == [DocumentVersionCommitted]
        assert ingest.stores.reads == 1

    async def test_a_reply_delivered_five_times_says_the_same_each_time(self, ingest: Ingest) -> None:
        commands = await ingest.ingest(FIRST, 1)
        events = [(await ingest.embedded(commands))[0].payload for _ in range(5)]
        assert all(event == events[0] for event in events)

    async def test_a_removal_delivered_five_times_says_the_same_each_time(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        events = [(await ingest.remove(2))[0].payload for _ in range(5)]
        assert all(event == events[0] for event in events)

    async def test_a_refusal_delivered_twice_says_the_same(self, ingest: Ingest) -> None:
        events = [(await ingest.ingest(b"\xff", 1))[0].payload for _ in range(2)]
        assert events[0] == events[1]

    async def test_an_unchanged_upload_delivered_twice_says_the_same(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        events = [(await ingest.ingest(FIRST, 2))[0].payload for _ in range(2)]
        assert events[0] == events[1]

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
    async def test_whatever_the_order_the_newest_revision_wins(self, ingest: Ingest, order: Sequence[int]) -> None:
        uploads = [FIRST, SECOND, FIRST + "More.\n", SECOND + "Even more.\n"]
        commands = [command for number in order for command in await ingest.ingest(uploads[number], number + 1)]
        await ingest.embedded(commands[::-1])
        assert kinds(await ingest.ingest(uploads[3], 9)) == [DocumentUnchanged]


class TestRemoval:
    async def test_it_is_announced_with_what_was_removed(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        [event] = await ingest.remove(2)
        assert isinstance(event.payload, DocumentRemoved)
        assert (event.payload.source, event.payload.name, event.payload.revision) == ("docs", "guide.md", 2)

    async def test_a_reply_that_comes_after_it_revives_nothing(self, ingest: Ingest) -> None:
        commands = await ingest.ingest(FIRST, 1)
        await ingest.remove(2)
        assert await ingest.embedded(commands) == []

    async def test_an_upload_that_is_older_stays_out_even_if_it_comes_first_afterwards(self, ingest: Ingest) -> None:
        assert kinds(await ingest.remove(5)) == [DocumentRemoved]
        assert await ingest.ingest(FIRST, 4) == []
        [event] = await ingest.make_live(FIRST, 6)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert (event.payload.source, event.payload.name) == ("docs", "guide.md")

    async def test_the_same_text_can_come_back(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.remove(2)
        [event] = await ingest.make_live(FIRST, 3)
        assert isinstance(event.payload, DocumentVersionCommitted)
        assert event.payload.version == 2

    async def test_an_older_removal_is_dropped(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 3)
        assert await ingest.remove(2) == []
        assert await ingest.remove(3) == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "name", "code"),
        [
            (b"\xff\xfe\xff", "guide.md", "not_utf8"),
            (b"a\0", "guide.md", "binary"),
            (b"", "guide.md", "empty"),
            (b"x", "guide.exe", "unknown_type"),
            (b"x" * 10_001, "guide.md", "too_large"),
        ],
    )
    async def test_it_is_refused_with_a_reason(self, ingest: Ingest, content: bytes, name: str, code: str) -> None:
        [event] = await ingest.ingest(content, 1, name=name)
        assert isinstance(event.payload, DocumentRejected)
        assert event.payload.code == code
        assert event.payload.reason

    async def test_the_earlier_version_stays(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        assert kinds(await ingest.ingest(b"\xff", 2)) == [DocumentRejected]
        assert kinds(await ingest.ingest(FIRST, 3)) == [DocumentUnchanged]

    async def test_a_blob_that_is_gone_is_a_refusal(self, ingest: Ingest) -> None:
        upload = ingest.upload(FIRST, 1)
        ingest.stores.contents.clear()
        [event] = await ingest_document(ingest.received(upload), deps=ingest.deps)
        assert isinstance(event.payload, DocumentRejected)
        assert event.payload.code == "unreadable"

    async def test_a_name_that_no_store_takes_is_refused(self, ingest: Ingest) -> None:
        with pytest.raises(Rejected, match="NUL"):
            await ingest.ingest(FIRST, 1, name="a\0.md")

    async def test_nobody_touches_a_document_of_another_team(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        with pytest.raises(Rejected):
            await ingest.ingest(SECOND, 2, team="blue")
        with pytest.raises(Rejected):
            await ingest.remove(3, TeamId("blue"))
        stolen = ChunksEmbedded(document_id=ID, team=TeamId("blue"), version=1, revision=1, part=0, content_hashes=())
        with pytest.raises(Rejected):
            await take_outcome(ingest.received(stolen), deps=ingest.deps)
        assert kinds(await ingest.ingest(FIRST, 4)) == [DocumentUnchanged]


class TestStranded:
    async def test_lost_commands_are_asked_for_again(self, ingest: Ingest) -> None:
        lost = await ingest.ingest(FIRST, 1, tier=Tier.BULK)
        again = await resume_stranded(deps=ingest.deps, silent_s=0)
        assert texts(again) == texts(lost)
        assert [(command.topic, command.epoch) for command in again] == [(EMBED_CHUNKS[Tier.BULK], 1)]
        assert kinds(await ingest.embedded(again)) == [DocumentVersionCommitted]

    async def test_only_what_is_missing_is_asked_for(self, ingest: Ingest) -> None:
        [command] = await ingest.ingest(FIRST, 1)
        reply = answer(command)
        part = reply.model_copy(update={"content_hashes": reply.content_hashes[:1]})
        await take_outcome(ingest.received(part), deps=ingest.deps)
        assert texts(await resume_stranded(deps=ingest.deps, silent_s=0)) == texts([command])[1:]

    async def test_what_is_live_failed_or_fresh_is_left_alone(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        assert await resume_stranded(deps=ingest.deps, silent_s=0) == []
        await ingest.ingest(SECOND, 2)
        assert await resume_stranded(deps=ingest.deps, silent_s=3600) == []


class TestWhenTheEmbedderGivesUp:
    async def fail(self, ingest: Ingest, command: Outgoing) -> None:
        failed = CommandFailed(command="EmbedChunks", reason="it broke")
        outgoing = await take_outcome(ingest.received(failed, epoch=command.epoch), deps=ingest.deps)
        assert outgoing == []

    async def test_the_version_rests_until_it_is_sent_again(self, ingest: Ingest) -> None:
        [command] = await ingest.ingest(FIRST, 1)
        await self.fail(ingest, command)
        assert await resume_stranded(deps=ingest.deps, silent_s=0) == []
        assert await ingest.ingest(FIRST, 1) == []
        assert kinds(await ingest.make_live(FIRST, 2)) == [DocumentVersionCommitted]

    async def test_a_redriven_command_finishes_it(self, ingest: Ingest) -> None:
        [command] = await ingest.ingest(FIRST, 1)
        await self.fail(ingest, command)
        assert kinds(await ingest.embedded([command])) == [DocumentVersionCommitted]
        assert kinds(await ingest.ingest(FIRST, 1)) == [DocumentVersionCommitted]

    async def test_a_failure_of_an_older_version_does_not_touch_the_newest(self, ingest: Ingest) -> None:
        [old] = await ingest.ingest(FIRST, 1)
        [new] = await ingest.ingest(SECOND, 2)
        await self.fail(ingest, old)
        assert kinds(await ingest.embedded([new])) == [DocumentVersionCommitted]

    async def test_an_expired_command_leaves_the_version_pending(self, ingest: Ingest) -> None:
        await ingest.ingest(FIRST, 1)
        expired = CommandExpired(command="EmbedChunks")
        assert await take_outcome(ingest.received(expired, epoch=1), deps=ingest.deps) == []
        assert len(await resume_stranded(deps=ingest.deps, silent_s=0)) == 1

    async def test_outcomes_for_unknown_documents_are_dropped(self, ingest: Ingest) -> None:
        failed = CommandFailed(command="EmbedChunks", reason="it broke")
        unknown = DocumentId("doc_unknown")
        assert await take_outcome(ingest.received(failed, key=unknown), deps=ingest.deps) == []
        reply = ChunksEmbedded(document_id=unknown, team=RED, version=1, revision=1, part=0, content_hashes=("a",))
        assert await take_outcome(ingest.received(reply), deps=ingest.deps) == []


class TestWhenIngestGivesUp:
    @pytest.mark.parametrize(
        ("reason", "told"),
        [
            ("it broke", "The file could not be read: it broke. Send it again."),
            (None, "The file was not read in time. Send it again."),
        ],
    )
    async def test_an_upload_is_a_failed_document_that_says_why(
        self, ingest: Ingest, reason: str | None, told: str
    ) -> None:
        (event,) = await ingest.gave_up(IngestDocument, 3, reason)
        assert isinstance(event.payload, DocumentRejected)
        assert (event.payload.code, event.payload.revision, event.payload.reason) == ("unreadable", 3, told)
        assert (event.topic, event.key, event.tenant) == (DOCUMENT_LIFECYCLE.physical_name, ID, RED)
        async with ingest.deps.documents.locked(ID) as locked:
            assert locked is not None
            assert (locked.document.newest_revision, locked.document.is_given_up) == (3, True)

    async def test_told_twice_it_says_the_same(self, ingest: Ingest) -> None:
        first, second = [await ingest.gave_up(IngestDocument, 3) for _ in range(2)]
        assert [event.payload for event in first] == [event.payload for event in second]

    async def test_the_earlier_version_stays(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.gave_up(IngestDocument, 2)
        async with ingest.deps.documents.locked(ID) as locked:
            assert locked is not None
            assert locked.document.newest is not None
            assert locked.document.newest.state is VersionState.LIVE

    async def test_the_command_may_be_redriven(self, ingest: Ingest) -> None:
        await ingest.gave_up(IngestDocument, 1)
        assert kinds(await ingest.make_live(FIRST, 1)) == [DocumentVersionCommitted]
        async with ingest.deps.documents.locked(ID) as locked:
            assert locked is not None
            assert (locked.document.name, locked.document.failure) == ("guide.md", None)

    async def test_a_redriven_command_for_what_is_live_already_clears_the_failure(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.gave_up(IngestDocument, 2)
        assert kinds(await ingest.ingest(FIRST, 2)) == [DocumentUnchanged]
        assert kinds(await ingest.ingest(FIRST, 2)) == [DocumentUnchanged]

    async def test_a_version_that_was_made_before_rests_until_it_is_redriven(self, ingest: Ingest) -> None:
        await ingest.ingest(FIRST, 1)
        assert kinds(await ingest.gave_up(IngestDocument, 1)) == [DocumentRejected]
        assert await resume_stranded(deps=ingest.deps, silent_s=0) == []
        again = await ingest.ingest(FIRST, 1)
        assert kinds(again) == [EmbedChunks]
        assert kinds(await ingest.embedded(again)) == [DocumentVersionCommitted]

    async def test_what_came_after_or_was_done_is_left_alone(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 2)
        for revision in (0, 1, 2):
            assert await ingest.gave_up(IngestDocument, revision) == []
        await ingest.remove(3)
        assert await ingest.gave_up(IngestDocument, 2) == []
        assert await ingest.gave_up(RemoveDocument, 3) == []
        assert await ingest.gave_up(RemoveDocument, 4) == []

    async def test_an_upload_after_a_removal_shows_as_failed(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        await ingest.remove(2)
        assert kinds(await ingest.gave_up(IngestDocument, 3)) == [DocumentRejected]
        async with ingest.deps.documents.locked(ID) as locked:
            assert locked is not None
            assert not locked.document.is_deleted

    async def test_a_removal_leaves_the_document_and_says_so_and_may_be_redriven(self, ingest: Ingest) -> None:
        await ingest.make_live(FIRST, 1)
        (event,) = await ingest.gave_up(RemoveDocument, 2)
        assert isinstance(event.payload, DocumentRejected)
        assert event.payload.reason == "The document could not be removed: it broke. Remove it again."
        assert event.payload.name == "guide.md"
        assert kinds(await ingest.remove(2)) == [DocumentRemoved]

    async def test_nobody_fails_a_document_of_another_team(self, ingest: Ingest) -> None:
        other = TeamId("blue")
        await ingest_document(ingest.received(ingest.upload(FIRST, 1, team=other)), deps=ingest.deps)
        assert await ingest.gave_up(IngestDocument, 2) == []
