"""`Idempotency-Key` over fakes: one question, one request, however often it is asked."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from groundswell.common.ids import TeamId
from groundswell.common.testing.waiting import until
from groundswell.orchestrator.domain.idempotency import request_id_of
from groundswell.orchestrator.ports import AlreadyAccepted

URL = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "docs-qa", "messages": [{"role": "user", "content": "When do backups run?"}]}
KEYED = {"Idempotency-Key": "4f1c-88"}


@pytest.fixture
async def accepted(client: httpx.AsyncClient, fakes: Any, make_request_record: Any) -> Any:
    """The record of a request with that key, as another replica left it; the desk knows it was accepted."""
    await client.post(URL, json=QUESTION, headers=KEYED)
    (question,) = fakes.desk.questions
    record = make_request_record(request_id=question.request_id, fingerprint=question.fingerprint)
    fakes.ledger.records[record.request_id] = record
    fakes.desk.error = AlreadyAccepted(record.request_id)
    return record


async def test_a_key_gives_a_request_its_id_and_lets_it_go_on_without_its_client(
    client: httpx.AsyncClient, fakes: Any
) -> None:
    response = await client.post(URL, json=QUESTION, headers=KEYED)
    (question,) = fakes.desk.questions
    assert (
        response.headers["x-request-id"]
        == question.request_id
        == request_id_of(TeamId("blue"), KEYED["Idempotency-Key"])
    )
    assert question.resumable
    assert "idempotent-replayed" not in response.headers


async def test_without_a_key_every_question_is_a_request_of_its_own(client: httpx.AsyncClient, fakes: Any) -> None:
    for _ in range(2):
        await client.post(URL, json=QUESTION)
    first, second = fakes.desk.questions
    assert first.request_id != second.request_id
    assert first.fingerprint is second.fingerprint is None


async def test_who_asks_again_gets_the_answer_that_there_is(client: httpx.AsyncClient, accepted: Any) -> None:
    response = await client.post(URL, json=QUESTION, headers=KEYED)
    assert response.status_code == 200
    assert response.headers["x-request-id"] == accepted.request_id
    assert response.headers["idempotent-replayed"] == "true"
    assert response.json()["choices"][0]["message"]["content"] == accepted.answer.text
    assert response.json()["groundswell"]["request_id"] == accepted.request_id


async def test_who_asks_again_as_a_stream_gets_the_whole_text_and_its_end(
    client: httpx.AsyncClient, accepted: Any
) -> None:
    text = (await client.post(URL, json=QUESTION | {"stream": True}, headers=KEYED)).text
    assert "Backups run at 02:30. [1]" in text
    assert text.endswith("data: [DONE]\n\n")


async def test_who_asks_again_while_it_runs_waits_for_its_answer(
    client: httpx.AsyncClient, fakes: Any, accepted: Any
) -> None:
    running = replace(accepted, state="generating", answer=None, ended=None)
    fakes.ledger.records[accepted.request_id] = running
    asking = asyncio.create_task(client.post(URL, json=QUESTION, headers=KEYED))
    await until(lambda: fakes.ledger.looked_up > 2)
    assert not asking.done()
    fakes.ledger.records[accepted.request_id] = accepted
    assert (await asking).json()["groundswell"]["request_id"] == accepted.request_id
    assert not fakes.desk.abandoned.is_set()


async def test_a_key_that_was_used_for_another_question_is_refused(client: httpx.AsyncClient, accepted: Any) -> None:
    response = await client.post(URL, json=QUESTION | {"temperature": 1.5}, headers=KEYED)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "idempotency_key_reused"


async def test_a_key_of_another_team_is_another_request(stranger: httpx.AsyncClient, fakes: Any, accepted: Any) -> None:
    fakes.desk.error = None
    response = await stranger.post(URL, json=QUESTION, headers=KEYED)
    assert response.headers["x-request-id"] != accepted.request_id


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "t\té"])
async def test_what_cannot_be_a_key_is_refused(client: httpx.AsyncClient, fakes: Any, key: str) -> None:
    response = await client.post(URL, json=QUESTION, headers={b"Idempotency-Key": key.encode()})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_key"
    assert fakes.desk.questions == []
