"""One order out of two searches: a weighted sum of z-scores over the pool of everything that either found.

Lee 1997 (CombSUM over normalised scores). The mean and deviation are of the whole pool. In it a chunk that BM25 did not
find has a BM25 of 0, which is true, and one that the dense search did not find has its lowest cosine, which is an upper
bound. So a word that only one chunk has stands far out, as it should. Measured against reciprocal ranks, minima and
maxima, and z-scores of each list by itself: best or equal on each of three collections.
"""

from collections.abc import Iterable, Mapping
from math import sqrt

from groundswell.common.ids import ChunkId
from groundswell.retriever.domain.candidates import Candidate, Hit
from groundswell.retriever.domain.query import Query

LEXICAL_WEIGHT = 0.6
NAME_LEXICAL_WEIGHT = 0.9
"""For a query that is nothing but a name: an embedding knows little of error codes and flags."""


def lexical_weight(query: Query) -> float:
    """How much BM25 counts for `query`, of 1."""
    return NAME_LEXICAL_WEIGHT if query.is_name else LEXICAL_WEIGHT


def fuse(lexical: Iterable[Hit], dense: Iterable[Hit], *, weight: float) -> list[Candidate]:
    """Every chunk once, best first, ties by id. Hits of all tenants are pooled per method; `weight` is that of BM25."""
    by_lexemes, by_vector = _best(lexical), _best(dense)
    ids = sorted(by_lexemes.keys() | by_vector.keys())
    lexical_z = _z_scores(ids, by_lexemes, missing=0.0)
    dense_z = _z_scores(ids, by_vector, missing=min(by_vector.values(), default=0.0))
    candidates = [
        Candidate(id_, by_lexemes.get(id_), by_vector.get(id_), weight * of_lexemes + (1 - weight) * of_vector)
        for id_, of_lexemes, of_vector in zip(ids, lexical_z, dense_z, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.fused, candidate.chunk_id))


def _best(hits: Iterable[Hit]) -> dict[ChunkId, float]:
    scores: dict[ChunkId, float] = {}
    for hit in hits:
        scores[hit.chunk_id] = max(hit.score, scores.get(hit.chunk_id, hit.score))
    return scores


def _z_scores(ids: list[ChunkId], scores: Mapping[ChunkId, float], *, missing: float) -> list[float]:
    values = [scores.get(id_, missing) for id_ in ids]
    if not values:
        return []
    mean = sum(values) / len(values)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if deviation else 0.0 for value in values]
