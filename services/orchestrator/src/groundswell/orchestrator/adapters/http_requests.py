"""`/v1/requests`: what became of accepted requests, for keys of their team."""

import asyncio
import re
import time
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.http_chat_events import ChatEvents
from groundswell.orchestrator.adapters.http_door import AnyCaller, Door, FrontDoor
from groundswell.orchestrator.adapters.http_errors import JsonResponse, bad_request, not_found
from groundswell.orchestrator.adapters.http_sse import EventStream
from groundswell.orchestrator.domain import openai_shapes as shapes
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import RequestRecord

CANCELLED_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05
LONGEST_ANSWER = 10**9
"""In code points: longer than any."""
_POSITION = re.compile(r"\d{1,9}")
_REQUEST_ID = re.compile(r"req_[0-9a-f]{24}")

router = APIRouter(prefix="/v1")


@router.get("/requests")
async def list_requests(
    caller: AnyCaller, door: FrontDoor, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """The newest first."""
    records = await door.ledger.recent(caller.team, limit)
    return JsonResponse({"object": "list", "data": [request_object(record) for record in records]})


@router.get("/requests/{request_id}")
async def get_request(request_id: str, caller: AnyCaller, door: FrontDoor) -> Response:
    return JsonResponse(request_object(await _record(request_id, caller, door)))


@router.get("/requests/{request_id}/stream")
async def stream_request(
    request_id: str,
    caller: AnyCaller,
    door: FrontDoor,
    after: Annotated[int | None, Query(ge=0, le=LONGEST_ANSWER)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The answer from code point `after` on, while it is written and for as long as it is kept.

    A client that reconnects by itself sends Last-Event-ID, which then says more than the address that it asked first.
    """
    record = await _record(request_id, caller, door)
    position = _position(last_event_id) if last_event_id else after or 0
    events = ChatEvents(_asked(record), with_usage=True, position=position)
    return EventStream(door.desk.follow(record, position), events, headers={"x-request-id": record.request_id})


@router.post("/requests/{request_id}/cancel")
async def cancel_request(request_id: str, caller: AnyCaller, door: FrontDoor) -> Response:
    """One that has ended stays as it is. The state shown may be that from before: it ends a moment later."""
    record = await _record(request_id, caller, door)
    if record.ended is None:
        await door.desk.cancel(record)
        record = await _ended_soon(record, caller, door)
    return JsonResponse(request_object(record))


def request_object(record: RequestRecord) -> shapes.Json:
    """`answer` also shows what was released before a failure."""
    answer = record.answer
    failure = shapes.failure_of(answer) if answer else None
    shown = answer if answer and (failure is None or answer.text) else None
    return {
        "id": record.request_id,
        "object": "request",
        "state": record.state,
        "model": record.model,
        "tier": record.tier,
        "created_at": int(record.created.timestamp()),
        "deadline_at": int(record.deadline.timestamp()),
        "ended_at": int(record.ended.timestamp()) if record.ended else None,
        "answer": shapes.completion(_asked(record), shown) if shown else None,
        "error": {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}
        if failure
        else None,
    }


def _asked(record: RequestRecord) -> shapes.Asked:
    return shapes.Asked(
        request_id=record.request_id, created=record.created.timestamp(), model=record.model, tier=Tier(record.tier)
    )


def _position(last_event_id: str) -> int:
    if not _POSITION.fullmatch(last_event_id):
        raise bad_request("Last-Event-ID: send the id of the last event that came, a number.", param="Last-Event-ID")
    return int(last_event_id)


async def _ended_soon(record: RequestRecord, caller: Caller, door: Door) -> RequestRecord:
    """A cancel takes a moment, whichever replica carries the request."""
    until = time.monotonic() + CANCELLED_WITHIN_S
    while record.ended is None and time.monotonic() < until:
        await asyncio.sleep(LOOK_EVERY_S)
        record = await _record(record.request_id, caller, door)
    return record


async def _record(request_id: str, caller: Caller, door: Door) -> RequestRecord:
    """Raises ApiError 404 also for a request of another team."""
    known = _REQUEST_ID.fullmatch(request_id)
    record = await door.ledger.get(RequestId(request_id), caller.team) if known else None
    if record is None:
        raise not_found("There is no such request of your team; one that ended is kept for a day.", "id")
    return record
