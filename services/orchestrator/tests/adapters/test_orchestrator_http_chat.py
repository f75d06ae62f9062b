"""`POST /v1/chat/completions` over fakes: what is accepted, how it is answered, and how the rest is refused."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from groundswell.common.contracts.answers import Outcome
from groundswell.common.errors import Overloaded, Unavailable
from groundswell.common.tiers import Tier

QUESTION: dict[str, Any] = {"model": "docs-qa", "messages": [{"role": "user", "content": "When do backups run?"}]}
URL = "/v1/chat/completions"


def asked(**changes: Any) -> dict[str, Any]:
    return QUESTION | changes


def events(text: str) -> list[tuple[str, Any]]:
    """(id, data) of each event."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "data" in fields:
            data = fields["data"]
            found.append((fields.get("id", ""), data if data == "[DONE]" else json.loads(data)))
    return found


async def test_an_answer_has_openais_shape_and_one_vendor_object(client: httpx.AsyncClient, fakes: Any) -> None:
    response = await client.post(URL, json=QUESTION)
    answer = response.json()
    assert response.status_code == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "docs-qa"
    message = answer["choices"][0]["message"]
    assert message["content"] == "Backups run at 02:30. [1]"
    assert message["refusal"] is None
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109}
    vendor = answer["groundswell"]
    assert vendor["request_id"] == response.headers["x-request-id"] == fakes.desk.questions[0].request_id
    assert vendor["citations"][0]["quote"] == "Backups run at 02:30."
    assert "page" not in vendor["citations"][0]
    assert vendor["model"] == {
        "name": "null",
        "assistant": "docs-qa",
        "reasons": ["the model of assistant docs-qa"],
    }


async def test_each_mark_has_an_annotation_that_says_where_it_stands(client: httpx.AsyncClient) -> None:
    message = (await client.post(URL, json=QUESTION)).json()["choices"][0]["message"]
    cited = message["annotations"][0]["file_citation"]
    assert message["annotations"][0]["type"] == "file_citation"
    assert message["content"][cited["start_index"] : cited["end_index"]] == "[1]"
    assert cited["file_id"] == "file-0123456789abcdef01234567"
    assert cited["filename"] == "handbook.md"
    assert cited["index"] == 0


async def test_a_question_is_complete_with_the_assistants_and_the_tiers_defaults(
    client: httpx.AsyncClient, fakes: Any
) -> None:
    await client.post(URL, json=QUESTION)
    question = fakes.desk.questions[0]
    assert question.text == "When do backups run?"
    assert question.caller.team == "blue"
    assert question.tier is Tier.INTERACTIVE
    assert question.deadline - question.created == 120.0
    assert question.max_tokens == 256
    assert question.sampling.temperature == 0.0
    assert not question.resumable


async def test_everything_that_is_asked_for_reaches_the_question(client: httpx.AsyncClient, fakes: Any) -> None:
    body = asked(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "When "}, {"type": "text", "text": "now?"}]},
        ],
        max_completion_tokens=17,
        temperature=0.5,
        top_p=0,
        seed=-3,
        stop="END",
        groundswell={
            "tier": "bulk",
            "deadline_s": 33,
            "resumable": True,
            "cache": False,
            "filters": {
                "sources": ["docs"],
                "documents": ["file-0123456789abcdef01234567"],
                "updated_after": "2026-11-01T00:00:00",
            },
        },
    )
    assert (await client.post(URL, json=body)).status_code == 200
    question = fakes.desk.questions[0]
    assert [message.role for message in question.messages] == ["system", "user"]
    assert question.text == "When now?"
    assert question.max_tokens == 17
    assert question.tier is Tier.BULK
    assert question.deadline - question.created == 33
    assert question.resumable
    assert question.sampling.seed == -3
    assert question.sampling.stop == ("END",)
    assert 0 < question.sampling.top_p < 0.001
    assert question.filters.documents == ("doc_0123456789abcdef01234567",)
    assert question.filters.updated_after.isoformat() == "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("service_tier", "tier"),
    [("priority", Tier.INTERACTIVE), ("flex", Tier.BULK), ("auto", Tier.INTERACTIVE), ("default", Tier.INTERACTIVE)],
)
async def test_openais_service_tier_picks_the_tier(
    client: httpx.AsyncClient, fakes: Any, service_tier: str, tier: Tier
) -> None:
    await client.post(URL, json=asked(service_tier=service_tier))
    assert fakes.desk.questions[0].tier is tier


async def test_a_stream_has_a_role_then_text_then_the_end_with_the_vendor_object(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json=asked(stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"].startswith("req_")
    received = events(response.text)
    chunks = [data for _, data in received[:-1]]
    assert received[-1][1] == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Backups run at 02:30. [1]"
    assert {c["id"] for c in chunks} == {chunks[0]["id"]}
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == [None, "stop"]
    assert chunks[-1]["choices"][0]["delta"]["annotations"][0]["type"] == "file_citation"
    assert chunks[-1]["groundswell"]["request_id"] == response.headers["x-request-id"]
    assert not any("usage" in chunk for chunk in chunks)


async def test_event_ids_count_the_code_points_released_so_far(client: httpx.AsyncClient) -> None:
    received = events((await client.post(URL, json=asked(stream=True))).text)
    released = 0
    for event_id, data in received[:-1]:
        released += len(data["choices"][0]["delta"].get("content", ""))
        assert event_id == str(released)


async def test_usage_comes_in_a_chunk_of_its_own_when_asked_for(client: httpx.AsyncClient) -> None:
    body = asked(stream=True, stream_options={"include_usage": True})
    chunks = [data for _, data in events((await client.post(URL, json=body)).text)][:-1]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 109
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_a_recorded_answer_that_is_longer_than_what_was_released_is_completed(
    client: httpx.AsyncClient, fakes: Any
) -> None:
    fakes.desk.items = [fakes.desk.items[0], fakes.desk.items[-1]]
    chunks = [data for _, data in events((await client.post(URL, json=asked(stream=True))).text)][:-1]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Backups run at 02:30. [1]"


REFUSED = {"outcome": Outcome.REFUSED, "finish_reason": "content_filter", "text": "", "citations": ()}


async def test_a_refusal_says_why_in_openais_words(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.desk.items = [replace(fakes.desk.items[-1], reason="It asks for a secret.", **REFUSED)]
    choice = (await client.post(URL, json=QUESTION)).json()["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["refusal"] == "It asks for a secret."
    assert choice["message"]["content"] is None
    last = events((await client.post(URL, json=asked(stream=True))).text)[-2][1]["choices"][0]
    assert last["finish_reason"] == "content_filter"
    assert last["delta"]["refusal"] == "It asks for a secret."


@pytest.mark.parametrize(
    ("outcome", "status", "kind"),
    [
        (Outcome.FAILED, 502, "generation_failed"),
        (Outcome.EXPIRED, 408, "deadline_exceeded"),
        (Outcome.CANCELLED, 409, "request_cancelled"),
        (Outcome.REFUSED, 400, "invalid_request_error"),
    ],
)
async def test_what_ended_without_an_answer_is_an_error_that_clients_do_not_repeat_by_themselves(
    client: httpx.AsyncClient, fakes: Any, outcome: Outcome, status: int, kind: str
) -> None:
    fakes.desk.items = [replace(fakes.desk.items[-1], outcome=outcome, finish_reason="error", reason="it broke")]
    response = await client.post(URL, json=QUESTION)
    assert response.status_code == status
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"] == response.json()["groundswell"]["request_id"]
    assert response.json()["error"]["type"] == kind
    assert response.json()["error"]["message"].startswith("It broke.")
    streamed = events((await client.post(URL, json=asked(stream=True))).text)
    assert streamed[-2][1]["error"]["type"] == kind
    assert streamed[-1][1] == "[DONE]"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "docs-qa"}, "messages"),
        (asked(messages=[]), "messages"),
        (asked(messages="How?"), "messages"),
        (asked(messages=[{"role": "user", "content": " \n\u200b "}]), "messages"),
        (asked(messages=[{"role": "system", "content": "Be brief."}]), "messages"),
        (asked(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (asked(messages=[{"role": "user", "content": 3}]), "messages[0].content"),
        (
            asked(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "messages[0].content[0].type",
        ),
        (asked(messages=[{"role": "user", "content": "x"}] * 21), "messages"),
        (asked(model=7), "model"),
        (asked(temperature=3), "temperature"),
        (asked(temperature="warm"), "temperature"),
        (asked(top_p=1.5), "top_p"),
        (asked(max_tokens=0), "max_tokens"),
        (asked(max_tokens=501), "max_tokens"),
        (asked(max_completion_tokens=True), "max_completion_tokens"),
        (asked(seed=2**63), "seed"),
        (asked(stop=["a", "b", "c", "d", "e"]), "stop"),
        (asked(stop=""), "stop"),
        (asked(stream="yes"), "stream"),
        (asked(service_tier="scale"), "service_tier"),
        (asked(n=2), "n"),
        (asked(n=True), "n"),
        (asked(tools=[{"type": "function"}]), "tools"),
        (asked(response_format={"type": "json_object"}), "response_format"),
        (asked(logprobs=True), "logprobs"),
        (asked(logit_bias={"50256": -100}), "logit_bias"),
        (asked(presence_penalty=0.5), "presence_penalty"),
        (asked(groundswell=[]), "groundswell"),
        (asked(groundswell={"tier": "urgent"}), "groundswell.tier"),
        (asked(groundswell={"deadline_s": 0}), "groundswell.deadline_s"),
        (asked(groundswell={"deadline_s": 10**9}), "groundswell.deadline_s"),
        (asked(groundswell={"secret-word": 1}), "groundswell"),
        (asked(groundswell={"filters": {"secret-word": 1}}), "groundswell.filters"),
        (asked(groundswell={"filters": {"sources": ["a\u0000"]}}), "groundswell.filters.sources[0]"),
        (asked(groundswell={"filters": {"documents": ["x"]}}), "groundswell.filters.documents[0]"),
        (asked(groundswell={"filters": {"updated_after": "soon"}}), "groundswell.filters.updated_after"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named_and_nothing_is_accepted(
    client: httpx.AsyncClient, fakes: Any, body: dict[str, Any], param: str
) -> None:
    response = await client.post(URL, json=body)
    error = response.json()["error"]
    assert response.status_code == 400, error
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert "secret-word" not in response.text
    assert fakes.desk.questions == []
    assert "x-request-id" not in response.headers


@pytest.mark.parametrize(
    "harmless",
    [
        {"n": 1},
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"logprobs": False},
        {"frequency_penalty": 0},
        {"modalities": ["text"]},
        {"tools": None, "stop": None, "stream": None, "max_tokens": None, "groundswell": None},
        {"user": "u1", "metadata": {"a": "b"}, "something_new": 1},
    ],
)
async def test_parameters_that_change_nothing_are_taken(client: httpx.AsyncClient, harmless: dict[str, Any]) -> None:
    assert (await client.post(URL, json=asked(**harmless))).status_code == 200


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b'{"model": "docs-qa"} extra', "invalid_json"),
        (b"[" * 1000, "invalid_json"),
        (b'{"model": "\\ud800"}', "invalid_json"),
        (b'"\xff"', "invalid_encoding"),
        ('{"model": "ü"}'.encode("utf-16"), "invalid_encoding"),
    ],
)
async def test_what_is_not_json_in_utf8_is_told_so(client: httpx.AsyncClient, content: bytes, code: str) -> None:
    response = await client.post(URL, content=content)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code


async def test_an_unknown_model_names_those_there_are(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json=asked(model="secret-word"))
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert "docs-qa, null" in error["message"]
    assert "secret-word" not in response.text


async def test_a_huge_question_is_told_both_numbers(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json=asked(messages=[{"role": "user", "content": "x" * 1001}]))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert "1001" in response.json()["error"]["message"]
    assert "1000" in response.json()["error"]["message"]


async def test_a_body_over_the_limit_is_not_kept(client: httpx.AsyncClient) -> None:
    announced = await client.post(URL, content=b"x" * 20_001)

    async def unannounced() -> Any:
        for _ in range(30):
            yield b"x" * 1000

    chunked = await client.post(URL, content=unannounced())
    for response in (announced, chunked):
        assert response.status_code == 413
        assert "20000" in response.json()["error"]["message"]


async def test_a_component_that_is_away_is_503_with_a_time_to_come_back(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.desk.error = Unavailable("PostgreSQL: secret-word", retry_after_s=2.4)
    response = await client.post(URL, json=QUESTION)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "3"
    assert response.headers["retry-after-ms"] == "2400"
    assert "secret-word" not in response.text
    assert "x-request-id" not in response.headers


async def test_no_room_is_429_and_never_a_server_error(
    client: httpx.AsyncClient, fakes: Any, overloaded: Overloaded
) -> None:
    fakes.desk.error = overloaded
    response = await client.post(URL, json=QUESTION)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "2"


async def test_a_bug_is_a_500_that_says_nothing_of_the_inside(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.desk.error = KeyError("secret-word")
    response = await client.post(URL, json=QUESTION)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret-word" not in response.text


async def test_models_are_listed_and_found(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["docs-qa", "null"]
    assert all(model["object"] == "model" and model["owned_by"] == "groundswell" for model in listed)
    assert (await client.get("/v1/models/null")).json()["groundswell"]["kind"] == "model"
    assert (await client.get("/v1/models/none")).status_code == 404
