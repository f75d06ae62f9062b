"""`/v1/requests`: what became of accepted requests, for keys of their team."""

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.http_door import AnyCaller, Door, FrontDoor
from groundswell.orchestrator.adapters.http_errors import ApiError, JsonResponse, not_found
from groundswell.orchestrator.domain import openai_shapes as shapes
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import RequestRecord

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


@router.post("/requests/{request_id}/cancel")
async def cancel_request(request_id: str, caller: AnyCaller, door: FrontDoor) -> Response:
    """One that has ended stays as it is."""
    record = await _record(request_id, caller, door)
    if record.ended is None and not await door.desk.cancel(record.request_id):
        record = await _record(request_id, caller, door)
        if record.ended is None:
            raise ApiError(
                409,
                "The replica that runs this request could not be told. Try again.",
                code="not_cancelled",
                headers={"retry-after": "1"},
            )
    return JsonResponse(request_object(record))


def request_object(record: RequestRecord) -> shapes.Json:
    """`answer` also shows what was released before a failure."""
    answer = record.answer
    failure = shapes.failure_of(answer) if answer else None
    shown = answer if answer and (failure is None or answer.text) else None
    asked = shapes.Asked(
        request_id=record.request_id, created=record.created.timestamp(), model=record.model, tier=Tier(record.tier)
    )
    return {
        "id": record.request_id,
        "object": "request",
        "state": record.state,
        "model": record.model,
        "tier": record.tier,
        "created_at": int(record.created.timestamp()),
        "deadline_at": int(record.deadline.timestamp()),
        "ended_at": int(record.ended.timestamp()) if record.ended else None,
        "answer": shapes.completion(asked, shown) if shown else None,
        "error": {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}
        if failure
        else None,
    }


async def _record(request_id: str, caller: Caller, door: Door) -> RequestRecord:
    """Raises ApiError 404 also for a request of another team."""
    known = _REQUEST_ID.fullmatch(request_id)
    record = await door.ledger.get(RequestId(request_id), caller.team) if known else None
    if record is None:
        raise not_found("There is no such request of your team; one that ended is kept for a day.", "id")
    return record
