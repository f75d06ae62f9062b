from pathlib import Path

import pytest

from measures.questions import (
    CITED,
    FAILED,
    NOT_FOUND,
    REFUSED,
    UNCITED,
    UNKNOWN,
    Answered,
    Question,
    read_questions,
    summary,
)

COMPLETED = {"outcome": "completed", "passages": 3, "timings_ms": {"first_token": 900.0, "generation": 1000.0}}


def answered(text: str = "It is.", **about: object) -> Answered:
    return Answered(
        first_text_s=1.0, total_s=2.0, text=text, about=COMPLETED | about, prompt_tokens=700, completion_tokens=11
    )


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (answered(citations=[{"mark": 1}]), CITED),
        (answered(), UNCITED),
        (answered(text="I don't know."), UNKNOWN),
        (answered(passages=0), NOT_FOUND),
        (answered(outcome="refused"), REFUSED),
        (answered(outcome="expired"), FAILED),
        (Answered(failed=True), FAILED),
        (Answered(), FAILED),
    ],
)
def test_an_answer_ends_in_one_way(answer: Answered, end: str) -> None:
    assert answer.end == end


def test_the_committed_questions_are_fifty_different_ones_of_both_kinds() -> None:
    questions = read_questions(Path(__file__).with_name("questions.txt"))
    assert len({question.text for question in questions}) == 50
    assert {question.in_documents for question in questions} == {True, False}


def test_what_was_not_found_has_no_tokens_and_counts_for_no_stage() -> None:
    silent = Answered(first_text_s=0.1, total_s=0.1, about={"outcome": "completed", "timings_ms": {"total": 90.0}})
    told = summary([Question("a", in_documents=True), Question("b", in_documents=False)], [answered(), silent])
    assert told["shares"] == {UNCITED: 1, NOT_FOUND: 1}
    assert told["stages_ms"]["generation"].count == 1
    assert "total" not in told["stages_ms"]
    assert told["tokens_per_s"].p50 == 10.0


def test_an_end_that_the_questions_do_not_promise_is_named() -> None:
    told = summary([Question("a", in_documents=False), Question("b", in_documents=True)], [answered(), answered()])
    assert told["unexpected"] == {"a": UNCITED}
