"""A request that comes to a replica before that can take it waits a moment."""

import asyncio
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from groundswell.orchestrator.adapters.http_opening import UntilOpen


async def test_a_question_waits_for_a_replica_that_has_only_just_started(client: httpx.AsyncClient, fakes: Any) -> None:
    fakes.opened.clear()
    waiting = asyncio.create_task(client.get("/v1/models"))
    assert (await client.get("/readyz")).status_code == 200, "whoever asks how it is, is told"
    assert not waiting.done()
    fakes.opened.set()
    assert (await waiting).status_code == 200


async def test_nobody_waits_once_patience_has_ended() -> None:
    answered = list[str]()

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        answered.append(scope["path"])

    door: Any = UntilOpen(app, asyncio.Event(), patience_s=0.01)
    for path in ("/v1/first", "/v1/second"):
        await door({"type": "http", "path": path}, None, None)
    assert answered == ["/v1/first", "/v1/second"]
