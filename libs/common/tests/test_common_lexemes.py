"""The analysed text that BM25 searches."""

import string
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.lexemes import _lexemes, analyse

ASCII_WORDS = st.text(string.ascii_letters, min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "lexemes"),
    [
        ("", ""),
        (" \n\t.,;!?()", ""),
        ("Connections connected connecting", "connect connect connect"),
        ("The caches are FULL", "the cach are full"),
        ("max_poll_records", "max_poll_records max poll record"),
        ("maxPollRecords", "maxpollrecords max poll record"),
        ("HTTPServerError", "httpservererror http server error"),
        ("sklearn.linear_model", "sklearn.linear_model sklearn linear model"),
        ("python-3.11", "python-3.11 python 3 11"),
        ("a/b/c.py", "a/b/c.py a b c py"),
        ("C++ and C#", "c++ c and c# c"),
        ("end of sentence. Next", "end of sentenc next"),
        ("e-mail: me@example.org", "e-mail e mail me@example.org me exampl org"),
        ("\ufb01nd", "find"),
        ("naïve Füße", "naïv füsse"),
        ("日本語 text", "日本語 text"),
    ],
)
def test_words_become_stems_and_identifiers_are_whole_and_split(text: str, lexemes: str) -> None:
    assert analyse(text) == lexemes


@pytest.mark.parametrize(
    ("in_document", "in_query"),
    [
        ("def on_partitions_revoked(self)", "on_partitions_revoked"),
        ("on_partitions_revoked", "revoked partitions"),
        ("KafkaConsumer.getmany", "kafkaconsumer.getmany"),
        ("The consumer was CLOSED", "closing"),
        ("retries=5", "RETRY"),
    ],
)
def test_a_query_meets_what_it_means(in_document: str, in_query: str) -> None:
    assert set(analyse(in_query).split()) & set(analyse(in_document).split())


@given(st.text(max_size=300))
def test_any_text_gives_lexemes_without_white_space_or_upper_case(text: str) -> None:
    lexemes = analyse(text).split(" ")
    assert all(lexeme and not lexeme.isspace() for lexeme in lexemes) or lexemes == [""]
    assert all(lexeme == lexeme.casefold() for lexeme in lexemes if lexeme.isascii())


@given(st.text(st.characters(), max_size=50))
def test_lone_surrogates_and_controls_are_no_reason_to_fail(text: str) -> None:
    assert isinstance(analyse(text), str)


@given(ASCII_WORDS)
def test_an_ascii_word_reads_the_same_in_any_case(word: str) -> None:
    assert analyse(word.lower()) == analyse(word.upper()) == analyse(word.title())


@given(ASCII_WORDS)
def test_the_analysis_of_identifiers_has_the_whole_word_first(word: str) -> None:
    first, *_ = analyse(f"{word}_x").split()
    assert first == f"{word.lower()}_x"


@given(st.lists(ASCII_WORDS, max_size=8))
def test_a_text_is_analysed_word_by_word(words: list[str]) -> None:
    assert analyse(" ".join(words)) == " ".join(analyse(word) for word in words)


def test_a_word_without_end_is_cut_and_has_few_parts() -> None:
    lexemes = analyse("aB" * 10_000).split()
    assert len(lexemes) == 13
    assert max(map(len, lexemes)) <= 80


def test_threads_do_not_disturb_each_other() -> None:
    words = [f"{chr(97 + number % 26)}{number // 26 * 'o'}relations" for number in range(260)]
    expected = [analyse(word) for word in words]
    _lexemes.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyse, words)) == expected
