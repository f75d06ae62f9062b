"""What a search is given of a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.retriever.domain.query import MOST_CHARACTERS, MOST_LEXEMES, read_query


@given(st.text(max_size=400))
def test_any_text_is_a_query_within_bounds(text: str) -> None:
    query = read_query(text)
    assert len(query.text) <= MOST_CHARACTERS
    assert len(query.lexemes) == len(set(query.lexemes)) <= MOST_LEXEMES
    assert query.identifiers.keys() <= set(query.lexemes)
    assert set(query.terms) <= set(query.lexemes)
    assert bool(query.terms) == bool(query.lexemes)
    assert all(" " not in lexeme for lexeme in query.lexemes)


def test_the_words_that_carry_the_subject_are_searched() -> None:
    assert read_query("How many points did the Panthers surrender?").lexemes == ("point", "panther", "surrend")


def test_a_question_of_function_words_alone_is_searched_as_it_is() -> None:
    assert read_query("who is it").lexemes == ("who", "is", "it")


@pytest.mark.parametrize("name", ["ERR_4711", "asyncio.wait_for", "0.28.1", "no-cache", "x86_64", "IPv6", "HttpClient"])
def test_names_are_recognised_as_identifiers(name: str) -> None:
    assert name.casefold() in read_query(f"What about {name}?").identifiers


@pytest.mark.parametrize("word", ["Records", "HTTP", "2014", "it"])
def test_plain_words_and_numbers_are_not_identifiers(word: str) -> None:
    assert read_query(f"What about {word}?").identifiers == {}


def test_an_identifier_is_searched_by_its_parts_too_but_is_one_term() -> None:
    query = read_query("What does ERR_4711 mean?")
    assert query.lexemes == ("err_4711", "err", "4711", "mean")
    assert query.terms == ("err_4711", "mean")
    assert query.identifiers == {"err_4711": {"err", "4711"}}


def test_a_long_query_is_cut() -> None:
    query = read_query(" ".join(f"word{number}" for number in range(100_000)))
    assert len(query.text) <= MOST_CHARACTERS
    assert len(query.lexemes) == MOST_LEXEMES
