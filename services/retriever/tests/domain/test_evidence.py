"""When what was found counts as an answer."""

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from groundswell.retriever.domain.candidates import Candidate
from groundswell.retriever.domain.chunks import CurrentChunk, RankedChunk
from groundswell.retriever.domain.evidence import IDENTIFIER_CONFIDENCE, NEAR_FROM, weigh
from groundswell.retriever.domain.query import read_query

if TYPE_CHECKING:
    from services.retriever.tests.conftest import MakeDocument

QUESTION = read_query("How long does the broker keep records?")
ANSWER = "The broker keeps records for a day."


def _ranked(chunk: CurrentChunk, dense: float | None) -> RankedChunk:
    return RankedChunk(chunk, Candidate(chunk.chunk_id, None, dense, 0.0))


@given(cosine=st.floats(min_value=-1, max_value=1), text=st.text(max_size=60))
def test_confidence_is_a_probability(make_document: "MakeDocument", cosine: float, text: str) -> None:
    evidence = weigh(QUESTION, [_ranked(chunk, cosine) for chunk in make_document(text or "x")])
    assert 0 <= evidence.confidence <= 1
    assert all(0 <= chance <= 1 for chance in evidence.of_each)


@given(low=st.floats(min_value=-1, max_value=1), high=st.floats(min_value=-1, max_value=1))
def test_a_nearer_vector_never_lowers_confidence(make_document: "MakeDocument", low: float, high: float) -> None:
    (chunk,) = make_document(ANSWER)
    low, high = sorted((low, high))
    assert weigh(QUESTION, [_ranked(chunk, low)]).confidence <= weigh(QUESTION, [_ranked(chunk, high)]).confidence


def test_words_and_vector_together_are_near(make_document: "MakeDocument") -> None:
    (chunk,) = make_document(ANSWER)
    assert weigh(QUESTION, [_ranked(chunk, 0.6)]).confidence > 0.9


def test_neither_words_nor_vector_are_not(make_document: "MakeDocument") -> None:
    (chunk,) = make_document("Tides rise and fall twice.")
    assert weigh(QUESTION, [_ranked(chunk, 0.2)]).confidence < NEAR_FROM


def test_a_word_that_everything_found_has_says_little(make_document: "MakeDocument") -> None:
    query = read_query("groundswell retention")
    common = [chunk for number in range(20) for chunk in make_document(f"Groundswell {number}", name=f"{number}.md")]
    rare = [*make_document("retention", name="rare.md"), *common[1:]]
    of_common = weigh(query, [_ranked(chunk, 0.3) for chunk in common]).confidence
    assert of_common < weigh(query, [_ranked(chunk, 0.3) for chunk in rare]).confidence


def test_an_exact_identifier_is_not_doubted_whatever_the_vector(make_document: "MakeDocument") -> None:
    query = read_query("Please explain in simple everyday language whatever happens around ERR_4711")
    (chunk,) = make_document("ERR_4711: full.")
    assert weigh(query, [_ranked(chunk, 0.0)]).confidence >= IDENTIFIER_CONFIDENCE >= NEAR_FROM


def test_a_name_inside_a_path_counts_by_its_parts(make_document: "MakeDocument") -> None:
    inside = make_document("See https://docs.example.org/start/quickstart.html for more")
    outside = make_document("See the page that describes how to start")
    confidences = [
        weigh(read_query("quickstart.html"), [_ranked(chunk, 0.3) for chunk in chunks]).confidence
        for chunks in (inside, outside)
    ]
    assert confidences[0] >= NEAR_FROM > confidences[1]


def test_an_identifier_that_everything_has_is_no_evidence(make_document: "MakeDocument") -> None:
    query = read_query("Please explain in simple everyday language whatever happens around ERR_4711")
    chunks = [chunk for number in range(9) for chunk in make_document(f"ERR_4711 {number}", name=f"{number}.md")]
    assert weigh(query, [_ranked(chunk, 0.0) for chunk in chunks]).confidence < NEAR_FROM


def test_without_the_dense_search_words_decide(make_document: "MakeDocument") -> None:
    (answer,) = make_document(ANSWER)
    (other,) = make_document("Tides rise and fall twice.")
    assert weigh(QUESTION, [_ranked(answer, None)]).confidence >= NEAR_FROM
    assert weigh(QUESTION, [_ranked(other, None)]).confidence < NEAR_FROM


def test_nothing_found_is_no_evidence() -> None:
    assert weigh(QUESTION, []).confidence == 0
