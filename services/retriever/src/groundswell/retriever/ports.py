"""What the retriever needs from outside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.ids import ChunkId, TeamId
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.domain.chunks import CurrentChunk

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search may look: one tenant, and of it what `access` (never empty) overlaps and `filters` let through."""

    tenant: TeamId
    access: tuple[str, ...]
    filters: PassageFilters = PassageFilters()


class QueryEncoder(Protocol):
    """The model of the generation that is searched, off the event loop."""

    async def encode(self, texts: Sequence[str]) -> Vector:
        """Return vectors [len(texts), dimension] of length 1."""


class PassageIndex(Protocol):
    """The two searches. A tenant that does not exist yet is empty. Both raise Unavailable while the index is away."""

    async def search_lexemes(self, lexemes: Sequence[str], scope: Scope, limit: int) -> list[Hit]:
        """The `limit` best by BM25, which is the score; at least one lexeme."""

    async def search_vector(self, vector: Vector, scope: Scope, limit: int) -> list[Hit]:
        """The `limit` nearest to `vector` [dimension]; the score is the cosine."""


class CurrentPassages(Protocol):
    """What answers may be made of, now."""

    async def current(
        self, chunk_ids: Collection[ChunkId], *, teams: Collection[TeamId], access: Collection[str]
    ) -> list[CurrentChunk]:
        """The places of these chunks in current versions of `teams` that `access` overlaps; a chunk can have several.

        Raises Unavailable if that cannot be known.
        """
