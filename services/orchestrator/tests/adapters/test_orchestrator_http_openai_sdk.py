"""OpenAI's own client against a real server, and clients that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from groundswell.common.contracts.answers import Outcome
from groundswell.common.errors import Unavailable

TEXT = "Backups run at 02:30. [1]"
MESSAGES: Any = [{"role": "user", "content": "When do backups run?"}]
QUESTION = {"model": "docs-qa", "messages": MESSAGES}
SOON_S = 10.0


@pytest.fixture
async def sdk(served: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{served}/v1", api_key="gs_blue", max_retries=0, timeout=20) as client:
        yield client


async def test_a_plain_answer(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="docs-qa", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == 109
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_a_streamed_answer(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="docs-qa", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"
    vendor: Any = getattr(chunks[-2], "groundswell", None)
    assert vendor["citations"][0]["document"] == "doc_0123456789abcdef01234567"


async def test_the_sdks_stream_helper_puts_the_answer_together(sdk: AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(model="docs-qa", messages=MESSAGES) as stream:
        kinds = [event.type async for event in stream]
        answer = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"


async def test_errors_are_the_sdks_own(sdk: AsyncOpenAI, fakes: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="Available: docs-qa, null"):
        await sdk.chat.completions.create(model="gpt-9", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.chat.completions.create(model="docs-qa", messages=MESSAGES, n=3)
    assert refused.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="gs_wrong").models.list()
    fakes.desk.error = Unavailable("PostgreSQL", retry_after_s=1.0)
    with pytest.raises(openai.InternalServerError) as away:
        await sdk.chat.completions.create(model="docs-qa", messages=MESSAGES)
    assert away.value.status_code == 503


async def test_an_answer_that_breaks_off_is_an_error_in_the_stream_and_is_not_asked_for_twice(
    sdk: AsyncOpenAI, fakes: Any
) -> None:
    failed = replace(fakes.desk.items[-1], outcome=Outcome.FAILED, finish_reason="error", reason="it broke")
    fakes.desk.items = [fakes.desk.items[0], failed]
    stream = await sdk.chat.completions.create(model="docs-qa", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="It broke"):
        async for _ in stream:
            pass
    retrying = sdk.with_options(max_retries=3)
    with pytest.raises(openai.InternalServerError):
        await retrying.chat.completions.create(model="docs-qa", messages=MESSAGES)
    assert len(fakes.desk.questions) == 2


async def test_models_and_files(sdk: AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == ["docs-qa", "null"]
    assert (await sdk.models.retrieve("docs-qa")).owned_by == "groundswell"
    file = await sdk.files.create(file=("faq.md", b"# FAQ\n"), purpose="assistants")
    assert (await sdk.files.retrieve(file.id)).status == "processed"
    assert [listed.id async for listed in sdk.files.list()] == [file.id]
    assert (await sdk.files.content(file.id)).text == "# FAQ\n"
    assert (await sdk.files.delete(file.id)).deleted
    with pytest.raises(openai.BadRequestError, match="not available yet"):
        await sdk.files.create(file=("lines.jsonl", b"{}"), purpose="batch")


async def test_the_head_is_sent_before_there_is_any_text(served: str, fakes: Any) -> None:
    fakes.desk.hold_before = 0
    async with (
        httpx.AsyncClient(base_url=served, headers={"authorization": "Bearer gs_blue"}) as client,
        client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True}) as response,
    ):
        assert response.headers["x-request-id"] == fakes.desk.questions[0].request_id
        lines = response.aiter_lines()
        assert await anext(lines) == "id: 0"
        assert json.loads((await anext(lines)).removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"
        fakes.desk.let_go.set()
        assert [line async for line in lines][-2:] == ["data: [DONE]", ""]
    assert not fakes.desk.abandoned.is_set()


@pytest.mark.parametrize("hold_before", [0, 2])
async def test_a_client_that_leaves_its_stream_abandons_the_request(served: str, fakes: Any, hold_before: int) -> None:
    fakes.desk.hold_before = hold_before
    async with (
        httpx.AsyncClient(base_url=served, headers={"authorization": "Bearer gs_blue"}) as client,
        client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True}) as response,
    ):
        await anext(response.aiter_lines())
    await asyncio.wait_for(fakes.desk.abandoned.wait(), SOON_S)


async def test_a_client_that_leaves_a_plain_request_abandons_it(served: str, fakes: Any) -> None:
    fakes.desk.hold_before = 0
    async with httpx.AsyncClient(base_url=served, headers={"authorization": "Bearer gs_blue"}) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=QUESTION))
        await asyncio.wait_for(fakes.desk.accepted.wait(), SOON_S)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(fakes.desk.abandoned.wait(), SOON_S)


async def test_a_body_far_over_the_limit_still_gets_its_answer(served: str) -> None:
    async with httpx.AsyncClient(base_url=served, headers={"authorization": "Bearer gs_blue"}) as client:
        response = await client.post("/v1/chat/completions", content=b"x" * 5_000_000)
    assert response.status_code == 413
