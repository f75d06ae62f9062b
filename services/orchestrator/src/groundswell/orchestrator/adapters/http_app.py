"""The HTTP front door: OpenAI's shapes under /v1, and health."""

import asyncio
from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.responses import Response

from groundswell.orchestrator.adapters import (
    http_chat,
    http_documents,
    http_errors,
    http_files,
    http_keys,
    http_requests,
)
from groundswell.orchestrator.adapters.http_door import Door, FrontDoor
from groundswell.orchestrator.adapters.http_errors import JsonResponse
from groundswell.orchestrator.adapters.http_observed import Observed
from groundswell.orchestrator.adapters.http_opening import UntilOpen
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.limits import Limits
from groundswell.orchestrator.ports import FrontDesk, Keys, Library, RequestLedger

_NOT_FASTAPIS_OWN = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False
)
"""Observed does it: FastAPI would make a second span for each request and log the messages of exceptions."""

_ALSO_HEAD = ["GET", "HEAD"]
"""Load balancers ask for no body."""

health = APIRouter()


def create_app(
    *,
    desk: FrontDesk,
    ledger: RequestLedger,
    keys: Keys,
    library: Library,
    assistants: Sequence[Assistant],
    readiness: Callable[[], dict[str, str]],
    clock: Callable[[], float],
    limits: Limits,
    opened: asyncio.Event,
) -> FastAPI:
    """The ASGI app. `readiness` names what keeps a question from being answered; `clock` is wall-clock seconds;
    `opened` is set once questions can be taken.
    """
    app = FastAPI(title="Groundswell", openapi_url=None, redirect_slashes=False, telemetry=_NOT_FASTAPIS_OWN)
    app.state.door = Door(
        desk=desk,
        ledger=ledger,
        keys=keys,
        library=library,
        assistants=assistants,
        readiness=readiness,
        clock=clock,
        limits=limits,
    )
    http_errors.install(app)
    app.add_middleware(UntilOpen, opened=opened)
    app.add_middleware(Observed)
    app.include_router(health)
    for part in (http_chat, http_requests, http_files, http_documents, http_keys):
        app.include_router(part.router)
    return app


@health.api_route("/healthz", methods=_ALSO_HEAD)
async def healthz() -> Response:
    return JsonResponse({"alive": True})


@health.api_route("/readyz", methods=_ALSO_HEAD)
async def readyz(door: FrontDoor) -> Response:
    """200 means that a question can be answered."""
    missing = door.readiness()
    return JsonResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)
