"""Works one command after the other, as told: bulk takes 10 ms, interactive work notes when its handler started."""

import asyncio
import sys
import time
from typing import Any

from delivery.child import hear_parent, tell_parent
from delivery.line import Parcel, command
from delivery.product import observed, working
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier

SERVICE = "bench"
BULK_S = 0.01


async def work(address: str, *, name: str, commands: int) -> dict[str, Any]:
    """Until `commands` interactive ones were handled. When each started, in Unix ms by number, and how many of bulk."""
    started_ms: dict[int, float] = {}
    bulk = 0

    async def handle(message: Received[Parcel]) -> list[Outgoing]:
        nonlocal bulk
        if message.envelope.tier is Tier.BULK:
            await asyncio.sleep(BULK_S)
            bulk += 1
        else:
            started_ms.setdefault(message.payload.number, time.time() * 1000)
        return []

    async with working(address, SERVICE, consume(command(name), handle)):
        tell_parent("ready")
        await until(lambda: len(started_ms) >= commands)
    return {"started_ms": started_ms, "bulk": bulk}


async def blocks(address: str) -> None:
    while wanted := await hear_parent():
        tell_parent(await work(address, **wanted))


if __name__ == "__main__":
    observed()
    asyncio.run(blocks(sys.argv[1]))
