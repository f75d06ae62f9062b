"""What a client hears of a request whose replica stops."""

import asyncio
from typing import Any

import pytest

from groundswell.orchestrator.adapters.http_observed import Observed

ASKED = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}


async def test_a_request_that_is_cut_off_is_told_to_ask_again() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def waits(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()

    answering = asyncio.create_task(Observed(waits)(ASKED, receive, send))
    await asyncio.sleep(0)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
