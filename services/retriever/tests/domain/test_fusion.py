"""Fusion: every candidate once, in an order that both searches bear out."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.ids import ChunkId
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.domain.fusion import LEXICAL_WEIGHT, NAME_LEXICAL_WEIGHT, fuse, lexical_weight
from groundswell.retriever.domain.query import read_query

IDS = st.sampled_from([ChunkId(f"c{number}") for number in range(12)])


def _hits(low: float, high: float) -> st.SearchStrategy[list[Hit]]:
    scores = st.integers(min_value=0, max_value=1000).map(lambda step: low + (high - low) * step / 1000)
    return st.dictionaries(IDS, scores).map(lambda found: [Hit(id_, score) for id_, score in found.items()])


LEXICAL, DENSE, WEIGHT = _hits(0.1, 30), _hits(-1, 1), st.sampled_from([0.0, 0.3, 0.6, 1.0])


@given(LEXICAL, DENSE, WEIGHT)
def test_every_chunk_comes_once_with_the_scores_it_had(lexical: list[Hit], dense: list[Hit], weight: float) -> None:
    fused = fuse(lexical, dense, weight=weight)
    assert {candidate.chunk_id for candidate in fused} == {hit.chunk_id for hit in (*lexical, *dense)}
    assert len({candidate.chunk_id for candidate in fused}) == len(fused)
    found = {hit.chunk_id: hit.score for hit in lexical}
    assert all(candidate.lexical == found.get(candidate.chunk_id) for candidate in fused)


@given(LEXICAL, DENSE, WEIGHT, st.randoms())
def test_the_order_does_not_depend_on_the_order_of_the_hits(
    lexical: list[Hit], dense: list[Hit], weight: float, random: Random
) -> None:
    before = fuse(lexical, dense, weight=weight)
    random.shuffle(lexical)
    random.shuffle(dense)
    assert fuse(lexical, dense, weight=weight) == before


@given(LEXICAL, DENSE)
def test_a_chunk_that_both_searches_prefer_is_ahead(lexical: list[Hit], dense: list[Hit]) -> None:
    fused = fuse(lexical, dense, weight=LEXICAL_WEIGHT)
    both = [candidate for candidate in fused if candidate.lexical is not None and candidate.dense is not None]
    for number, better in enumerate(both):
        for worse in both[number + 1 :]:
            assert not (worse.lexical > better.lexical and worse.dense > better.dense)  # type: ignore[operator]


@given(LEXICAL, DENSE)
def test_the_scale_of_bm25_does_not_matter(lexical: list[Hit], dense: list[Hit]) -> None:
    scaled = [Hit(hit.chunk_id, hit.score * 4) for hit in lexical]
    before, after = fuse(lexical, dense, weight=0.5), fuse(scaled, dense, weight=0.5)
    assert [candidate.chunk_id for candidate in before] == [candidate.chunk_id for candidate in after]


@given(DENSE)
def test_one_method_alone_keeps_its_own_order(dense: list[Hit]) -> None:
    fused = fuse([], dense, weight=LEXICAL_WEIGHT)
    scores = [candidate.dense for candidate in fused]
    assert scores == sorted(scores, key=lambda score: -(score or 0))


def test_a_chunk_of_both_tenants_keeps_its_better_score() -> None:
    (candidate,) = fuse([Hit(ChunkId("c"), 1.0), Hit(ChunkId("c"), 3.0)], [], weight=0.5)
    assert candidate.lexical == 3.0


def test_a_word_that_one_chunk_has_outweighs_a_slightly_better_cosine() -> None:
    dense = [Hit(ChunkId(f"c{number:02}"), 0.4 + number / 1000) for number in range(50)]
    assert fuse([Hit(ChunkId("c00"), 9.0)], dense, weight=LEXICAL_WEIGHT)[0].chunk_id == "c00"


def test_nothing_found_is_nothing() -> None:
    assert fuse([], [], weight=LEXICAL_WEIGHT) == []


def test_a_bare_name_is_searched_by_its_letters() -> None:
    assert lexical_weight(read_query("max_poll_interval_ms")) == NAME_LEXICAL_WEIGHT
    assert lexical_weight(read_query("What is max_poll_interval_ms?")) == LEXICAL_WEIGHT
    assert lexical_weight(read_query("tides")) == LEXICAL_WEIGHT
