"""`/v1/keys`: for operators only. A secret is shown once, to who made the key."""

import re
from typing import Annotated

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.responses import Response

from groundswell.common.ids import SHARED_TEAM, KeyId, TeamId
from groundswell.orchestrator.adapters.http_bodies import read_json_body
from groundswell.orchestrator.adapters.http_door import FrontDoor, Operator
from groundswell.orchestrator.adapters.http_errors import JsonResponse, bad_request, invalid_body, not_found
from groundswell.orchestrator.domain.openai_shapes import Json
from groundswell.orchestrator.ports import KeyRecord

_KEY_ID = re.compile(r"key_[0-9a-f]{12}")
_TEAM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_GROUP = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"

router = APIRouter(prefix="/v1")
log = structlog.get_logger(__name__)


class KeyBody(BaseModel):
    model_config = ConfigDict(strict=True)

    team: str
    groups: list[Annotated[str, StringConstraints(pattern=_GROUP)]] = Field(default=[], max_length=64)
    name: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    operator: bool = False


@router.post("/keys")
async def create_key(request: Request, operator: Operator, door: FrontDoor) -> Response:
    """A key of a team, which is made if it is missing."""
    try:
        body = KeyBody.model_validate_json(await read_json_body(request, door.limits.body_bytes))
    except ValidationError as error:
        raise invalid_body(error) from None
    if not _TEAM.fullmatch(body.team):
        raise bad_request("team: use 1 to 63 lower-case letters, digits and hyphens.", "team")
    if body.team == SHARED_TEAM and not body.operator:
        raise bad_request("team: only operators write to the shared knowledge; make an operator's key.", "team")
    groups = tuple(dict.fromkeys(body.groups))
    record, secret = await door.keys.create(TeamId(body.team), groups, operator=body.operator, name=body.name)
    log.info("key created", created=record.key, by=operator.key, for_team=record.team, operator=record.operator)
    return JsonResponse(key_object(record) | {"key": secret})


@router.get("/keys")
async def list_keys(_operator: Operator, door: FrontDoor, team: str | None = None) -> Response:
    if team is not None and not _TEAM.fullmatch(team):
        raise bad_request("team: use 1 to 63 lower-case letters, digits and hyphens.", "team")
    records = await door.keys.list(None if team is None else TeamId(team))
    return JsonResponse({"object": "list", "data": [key_object(record) for record in records]})


@router.delete("/keys/{key_id}")
async def revoke_key(key_id: str, operator: Operator, door: FrontDoor) -> Response:
    if not _KEY_ID.fullmatch(key_id) or not await door.keys.revoke(KeyId(key_id)):
        raise not_found("There is no such key, or it is revoked already.", "id")
    log.info("key revoked", revoked=key_id, by=operator.key)
    return JsonResponse({"id": key_id, "object": "key", "deleted": True})


def key_object(record: KeyRecord) -> Json:
    return {
        "id": record.key,
        "object": "key",
        "team": record.team,
        "groups": list(record.groups),
        "operator": record.operator,
        "name": record.name,
        "created_at": int(record.created.timestamp()),
        "revoked_at": int(record.revoked.timestamp()) if record.revoked else None,
    }
