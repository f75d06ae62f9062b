"""Whether what was found answers the query at all.

A logistic regression on two features that do not depend on the collection: the cosine of the best passages, and the
share of the query's lexemes that one of them has, each weighted by how rare it is among what was found. Fitted on half
of the XQuAD articles (a question with its paragraph, and with its whole article taken out).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from groundswell.common.lexemes import analyse
from groundswell.retriever.domain.chunks import RankedChunk
from groundswell.retriever.domain.query import Query

COSINE_WEIGHT, COVERAGE_WEIGHT, INTERCEPT = 16.48, 8.81, -10.90
NEAR_FROM = 0.35
"""On the other half of the articles: 2.9 % of what can be answered is refused, and 93.2 % of what cannot."""
TOP = 3
POOL = 20
PRIOR_DOCUMENTS = 50
"""Counted into the pool as if they lacked every lexeme: a team with three chunks is judged like one with 20,000."""
RARE_WITHIN = 3
IDENTIFIER_CONFIDENCE = 0.5
UNKNOWN_COSINE = 0.4
"""Where the dense search gave no answer: neither for nor against."""
HOPELESS = 0.02


@dataclass(frozen=True, slots=True)
class Evidence:
    """`confidence` is the probability that what was found answers the query, `of_each` that of each chunk alone."""

    confidence: float
    of_each: tuple[float, ...]


def weigh(query: Query, ranked: Sequence[RankedChunk]) -> Evidence:
    """Judge the chunks, best first. A chunk among the best that has an identifier few others have is never doubted."""
    if not ranked:
        return Evidence(0.0, ())
    lexemes = [frozenset(analyse(item.chunk.text).split()) for item in ranked]
    weights = _rarity(query, lexemes[:POOL])
    coverages = [_coverage(weights, found) for found in lexemes]
    cosines = _cosines(ranked)
    of_each = tuple(_probability(*features) for features in zip(cosines, coverages, strict=True))
    confidence = _probability(max(cosines[:TOP]), max(coverages[:TOP]))
    if _has_rare_identifier(query, lexemes):
        confidence = max(confidence, IDENTIFIER_CONFIDENCE)
    return Evidence(confidence, of_each)


def _rarity(query: Query, pool: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency of each lexeme of the query, as in BM25, over the pool and the prior documents."""
    frequencies = {lexeme: sum(lexeme in found for found in pool) for lexeme in query.lexemes}
    documents = len(pool) + PRIOR_DOCUMENTS
    return {lexeme: log(1 + (documents - df + 0.5) / (df + 0.5)) for lexeme, df in frequencies.items()}


def _coverage(weights: Mapping[str, float], found: frozenset[str]) -> float:
    total = sum(weights.values())
    return sum(weight for lexeme, weight in weights.items() if lexeme in found) / total if total else 0.0


def _cosines(ranked: Sequence[RankedChunk]) -> list[float]:
    known = [item.candidate.dense for item in ranked if item.candidate.dense is not None]
    lowest = min(known, default=UNKNOWN_COSINE)
    return [lowest if item.candidate.dense is None else item.candidate.dense for item in ranked]


def _has_rare_identifier(query: Query, lexemes: Sequence[frozenset[str]]) -> bool:
    return any(
        any(identifier in found for found in lexemes[:TOP])
        and sum(identifier in found for found in lexemes[:POOL]) <= RARE_WITHIN
        for identifier in query.identifiers
    )


def _probability(cosine: float, coverage: float) -> float:
    return 1 / (1 + exp(-(COSINE_WEIGHT * cosine + COVERAGE_WEIGHT * coverage + INTERCEPT)))
