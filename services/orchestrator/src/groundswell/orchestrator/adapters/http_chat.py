"""`POST /v1/chat/completions` and the models that it may name."""

from dataclasses import replace

from fastapi import APIRouter, Request
from opentelemetry import trace
from starlette.responses import Response

from groundswell.common.telemetry.logs import bind_log
from groundswell.common.telemetry.names import Attribute
from groundswell.orchestrator.adapters.http_bodies import read_json_body
from groundswell.orchestrator.adapters.http_chat_body import parse_chat_body
from groundswell.orchestrator.adapters.http_chat_events import ChatEvents
from groundswell.orchestrator.adapters.http_door import AnyCaller, FrontDoor
from groundswell.orchestrator.adapters.http_errors import JsonResponse
from groundswell.orchestrator.adapters.http_idempotency import REPLAYED, accepted_before, key_of
from groundswell.orchestrator.adapters.http_observed import CLIENT_CLOSED_REQUEST
from groundswell.orchestrator.adapters.http_question import question_from, unknown_model
from groundswell.orchestrator.adapters.http_sse import HEARTBEAT_S, ClientLeft, EventStream, unless_client_leaves
from groundswell.orchestrator.domain import openai_shapes as shapes
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.ports import CLIENT_LEFT, AlreadyAccepted, AnswerStream

MODELS_SINCE = 1_764_000_000
"""OpenAI's shape wants a creation time; ours have none."""

router = APIRouter(prefix="/v1")


@router.post("/chat/completions")
async def post_chat(request: Request, caller: AnyCaller, door: FrontDoor) -> Response:
    """Accept a question and answer it, whole or as a stream."""
    body = parse_chat_body(await read_json_body(request, door.limits.body_bytes))
    question = question_from(body, caller, key_of(request), door)
    bind_log(request_id=question.request_id)
    trace.get_current_span().set_attribute(Attribute.REQUEST_ID, question.request_id)
    headers: dict[str, str] = {"x-request-id": question.request_id}
    stream: AnswerStream
    try:
        stream = await door.desk.accept(question)
    except AlreadyAccepted:
        record = await accepted_before(door.ledger, question)
        stream = door.desk.follow(record)
        headers[REPLAYED] = "true"
        question = replace(question, created=record.created.timestamp())
    asked = asked_of(question)
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(stream, ChatEvents(asked, with_usage=with_usage), headers=headers)
    try:
        answer = await unless_client_leaves(request.receive, _collect(stream))
    except ClientLeft:
        await stream.abandon(CLIENT_LEFT)
        return Response(status_code=CLIENT_CLOSED_REQUEST, headers=headers)
    return _whole(asked, answer, headers)


@router.get("/models")
async def list_models(_caller: AnyCaller, door: FrontDoor) -> Response:
    return JsonResponse({"object": "list", "data": [_model(assistant) for assistant in door.assistants]})


@router.get("/models/{name:path}")
async def get_model(name: str, _caller: AnyCaller, door: FrontDoor) -> Response:
    assistant = door.assistant(name)
    if assistant is None:
        raise unknown_model(door)
    return JsonResponse(_model(assistant))


def asked_of(question: Question) -> shapes.Asked:
    return shapes.Asked(
        request_id=question.request_id, created=question.created, model=question.model, tier=question.tier
    )


def _whole(asked: shapes.Asked, answer: Answer, headers: dict[str, str]) -> Response:
    failure = shapes.failure_of(answer)
    if failure is None:
        return JsonResponse(shapes.completion(asked, answer), headers=headers)
    # It was accepted and has ended: OpenAI's clients would ask the same again by themselves.
    headers = headers | {"x-should-retry": "false"}
    return JsonResponse(shapes.failure_object(failure, asked.request_id, answer), failure.status, headers)


async def _collect(stream: AnswerStream) -> Answer:
    while not isinstance(item := stream.take(), Answer):
        if item is None:
            await stream.wait(HEARTBEAT_S)
    return item


def _model(assistant: Assistant) -> shapes.Json:
    about = {
        "kind": "model" if assistant.bare else "assistant",
        "model": assistant.model,
        "knowledge": assistant.knowledge,
        "tier": assistant.tier.value,
        "description": assistant.description,
    }
    return {
        "id": assistant.name,
        "object": "model",
        "created": MODELS_SINCE,
        "owned_by": "groundswell",
        "groundswell": about,
    }
