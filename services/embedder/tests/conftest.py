"""Commands as ingest sends them, and fakes of what the embedder needs."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Received
from groundswell.common.contracts.knowledge import ChunkToEmbed, EmbedChunks
from groundswell.common.ids import CorrelationId, TeamId, chunk_id, document_id, new_message_id
from groundswell.common.tiers import Tier
from groundswell.common.topics import EMBED_CHUNKS, INGEST_REPLIES
from groundswell.embedder.domain.chunk_objects import ChunkObject
from groundswell.embedder.handlers import Deps
from groundswell.embedder.ports import ChunksNotStored

MakeCommand = Callable[..., EmbedChunks]
MakeMessage = Callable[..., Received[EmbedChunks]]


class FakeEncoder:
    """The vector of a text is made of its length."""

    model = "minilm"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


class FakeIndex:
    """Remembers; `loses` names texts that it takes and does not keep."""

    def __init__(self) -> None:
        self.objects: dict[TeamId, dict[str, ChunkObject]] = {}
        self.loses: set[str] = set()

    async def store(self, team: TeamId, objects: Sequence[ChunkObject]) -> None:
        kept = [chunk for chunk in objects if chunk.properties["text"] not in self.loses]
        self.objects.setdefault(team, {}).update({chunk.id: chunk for chunk in kept})
        if len(kept) < len(objects):
            raise ChunksNotStored(len(objects) - len(kept), len(objects))


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def index() -> FakeIndex:
    return FakeIndex()


@pytest.fixture
def deps(encoder: FakeEncoder, index: FakeIndex) -> Deps:
    return Deps(encoder=encoder, index=index)


@pytest.fixture
def make_command() -> MakeCommand:
    return _command


@pytest.fixture
def make_message() -> MakeMessage:
    return _message


def _command(
    *texts: str, team: str = "blue", name: str = "guide.md", revision: int = 1, **changes: object
) -> EmbedChunks:
    document = document_id(TeamId(team), "docs", name)
    chunks = []
    for text in texts:
        digest = hashlib.sha256(text.encode()).hexdigest()
        chunks.append(ChunkToEmbed(chunk_id=chunk_id(document, digest), content_hash=digest, text=text))
    fields: dict[str, object] = {
        "document_id": document,
        "team": team,
        "version": revision,
        "revision": revision,
        "source": "docs",
        "name": name,
        "title": "A guide",
        "file_type": "markdown",
        "access": (f"team:{team}",),
        "updated": datetime(2026, 11, 1, tzinfo=UTC),
        "model": "minilm",
        "chunks": tuple(chunks),
    }
    return EmbedChunks.model_validate(fields | changes)


def _message(command: EmbedChunks, *, tenant: str | None = None, reply: bool = True) -> Received[EmbedChunks]:
    envelope = Envelope(
        message_id=new_message_id(),
        type=EmbedChunks.type_name(),
        source="ingest",
        correlation_id=CorrelationId(command.document_id),
        tenant=TeamId(tenant or command.team),
        tier=Tier.STANDARD,
        remaining_ms=60_000,
        sent_ms=0,
        reply_to=ReplyAddress(INGEST_REPLIES.physical_name) if reply else None,
    )
    origin = Origin(EMBED_CHUNKS[Tier.STANDARD], 0, 0)
    return Received(command, envelope, deadline=time.time() + 60, origin=origin, key=command.document_id)
