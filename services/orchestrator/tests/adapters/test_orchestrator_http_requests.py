"""`/v1/requests` and `/v1/keys` over fakes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from groundswell.common.contracts.answers import Outcome
from groundswell.common.errors import Unavailable

ID = "req_0123456789abcdef01234567"


@pytest.fixture
def keep(fakes: Any, make_request_record: Callable[..., Any]) -> Callable[..., Any]:
    """Puts a request into the ledger."""

    def put(**changes: Any) -> Any:
        record = make_request_record(**changes)
        fakes.ledger.records[record.request_id] = record
        return record

    return put


async def test_a_request_shows_its_state_and_the_same_answer_as_was_sent(
    client: httpx.AsyncClient, keep: Callable[..., Any]
) -> None:
    keep()
    shown = (await client.get(f"/v1/requests/{ID}")).json()
    assert shown["object"] == "request"
    assert shown["state"] == "completed"
    assert shown["deadline_at"] - shown["created_at"] == 120
    assert shown["answer"]["choices"][0]["message"]["content"] == "Backups run at 02:30. [1]"
    assert shown["answer"]["groundswell"]["request_id"] == ID
    assert shown["error"] is None
    assert (await client.get("/v1/requests")).json()["data"] == [shown]


async def test_a_running_request_has_no_answer_yet(client: httpx.AsyncClient, keep: Callable[..., Any]) -> None:
    keep(state="generating", ended=None, answer=None)
    shown = (await client.get(f"/v1/requests/{ID}")).json()
    assert (shown["state"], shown["answer"], shown["error"], shown["ended_at"]) == ("generating", None, None, None)


async def test_a_failed_request_shows_why_and_what_was_released_before(
    client: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    record = keep(state="failed")
    failed = replace(record.answer, outcome=Outcome.FAILED, finish_reason="error", reason="it broke", text="Back")
    fakes.ledger.records[ID] = replace(record, answer=failed)
    shown = (await client.get(f"/v1/requests/{ID}")).json()
    assert shown["error"]["code"] == "generation_failed"
    assert shown["answer"]["choices"][0]["message"]["content"] == "Back"
    fakes.ledger.records[ID] = replace(record, answer=replace(failed, text=""))
    assert (await client.get(f"/v1/requests/{ID}")).json()["answer"] is None


async def test_a_request_of_another_team_is_not_there(
    stranger: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    keep(ended=None, answer=None, state="generating")
    assert (await stranger.get(f"/v1/requests/{ID}")).status_code == 404
    assert (await stranger.post(f"/v1/requests/{ID}/cancel")).status_code == 404
    assert (await stranger.get("/v1/requests")).json()["data"] == []
    assert fakes.desk.cancelled == []


async def test_a_running_request_is_cancelled_and_an_ended_one_left_alone(
    client: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    keep(state="generating", ended=None, answer=None)
    fakes.desk.cancels = lambda record: keep(state="cancelled")
    assert (await client.post(f"/v1/requests/{ID}/cancel")).json()["state"] == "cancelled"
    assert fakes.desk.cancelled == [ID]
    keep()
    assert (await client.post(f"/v1/requests/{ID}/cancel")).json()["state"] == "completed"
    assert fakes.desk.cancelled == [ID]


async def test_who_cancels_is_shown_the_end_that_another_replica_makes(
    client: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    running = keep(state="generating", ended=None, answer=None)
    fakes.desk.cancels = lambda record: keep(state="cancelled")
    response = await client.post(f"/v1/requests/{running.request_id}/cancel")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")


async def test_a_cancel_that_cannot_be_sent_says_so(
    client: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    def away(_record: Any) -> None:
        raise Unavailable("Kafka is away")

    keep(state="generating", ended=None, answer=None)
    fakes.desk.cancels = away
    response = await client.post(f"/v1/requests/{ID}/cancel")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "component_unavailable"


async def test_an_operator_makes_lists_and_revokes_keys(operator: httpx.AsyncClient) -> None:
    made = (await operator.post("/v1/keys", json={"team": "red", "groups": ["ops", "ops"], "name": "CI"})).json()
    assert made["key"] == "gs_new"
    assert (made["team"], made["groups"], made["operator"], made["name"]) == ("red", ["ops"], False, "CI")
    (listed,) = (await operator.get("/v1/keys", params={"team": "red"})).json()["data"]
    assert "key" not in listed
    assert listed["id"] == made["id"]
    assert (await operator.delete(f"/v1/keys/{made['id']}")).json()["deleted"] is True
    assert (await operator.delete(f"/v1/keys/{made['id']}")).status_code == 404
    assert (await operator.get("/v1/keys")).json()["data"][0]["revoked_at"] is not None


async def test_only_operators_touch_keys(client: httpx.AsyncClient, fakes: Any) -> None:
    for method, path in (("POST", "/v1/keys"), ("GET", "/v1/keys"), ("DELETE", "/v1/keys/key_000000000000")):
        response = await client.request(method, path, json={"team": "red"})
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "operator_only"
    assert fakes.keys.made == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "team"),
        ({"team": "Red Team"}, "team"),
        ({"team": "-red"}, "team"),
        ({"team": "x" * 64}, "team"),
        ({"team": "shared"}, "team"),
        ({"team": "red", "groups": "ops"}, "groups"),
        ({"team": "red", "groups": ["a b"]}, "groups[0]"),
        ({"team": "red", "name": "a\u0000"}, "name"),
        ({"team": "red", "operator": "yes"}, "operator"),
    ],
)
async def test_a_key_that_cannot_be_made_says_why(
    operator: httpx.AsyncClient, fakes: Any, body: dict[str, Any], param: str
) -> None:
    response = await operator.post("/v1/keys", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert fakes.keys.made == []


async def test_only_an_operators_key_may_be_of_the_shared_team(operator: httpx.AsyncClient) -> None:
    assert (await operator.post("/v1/keys", json={"team": "shared", "operator": True})).status_code == 200


async def test_an_answer_is_streamed_again_from_any_place(client: httpx.AsyncClient, keep: Callable[..., Any]) -> None:
    keep()
    url = f"/v1/requests/{ID}/stream"
    whole = await client.get(url)
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert whole.headers["x-request-id"] == ID
    assert "Backups run at 02:30. [1]" in whole.text
    assert '"usage":{"prompt_tokens":100' in whole.text
    assert whole.text.endswith("data: [DONE]\n\n")
    rest = await client.get(url, params={"after": 8})
    assert '"content":"run at 02:30. [1]"' in rest.text
    assert (await client.get(url, headers={"Last-Event-ID": "8"}, params={"after": 0})).text == rest.text
    nothing_left = (await client.get(url, params={"after": 10_000})).text
    assert nothing_left.count("data: ") == 4, "a first, a last and a usage chunk, and DONE"


@pytest.mark.parametrize(
    ("query", "headers", "param"),
    [({"after": "-1"}, {}, "after"), ({"after": "x"}, {}, "after"), ({}, {"Last-Event-ID": "x"}, "Last-Event-ID")],
)
async def test_a_place_that_cannot_be_is_refused(
    client: httpx.AsyncClient, keep: Callable[..., Any], query: dict[str, str], headers: dict[str, str], param: str
) -> None:
    keep()
    response = await client.get(f"/v1/requests/{ID}/stream", params=query, headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_the_answer_of_another_team_is_not_streamed(
    stranger: httpx.AsyncClient, keep: Callable[..., Any]
) -> None:
    keep()
    assert (await stranger.get(f"/v1/requests/{ID}/stream")).status_code == 404


async def test_a_failure_is_the_last_event_with_what_was_used(
    client: httpx.AsyncClient, keep: Callable[..., Any], fakes: Any
) -> None:
    record = keep(state="expired")
    late = replace(record.answer, outcome=Outcome.EXPIRED, finish_reason="error", reason="too late", text="Back")
    fakes.ledger.records[ID] = replace(record, answer=late)
    *_, last, done = (await client.get(f"/v1/requests/{ID}/stream")).text.strip().split("\n\n")
    assert '"code":"deadline_exceeded"' in last
    assert '"completion_tokens":9' in last
    assert done == "data: [DONE]"
