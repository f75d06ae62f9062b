"""What every route needs: the ports behind the front door, and who is asking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from opentelemetry import trace

from groundswell.common.telemetry.logs import bind_log
from groundswell.common.telemetry.names import Attribute
from groundswell.orchestrator.adapters.http_errors import ApiError
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.limits import Limits
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import FrontDesk, Keys, Library, RequestLedger

LONGEST_KEY = 512


@dataclass(frozen=True, kw_only=True)
class Door:
    """`readiness` names what keeps a question from being answered; `clock` is wall-clock seconds."""

    desk: FrontDesk
    ledger: RequestLedger
    keys: Keys
    library: Library
    assistants: Sequence[Assistant]
    readiness: Callable[[], dict[str, str]]
    clock: Callable[[], float]
    limits: Limits

    def assistant(self, name: str) -> Assistant | None:
        return next((assistant for assistant in self.assistants if assistant.name == name), None)


def the_door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


async def _door(request: Request) -> Door:
    return the_door(request)


async def _caller(request: Request) -> Caller:
    """Who the key belongs to. Raises ApiError 401 without a key that is known."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise _unauthorized("Send your API key in the header 'Authorization: Bearer gs_...'.")
    caller = await the_door(request).keys.authenticate(secret) if len(secret) <= LONGEST_KEY else None
    if caller is None:
        raise _unauthorized("This API key is not known here, or was revoked. Ask your operator for one.")
    bind_log(tenant=caller.team, key=caller.key)
    trace.get_current_span().set_attribute(Attribute.TENANT, caller.team)
    return caller


async def _operator(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if not caller.operator:
        raise ApiError(403, "Only an operator's key may do this.", kind="permission_error", code="operator_only")
    return caller


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


FrontDoor = Annotated[Door, Depends(_door)]
AnyCaller = Annotated[Caller, Depends(_caller)]
Operator = Annotated[Caller, Depends(_operator)]
