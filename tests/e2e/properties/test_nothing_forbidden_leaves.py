"""What must not leave does not: not in a stream, however it is split over tokens, not in what is kept of the answer."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100)]

CARD = "4000 0566 5566 5556"
"""A number that could be a payment card's, as four words: so many tokens does the null model make of it."""
PLACES = 4


@pytest.fixture
def released(lie_on: Callable[[str], list[Any]]) -> Callable[[str], str]:
    """Everything on the answer stream about a request: its text as released, then all of the final event."""

    def read(request_id: str) -> str:
        records = [json.loads(record.value) for record in lie_on("evt.answer-stream.v1")]
        *texts, final = [record for record in records if record["request_id"] == request_id]
        return "".join(record["text"] for record in texts) + json.dumps(final, ensure_ascii=False)

    return read


def kept(stack: Any, request_id: str, key: str) -> str:
    with stack.http(key) as http:
        text: str = http.get(f"/v1/requests/{request_id}").text
    return text


@pytest.mark.parametrize("place", range(PLACES))
def test_a_forbidden_string_split_over_tokens_never_leaves(
    place: int,
    stack: Any,
    chance: Random,
    ask_beside: Callable[..., Any],
    wait_until: Callable[..., Any],
    released: Callable[[str], str],
) -> None:
    """Wherever it stands in the windows that are checked."""
    key = stack.key_for(f"card-holder-{place}")
    before, after = (" ".join(chance.choices(("pay", "with", "until", "noon"), k=chance.randint(1, 60))) for _ in "12")
    client = ask_beside(f"{before} {CARD} {after}", key)
    wait_until(lambda: client.over, what="the end of the stream")
    assert client.text.strip() == before
    assert client.endings == ["content_filter"]
    for told in (kept(stack, client.request_id, key), released(client.request_id)):
        assert before in told
        assert CARD[:9] not in told
        assert CARD[-9:] not in told


def test_a_document_that_holds_a_forbidden_string_is_not_quoted(
    stack: Any, wait_until: Callable[..., Any], released: Callable[[str], str]
) -> None:
    key = stack.key_for("warden")
    disguised = stack.forbidden.title().replace(" ", "\n")
    documents = {
        "text.md": f"# Warden\n\nThe warden of the reserve watches {disguised} every morning.\n",
        "heading.md": f"# {stack.forbidden}\n\nThe warden of the reserve counts eggs every morning.\n",
        "plain.md": "# Boats\n\nThe warden of the reserve rows a green boat every morning.\n",
    }
    files = [stack.upload(name, text, key) for name, text in documents.items()]
    wait_until(lambda: all(stack.file_status(file, key) == "processed" for file in files), what="documents live")

    answer = stack.ask("What does the warden of the reserve do every morning?", key)
    request_id = answer["groundswell"]["request_id"]
    assert "green boat" in answer["choices"][0]["message"]["content"]
    for place in (json.dumps(answer), kept(stack, request_id, key), released(request_id)):
        assert "green boat" in place
        assert "osprey" not in place.lower()


def test_a_question_that_holds_a_forbidden_string_is_refused(stack: Any) -> None:
    answer = stack.ask(f"Where is {stack.forbidden.upper()}?", stack.key_for("asker"), model="null")
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert "OSPREY" not in json.dumps(answer)
