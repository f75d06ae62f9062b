"""Sentences end where a reader would say so, in the common cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.ingest.domain.sentences import sentence_ends


def sentences(text: str) -> list[str]:
    ends = list(sentence_ends(text, 0, len(text)))
    return [text[start:end].strip() for start, end in zip([0, *ends], ends, strict=False)]


@given(st.text(alphabet="aB1 .!?\n\t`\"')(。", max_size=80))
def test_sentences_partition_every_text(text: str) -> None:
    ends = list(sentence_ends(text, 0, len(text)))
    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(text)


@pytest.mark.parametrize(
    "parts",
    [
        ["One here.", "Two here!", "Three here?", "Four."],
        ["It costs 3.5 dollars in version 1.2.3 today.", "Then it stops."],
        ["Use e.g. the small one, i.e. this.", "See Fig. 3 and Dr. Smith vs. the U.S. Army.", "Done."],
        ['He said "Stop."', "Then he left."],
        ["Set `a. B` first.", "Then `b`."],
        ["1. Install it.", "Run it."],
        ["That was in 2019.", "Nobody knew."],
        ["Wait ... what happened?", "Nothing (really).", "[Yes]."],
        ["An ellipsis…", "Then more."],
        ["これは文です。", "次の文です。", "終わり。"],
        ["First\nline goes on.", "Second."],
        ["No full stop here", "New paragraph"],
        ["Written by J. Smith and A. Jones.", "Good."],
    ],
)
def test_common_cases(parts: list[str]) -> None:
    joint = "\n\n" if "New paragraph" in parts else "" if "。" in parts[0] else " "
    assert sentences(joint.join(parts)) == parts


def test_a_backtick_that_is_never_closed_ends_with_its_paragraph() -> None:
    assert sentences("One ` two. Three.\n\nFour. Five.") == ["One ` two. Three.", "Four.", "Five."]


@pytest.mark.parametrize("unit", [".", ". ", "`. A", "\n \n", "\n ", "?!", "。", "e.g. A", "1. ", '."'])
def test_long_runs_take_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert list(sentence_ends(text, 0, len(text)))[-1] == len(text)
