"""What others are told fits their contracts and their topics."""

from datetime import UTC, datetime

from groundswell.common.contracts.knowledge import ChunkToEmbed
from groundswell.common.ids import ChunkId, DocumentId, TeamId
from groundswell.common.tiers import Tier
from groundswell.common.topics import EMBED_CHUNKS
from groundswell.ingest.domain.decoding import LONGEST_BLANK_RUN, RejectionCode
from groundswell.ingest.domain.documents import Document, Failure, Version, VersionState
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.outcomes import REJECTION_CODES, embed_commands, rejected

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = Version(
    number=1,
    revision=5,
    content_sha256="x",
    state=VersionState.PENDING,
    title="T" * 200,
    file_type="markdown",
    updated=NOW,
    tier=Tier.STANDARD,
    chunks=1,
    chunks_to_embed=1,
)
DOCUMENT = Document(
    id=DocumentId("doc_1"),
    team=TeamId("red"),
    source="docs",
    name="a.md",
    access=("team:red",),
    newest_revision=5,
    is_deleted=False,
)


def test_every_reason_of_reading_has_its_code_in_the_contract() -> None:
    assert {code.value for code in RejectionCode} == REJECTION_CODES
    for code in RejectionCode:
        assert rejected(DOCUMENT, 5, Failure(code.value, "why"), NOW).code == code.value


def test_the_largest_chunks_there_can_be_fit_a_message() -> None:
    limits = ChunkLimits()
    longest = limits.overlap_characters + limits.core_characters + 2 * LONGEST_BLANK_RUN
    for character in ("\x1f", "\U0001f600", "a"):
        chunk = ChunkToEmbed(chunk_id=ChunkId("c" * 36), content_hash="h" * 64, text=character * longest)
        commands = list(embed_commands(DOCUMENT, VERSION, [chunk] * 200, "minilm"))
        assert sum(len(command.chunks) for command in commands) == 200
        assert [command.part for command in commands] == list(range(len(commands)))
        assert max(len(command.model_dump_json().encode()) for command in commands) < EMBED_CHUNKS.max_bytes
