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

COSINE_WEIGHT, COVERAGE_WEIGHT, INTERCEPT = 15.57, 8.50, -10.29
NEAR_FROM = 0.3
"""On the other half of the articles: 1.7 % of what can be answered is refused, and 92.4 % of what cannot. At .5 it is
4.7 % and 95.2 %: a refusal is final, while what passes wrongly still meets a language model that may say no.
"""
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
    coverages = [_coverage(query, weights, found) for found in lexemes]
    cosines = _cosines(ranked)
    of_each = tuple(_probability(*features) for features in zip(cosines, coverages, strict=True))
    confidence = _probability(max(cosines[:TOP]), max(coverages[:TOP]))
    if _has_rare_identifier(query, lexemes):
        confidence = max(confidence, IDENTIFIER_CONFIDENCE)
    return Evidence(confidence, of_each)


def _rarity(query: Query, pool: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency of each term of the query, as in BM25, over the pool and the prior documents."""
    frequencies = {term: sum(_has(query, term, found) for found in pool) for term in query.terms}
    documents = len(pool) + PRIOR_DOCUMENTS
    return {term: log(1 + (documents - df + 0.5) / (df + 0.5)) for term, df in frequencies.items()}


def _coverage(query: Query, weights: Mapping[str, float], found: frozenset[str]) -> float:
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if _has(query, term, found)) / total if total else 0.0


def _has(query: Query, term: str, found: frozenset[str]) -> bool:
    """A compound name may stand inside a longer one, a path or an address: then all its parts are there."""
    parts = query.identifiers.get(term)
    return term in found or (parts is not None and bool(parts) and parts <= found)


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
