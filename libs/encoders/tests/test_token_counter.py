from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from groundswell.encoders.tokens import TokenCounter

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "tide",
    "##s",
    "wave",
    "groundswell",
    "a",
    "##b",
    "[",
    "]",
    "sep",
    "é",
    ".",
]


def tiny_tokenizer() -> Tokenizer:
    """Like the embedder's: word pieces, lower case, with truncation, padding and special tokens switched on."""
    tokenizer = Tokenizer(WordPiece({token: number for number, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    return tokenizer


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> TokenCounter:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return TokenCounter.load(folder)


COUNTER = TokenCounter(tiny_tokenizer())
any_text = st.text(st.characters(), max_size=60)
words = st.lists(st.sampled_from(["tide", "Tides", "wave", "é", "ab", "[SEP]", "🌊", "."]), max_size=40).map(" ".join)


@given(any_text | words)
def test_offsets_lie_in_the_text_and_run_forward(text: str) -> None:
    offsets = COUNTER.offsets(text)
    assert all(0 <= start < end <= len(text) for start, end in offsets)
    assert all(before[1] <= after[0] for before, after in pairwise(offsets))


@given(st.lists(any_text | words, max_size=6))
def test_counts_equal_the_number_of_offsets(texts: list[str]) -> None:
    expected = [len(COUNTER.offsets(text)) for text in texts]
    assert COUNTER.count_many(texts) == expected
    assert [COUNTER.count(text) for text in texts] == expected


@given(words, words)
def test_counts_of_texts_joined_by_a_space_add_up(left: str, right: str) -> None:
    assert COUNTER.count(f"{left} {right}") == COUNTER.count(left) + COUNTER.count(right)


def test_offsets_count_code_points_not_bytes(counter: TokenCounter) -> None:
    text = "🌊 Tides é"
    assert [text[start:end] for start, end in counter.offsets(text)] == ["🌊", "Tide", "s", "é"]


def test_long_texts_are_counted_to_the_end(counter: TokenCounter) -> None:
    assert counter.count("wave " * 5000) == 5000


def test_short_texts_are_not_padded_and_get_no_special_tokens(counter: TokenCounter) -> None:
    assert counter.count_many(["", "wave"]) == [0, 1]


def test_the_name_of_a_special_token_is_ordinary_text(counter: TokenCounter) -> None:
    assert counter.offsets("[SEP]") == [(0, 1), (1, 4), (4, 5)]


def test_a_lone_surrogate_is_one_unknown_character(counter: TokenCounter) -> None:
    text = "wave \ud83c tide"
    assert [text[start:end] for start, end in counter.offsets(text)][-1] == "tide"


@pytest.mark.models
def test_the_real_tokenizer_is_not_cut_at_the_limit_in_its_file(minilm_folder: Path) -> None:
    counter = TokenCounter.load(minilm_folder)
    text = "The tide rises, the tide falls. " * 200
    assert counter.count(text) == 200 * 8
    assert counter.offsets(text)[-1] == (len(text) - 2, len(text) - 1)
