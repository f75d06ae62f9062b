"""An answer in OpenAI's shapes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from groundswell.common.contracts.answers import Outcome
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain import openai_shapes as shapes
from groundswell.orchestrator.domain.question import Answer, Citation

ASKED = shapes.Asked(
    request_id=RequestId("req_0123456789abcdef01234567"), created=1_795_000_000.7, model="docs-qa", tier=Tier.BULK
)


def citation(mark: int, page: int | None = None) -> Citation:
    return Citation(
        mark=mark,
        document=f"doc_{mark:024x}",
        version=1,
        title="T",
        name="t.md",
        section="S",
        source="docs",
        updated="2026-11-01T00:00:00+00:00",
        start=0,
        end=5,
        quote="quote",
        page=page,
    )


def answer(**changes: Any) -> Answer:
    fields: dict[str, Any] = {"outcome": Outcome.COMPLETED, "text": "Yes. [1]", "finish_reason": "stop"}
    return Answer(**(fields | changes))


def test_every_shape_is_what_the_sdk_knows() -> None:
    made = answer()
    completion = ChatCompletion.model_validate(shapes.completion(ASKED, made))
    assert completion.service_tier == "flex"
    assert completion.created == 1_795_000_000
    for chunk in (
        shapes.first_chunk(ASKED),
        shapes.text_chunk(ASKED, "Yes"),
        shapes.last_chunk(ASKED, made),
        shapes.usage_chunk(ASKED, made),
    ):
        assert ChatCompletionChunk.model_validate(chunk).id == completion.id


@given(st.lists(st.one_of(st.text(max_size=5), st.sampled_from(["[1]", "[2]", "[3]", "[99]", "\U0001f30a"]))))
def test_annotations_point_at_marks_by_code_points_whatever_stands_around_them(parts: list[str]) -> None:
    text = "".join(parts)
    for annotation in shapes.annotations(text, [citation(2), citation(1)]):
        cited = annotation["file_citation"]
        mark = text[cited["start_index"] : cited["end_index"]]
        assert mark == {0: "[2]", 1: "[1]"}[cited["index"]]


def test_marks_without_a_citation_are_text() -> None:
    assert shapes.annotations("a[3] [12] [x]", [citation(1)]) == []


def test_a_page_stands_only_where_there_is_one() -> None:
    shown = shapes.vendor_object(ASKED.request_id, answer(citations=(citation(1), citation(2, page=7))))["citations"]
    assert "page" not in shown[0]
    assert shown[1]["page"] == 7


def test_a_refusal_after_some_text_keeps_the_text() -> None:
    refused = answer(outcome=Outcome.REFUSED, finish_reason="content_filter", reason="A secret.", text="So far")
    message = shapes.completion(ASKED, refused)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == ("So far", "A secret.")
    assert shapes.failure_of(refused) is None


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED])
def test_every_other_end_is_a_failure_that_says_what_to_do(outcome: Outcome) -> None:
    failure = shapes.failure_of(answer(outcome=outcome, finish_reason="error", reason=None))
    assert failure is not None
    assert "sk again" in failure.message
    assert failure.status in (400, 408, 409, 502)


def test_the_final_event_has_everything_but_the_text() -> None:
    event = shapes.answer_object(answer(citations=(citation(1),), prompt_tokens=3))
    assert "Yes." not in str(event)
    assert event["usage"]["prompt_tokens"] == 3
    assert event["groundswell"]["citations"][0]["mark"] == 1
