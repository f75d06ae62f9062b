from hypothesis import given
from hypothesis import strategies as st

from groundswell.generator.domain.prompt_text import without_special_tokens

SPECIAL = ["<|im_start|>", "<|im_end|>", "<<<", "<|x|>"]


@given(st.lists(st.sampled_from([*SPECIAL, "<", "|", "<|", "|>", "im_end", "hello ", "x"]), max_size=20).map("".join))
def test_no_special_token_survives(text: str) -> None:
    plain = without_special_tokens(text, SPECIAL)
    assert not any(token in plain for token in SPECIAL)
    assert plain.replace(" ", "") == text.replace(" ", "")


def test_other_text_stays_as_it_is() -> None:
    assert without_special_tokens("if a < b | c > d:", SPECIAL) == "if a < b | c > d:"


def test_tokens_that_are_plain_white_space_or_one_letter_stay() -> None:
    assert without_special_tokens("a  b\n", ["  ", "\n", "a"]) == "a  b\n"
