"""Questions as the orchestrator sends them, documents cut into chunks, and fakes of what the retriever needs."""

import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Received
from groundswell.common.contracts.retrieval import RetrievePassages
from groundswell.common.errors import Unavailable
from groundswell.common.ids import ChunkId, CorrelationId, TeamId, chunk_id, document_id, new_message_id
from groundswell.common.lexemes import analyse
from groundswell.common.tiers import Tier
from groundswell.common.topics import ORCHESTRATOR_REPLIES, RETRIEVE_PASSAGES
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.domain.chunks import CurrentChunk
from groundswell.retriever.handlers import Deps
from groundswell.retriever.ports import Scope

MakeMessage = Callable[..., Received[RetrievePassages]]
MakeDocument = Callable[..., list[CurrentChunk]]


@dataclass
class Entry:
    """What the fake stores know of a chunk; `indexed_access` is what the index believes, which may lag."""

    chunk: CurrentChunk
    access: tuple[str, ...]
    indexed_access: tuple[str, ...]
    is_current: bool = True
    cosine: float = 0.7


class FakeEncoder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts.extend(texts)
        return np.ones((len(texts), 2), dtype=np.float32)


@dataclass
class FakeLibrary:
    """Index and view in one, so that one can know what the other does not. `away` counts failures to come."""

    entries: list[Entry] = field(default_factory=list)
    away: dict[str, int] = field(default_factory=dict)
    limits: list[int] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)

    def add(self, *chunks: CurrentChunk, access: Sequence[str] | None = None, **changes: object) -> None:
        for chunk in chunks:
            rights = (f"team:{chunk.team}",) if access is None else tuple(access)
            self.entries.append(Entry(**({"chunk": chunk, "access": rights, "indexed_access": rights} | changes)))  # type: ignore[arg-type]

    async def search_lexemes(self, lexemes: Sequence[str], scope: Scope, limit: int) -> list[Hit]:
        self._asked("lexical", scope, limit)
        hits = []
        for entry in self._indexed(scope):
            words = analyse(entry.chunk.text).split()
            score = float(sum(lexeme in words for lexeme in lexemes))
            if score:
                hits.append(Hit(entry.chunk.chunk_id, score))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def search_vector(self, vector: NDArray[np.float32], scope: Scope, limit: int) -> list[Hit]:
        self._asked("dense", scope, limit)
        hits = [Hit(entry.chunk.chunk_id, entry.cosine) for entry in self._indexed(scope)]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def current(
        self, chunk_ids: Collection[ChunkId], *, teams: Collection[TeamId], access: Collection[str]
    ) -> list[CurrentChunk]:
        self._fail_if_away("view")
        return [
            entry.chunk
            for entry in self.entries
            if entry.is_current
            and entry.chunk.chunk_id in chunk_ids
            and entry.chunk.team in teams
            and set(entry.access) & set(access)
        ]

    def _indexed(self, scope: Scope) -> list[Entry]:
        return [
            entry
            for entry in self.entries
            if entry.chunk.team == scope.tenant and set(entry.indexed_access) & set(scope.access)
        ]

    def _asked(self, method: str, scope: Scope, limit: int) -> None:
        self.limits.append(limit)
        self.scopes.append(scope)
        self._fail_if_away(method)

    def _fail_if_away(self, part: str) -> None:
        if self.away.get(part, 0) > 0:
            self.away[part] -= 1
            raise Unavailable(f"{part} is away")


@pytest.fixture
def library() -> FakeLibrary:
    return FakeLibrary()


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def deps(library: FakeLibrary, encoder: FakeEncoder) -> Deps:
    return Deps(encoder=encoder, index=library, passages=library)


@pytest.fixture(scope="session")
def make_document() -> MakeDocument:
    return _document


@pytest.fixture
def make_message() -> MakeMessage:
    return _message


def _document(
    *cores: str, name: str = "guide.md", team: str = "blue", heading: Sequence[str] = ("Guide",), **changes: object
) -> list[CurrentChunk]:
    """Chunks whose cores partition a text: the cores joined."""
    document = document_id(TeamId(team), "docs", name)
    chunks, start = [], 0
    for ordinal, core in enumerate(cores):
        digest = hashlib.sha256(core.encode()).hexdigest()
        fields: dict[str, object] = {
            "chunk_id": chunk_id(document, digest),
            "document_id": document,
            "team": TeamId(team),
            "content_hash": digest,
            "version": 1,
            "ordinal": ordinal,
            "start": start,
            "end": start + len(core),
            "heading": tuple(heading),
            "title": "A guide",
            "source": "docs",
            "name": name,
            "file_type": "markdown",
            "updated": datetime(2026, 11, 1, tzinfo=UTC),
            "text": core,
        }
        chunks.append(CurrentChunk(**(fields | changes)))  # type: ignore[arg-type]
        start += len(core)
    return chunks


def _message(
    query: str = "How are records kept?", *, tenant: str = "blue", **changes: object
) -> Received[RetrievePassages]:
    fields: dict[str, object] = {"request_id": "req_1", "team": tenant, "access": (f"team:{tenant}",), "query": query}
    envelope = Envelope(
        message_id=new_message_id(),
        type=RetrievePassages.type_name(),
        source="orchestrator",
        correlation_id=CorrelationId("req_1"),
        tenant=TeamId(tenant),
        tier=Tier.INTERACTIVE,
        remaining_ms=60_000,
        sent_ms=0,
        reply_to=ReplyAddress(ORCHESTRATOR_REPLIES.physical_name, 3),
    )
    origin = Origin(RETRIEVE_PASSAGES[Tier.INTERACTIVE], 0, 0)
    command = RetrievePassages.model_validate(fields | changes)
    return Received(command, envelope, deadline=time.time() + 60, origin=origin, key="req_1")
