"""What the searches found."""

from dataclasses import dataclass

from groundswell.common.ids import ChunkId


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of one search in one tenant. The score is BM25 or a cosine: only comparable within its method."""

    chunk_id: ChunkId
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk after fusion. `lexical` is BM25 and `dense` a cosine, None if that search did not find it."""

    chunk_id: ChunkId
    lexical: float | None
    dense: float | None
    fused: float
