"""Takes messages and publishes them again, and says after how many how much memory it holds."""

import asyncio
import ctypes
import gc
import resource
import sys
from pathlib import Path

from delivery.child import hear_parent, tell_parent
from delivery.line import Parcel, command
from delivery.product import observed, working
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received, follow

TAKEN, GIVEN = command("memory-in"), command("memory-out")
SERVICE = "bench"


async def work(address: str, marks: list[int]) -> None:
    """Tells the parent the resident MB at each of `marks`, which count messages handled."""
    left = sorted(marks, reverse=True)
    handled, done = 0, asyncio.Event()

    async def pass_on(message: Received[Parcel]) -> list[Outgoing]:
        nonlocal handled
        handled += 1
        if left and handled == left[-1]:
            left.pop()
            tell_parent(resident_mb())
            if not left:
                done.set()
        return [follow(message, GIVEN, message.payload)]

    async with working(address, SERVICE, consume(TAKEN, pass_on)):
        await done.wait()
    await hear_parent()


def resident_mb() -> float:
    """Megabytes (10^6), after the collector ran and the allocator gave back what it holds free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    observed()
    asyncio.run(work(sys.argv[1], [int(mark) for mark in sys.argv[2:]]))
